"""Names that splits go by."""

from __future__ import annotations

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "validate": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Names that splits go by, and the ones they have here. Other names are kept as they are."""


def split_name(name: str) -> str:
    """`validation`, `valid` and `dev` are `val`; a name that is not known stays as it is."""
    return SPLIT_NAMES.get(name.strip().lower(), name.strip())
