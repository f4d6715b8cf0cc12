"""Prose of docstrings as reStructuredText."""

from __future__ import annotations

import re


def plain(line: str) -> str:
    """Prose: no emphasis and no substitutions outside of backticks, and `Decision`s is a plural."""
    parts = line.split("`")
    for at in range(0, len(parts), 2):
        parts[at] = re.sub(r"(?<!\\)([*|])(?!\w+:)", r"\\\1", parts[at])
        if at and re.match(r"\w", parts[at]):
            parts[at] = "\\ " + parts[at]
    return "`".join(parts)
