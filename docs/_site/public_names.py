"""A page of every public name: what its docstring says, and an example of it out of `docs/api/of_PACKAGE.py`."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import tubelet
from _site.prose import plain

PACKAGES = ("tubelet", *(f"tubelet.{name}" for name in tubelet._PACKAGES), "tubelet.corpus", "tubelet.demo")
FORMER = {"HeadProbe", "TemporalProbe", "probe_temporal", "temporal_probe"}
"""Of `tubelet.evaluation`: kept for old code, and not shown."""


def public_names(package: str) -> list[str]:
    """What a package offers: its `__all__`, or all that a module of its own defines."""
    module = importlib.import_module(package)
    listed = getattr(module, "__all__", None)
    if listed is None:
        listed = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == package]
        listed = [name for name in listed if not name.startswith("_")]
    kept = FORMER if package == "tubelet.evaluation" else set()
    return [name for name in listed if name != "__version__" and name not in kept]


@functools.cache
def homes() -> dict[str, str]:
    """Full public name -> the name under which it has its page: the shortest, `tubelet.evaluate`."""
    found: dict[Any, str] = {}
    table = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in public_names(package):
            value = getattr(module, name)
            key = id(value) if inspect.isclass(value) or inspect.isfunction(value) else f"{package}.{name}"
            table[f"{package}.{name}"] = found.setdefault(key, f"{package}.{name}")
    return table


@functools.cache
def canonical() -> dict[str, str]:
    """Any full name, that of the defining module too, -> the name with a page."""
    known = dict(homes())
    for full, home in homes().items():
        package, name = full.rsplit(".", 1)
        value = getattr(importlib.import_module(package), name)
        defined = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
        known.setdefault(defined, home)
        if inspect.isclass(value):
            for member in vars(value):
                known.setdefault(f"{defined}.{member}", f"{home}.{member}")
                known.setdefault(f"{full}.{member}", f"{home}.{member}")
    return known


def pages(examples: Path) -> dict[str, str]:
    """File below `reference/` -> reStructuredText."""
    made = {"api/index.rst": _index()}
    for package in PACKAGES:
        made[f"api/{package}.rst"] = _package(package)
        for name in public_names(package):
            full = f"{package}.{name}"
            if homes()[full] == full:
                made[f"api/{full}.rst"] = _name(package, name, examples)
    return made


def example_file(package: str, examples: Path) -> Path:
    """The script that shows the names of a package: `of_tubelet_video.py`; a module's own name would hide it."""
    return examples / f"of_{package.replace('.', '_')}.py"


def example(package: str, name: str, examples: Path) -> str:
    """The imports of the package's example and the paragraphs in which the name stands, with what those need."""
    file = example_file(package, examples)
    if not file.is_file():
        return ""
    paragraphs = re.split(r"\n\n+", file.read_text(encoding="utf-8").strip())[1:]  # the docstring is the first
    imports = [part for part in paragraphs if re.match(r"(import|from) ", part)]
    rest = [part for part in paragraphs if part not in imports]
    kept = [part for part in rest if re.search(rf"\b{re.escape(name)}\b", part)]
    if not kept:
        return ""
    while True:  # what the paragraphs use has to be made before
        used = set(re.findall(r"\w+", "\n".join(kept)))
        missing = [
            part for part in rest if part not in kept and used & set(re.findall(r"^(\w+)[^=\n]* = ", part, re.M))
        ]
        if not missing:
            return "\n\n".join([*imports, *(part for part in rest if part in kept)])
        kept += missing


def said_of_value(full: str) -> str:
    """The string under the assignment of a public value, wherever in its package that is."""
    package, name = full.rsplit(".", 1)
    folder = Path(inspect.getfile(importlib.import_module(package)))
    files = [folder, *sorted(folder.parent.rglob("*.py")), *sorted(Path(tubelet.__file__).parent.rglob("*.py"))]
    pattern = re.compile(
        rf'^{name}(?:: [^\n=]+)? = (?:[^\n]*\n)(?:[ )\]}}][^\n]*\n)*"""(.*?)"""', re.MULTILINE | re.DOTALL
    )
    found = next((hit for file in files if (hit := pattern.search(file.read_text(encoding="utf-8")))), None)
    return inspect.cleandoc(found[1]) if found else ""


def _index() -> str:
    rows = "\n".join(f"   * - :doc:`{package} <{package}>`\n     - {_first(package)}" for package in PACKAGES)
    toc = "\n".join(f"   {package}" for package in PACKAGES)
    return f"""Every public name
=================

What is listed here is public: it keeps its name and meaning within a major version. Everything else may change.

.. list-table::
   :widths: 25 75

{rows}

.. toctree::
   :hidden:
   :maxdepth: 1

{toc}
"""


def _first(package: str, name: str = "") -> str:
    value: Any = importlib.import_module(package)
    if name:
        value = getattr(value, name)
        if not (inspect.isclass(value) or inspect.isroutine(value)):
            return ""
    first = re.split(r"\n\s*\n", inspect.getdoc(value) or "")[0]
    return plain(re.sub(r"\s+", " ", re.split(r"\n\s*(?:Args|Attributes):", first)[0]))


def _package(package: str) -> str:
    rows, toc = [], []
    for name in public_names(package):
        home = homes()[f"{package}.{name}"]
        rows.append(f"   * - :doc:`{name} <{home}>`\n     - {_first(package, name)}")
        toc += [f"   {name} <{home}>"] if home == f"{package}.{name}" else []
    parts = [
        f"{package}\n{'=' * len(package)}",
        f".. automodule:: {package}\n   :no-members:",
        *(["\n".join([".. list-table::", "   :widths: 30 70", "", *rows])] if rows else []),
        *(["\n".join([".. toctree::", "   :hidden:", "   :maxdepth: 1", "", *toc])] if toc else []),
    ]
    return "\n\n".join(parts) + "\n"


def _name(package: str, name: str, examples: Path) -> str:
    value = getattr(importlib.import_module(package), name)
    kind = "class" if inspect.isclass(value) else "function" if inspect.isroutine(value) else "data"
    if inspect.isclass(value) and issubclass(value, BaseException):
        kind = "exception"
    parts = [f"{name}\n{'=' * len(name)}", f".. auto{kind}:: {package}.{name}"]
    if kind in ("class", "exception"):
        parts[-1] += "\n   :members:\n   :show-inheritance:"
    shown = example(package, name, examples)
    if shown:
        parts += [".. rubric:: Example", ".. code-block:: python\n\n" + _indented(shown)]
    return "\n\n".join(parts) + "\n"


def _indented(text: str) -> str:
    return "\n".join(f"   {line}".rstrip() for line in text.splitlines())
