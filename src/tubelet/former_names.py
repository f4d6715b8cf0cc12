"""Import paths that packages had before: `from tubelet.predict import Predictor` still works.

`tubelet.predict` is a function and its package is `tubelet.prediction`. An import of the former path gives the modules
of the package, never a second copy of them, and leaves the function where it is.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PACKAGES = {
    "tubelet.evaluate": "tubelet.evaluation",
    "tubelet.predict": "tubelet.prediction",
    "tubelet.pretrain": "tubelet.pretraining",
    "tubelet.probe": "tubelet.probing",
    "tubelet.train": "tubelet.training",
}
"""Package by former path."""

MODULES = {"tubelet.data.folder": "tubelet.data.class_folders"}
"""Module by former path."""


def register() -> None:
    """Let the former paths be imported. Nothing is loaded before one is used."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
    for former, package in PACKAGES.items():
        # In `sys.modules` from the start: what is imported later would be bound in `tubelet`, in place of the function.
        sys.modules.setdefault(former, _FormerPackage(former, f"The former path of {package}."))


class _FormerPackage(ModuleType):
    def __init__(self, name: str, doc: str) -> None:
        super().__init__(name, doc)
        self.__path__ = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(PACKAGES[self.__name__]), name)


class _Finder(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        known = fullname in MODULES or fullname.rpartition(".")[0] in PACKAGES
        return ModuleSpec(fullname, self) if known else None

    def exec_module(self, module: ModuleType) -> None:
        former, _, name = module.__name__.rpartition(".")
        path = MODULES[module.__name__] if module.__name__ in MODULES else f"{PACKAGES[former]}.{name}"
        sys.modules[module.__name__] = importlib.import_module(path)
