"""Sphinx extension of the site: writes the generated pages, and reads docstrings as they are written here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from _site import beside, commands, configuration, public_names
from _site.prose import plain

BLOCK = re.compile(r"^\s+\S")


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("source-read", keep_links_inside)
    app.connect("autodoc-process-docstring", show_as_written, priority=400)  # before napoleon
    app.connect("missing-reference", find_public_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_pages(app: Any) -> None:
    """The pages under `reference/`, which git does not keep."""
    folder = Path(app.srcdir) / "reference"
    pages = {
        **beside.pages(),
        **commands.pages(),
        **configuration.pages(),
        **public_names.pages(Path(app.srcdir) / "api"),
    }
    for old in folder.rglob("*.*"):
        if old.relative_to(folder).as_posix() not in pages:
            old.unlink()
    for name, text in pages.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.is_file() or file.read_text(encoding="utf-8") != text:  # Sphinx reads again what is newer
            file.write_text(text, encoding="utf-8")


def keep_links_inside(app: Any, page: str, source: list[str]) -> None:
    """Files beside `docs/` are pages of the site too."""
    if not page.startswith("reference/"):
        source[0] = beside.link_pages(source[0], "../" * page.count("/"))


def show_as_written(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """An indented block after an empty line is a drawing or code; signs of markup are what they look like."""
    if what == "data":
        lines[:] = public_names.said_of_value(name).splitlines()
    shown: list[str] = []
    inside = section = False
    for line in lines:
        if re.fullmatch(r"(Args|Attributes|Returns|Raises|Yields|Note):", line):
            section = True
        elif line and not line.startswith(" "):
            section = inside = False
        if BLOCK.match(line) and shown and not shown[-1] and not inside and not section:
            inside = True
            shown += ["::", ""]
        shown.append(line if inside else plain(line))
    lines[:] = shown


def find_public_name(app: Any, env: Any, node: Any, content: Any) -> Any:
    """A name by the module that defines it, or by another package that has it too, leads to its page."""
    known = public_names.canonical().get(node.get("reftarget", "").removesuffix("()"))
    if known is None or node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    entry = domain.objects.get(known)
    if entry is None:
        return None
    from sphinx.util.nodes import make_refnode

    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, known)
