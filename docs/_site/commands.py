"""A page of every verb with its flags, out of the parser that reads them."""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
import warnings
from typing import Any
from unittest import mock

import tyro

from _site.tables import code, table
from tubelet.cli.arguments import SETTINGS
from tubelet.cli.verbs import VERBS

DEFAULT = re.compile(r"\s*\((default|required)(?:: (?P<value>.*))?\)$", re.DOTALL)


def pages() -> dict[str, str]:
    """File below `reference/` -> Markdown."""
    names = {verb: f"commands/{verb.replace(' ', '-')}.md" for verb in VERBS}
    rows = [[f"[`tubelet {verb}`]({file.split('/')[1]})", VERBS[verb].help] for verb, file in names.items()]
    toc = "\n".join(file.split("/")[1].removesuffix(".md") for file in names.values())
    index = f"""# Every command

What all of them share, exit codes and `--json` among it, is on the page [The command line](../../commands.md).

{table(("command", "what it does"), rows)}
```{{toctree}}
:hidden:

{toc}
```
"""
    return {"commands/index.md": index} | {file: _page(verb) for verb, file in names.items()}


def parser_of(verb: str) -> argparse.ArgumentParser:
    """The parser of a verb, with the defaults that hold where no other word is typed."""
    module = importlib.import_module(f"tubelet.cli.{VERBS[verb].module}")
    prog = f"tubelet {verb}"
    cls: Any = module.Options
    if hasattr(module, "parse"):
        with mock.patch.object(tyro, "cli", _CaughtError.first_of(tyro.cli)):
            try:
                module.parse(["--help"], prog)
            except _CaughtError as caught:
                cls = caught.cls
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # tyro has no other way to look into a parser
        parser: Any = tyro.extras.get_parser(cls, prog=prog, config=SETTINGS)
    parser.description = inspect.getdoc(cls)
    return parser


class _CaughtError(Exception):
    """Carries the class that a verb was about to parse."""

    def __init__(self, cls: type) -> None:
        self.cls = cls

    @classmethod
    def first_of(cls, original: Any) -> Any:
        """In place of `tyro.cli`: lets the look at single words through."""

        def stand_in(options: type, *values: Any, **settings: Any) -> Any:
            if settings.get("return_unknown_args"):
                return original(options, *values, **settings)
            raise cls(options)

        return stand_in


def _page(verb: str) -> str:
    parser = parser_of(verb)
    about = str(parser.description).split("Attributes:")[0].strip()
    parts = [f"# tubelet {verb}", about]
    for group in parser._action_groups:
        rows = [_row(action) for action in group._group_actions if action.dest != "help"]
        if rows:
            parts += [f"## {str(group.title).capitalize().removesuffix(' options')}", _about(group)]
            parts.append(table(("flag", "takes", "default", "meaning"), rows))
    return "\n\n".join(part for part in parts if part) + "\n"


def _about(group: Any) -> str:
    return "" if group.description is None else str(group.description).split("Attributes:")[0].strip()


def _row(action: Any) -> list[str]:
    text = re.sub(r"\s+", " ", str(action.help or ""))
    found = DEFAULT.search(text)
    default = "required" if found and found[1] == "required" else code((found["value"] or "") if found else "")
    shown = code(str(action.metavar or "")) if action.nargs != 0 else ""
    flags = ", ".join(map(code, action.option_strings)) or code(str(action.metavar or action.dest))
    return [flags, shown if action.option_strings else "", default, _prose(DEFAULT.sub("", text))]


def _prose(text: str) -> str:
    """Help, with what Markdown would read as markup kept as it is."""
    return re.sub(r"(?<![\w`])([*<>])", r"\\\1", text).replace("{", r"\{") if "`" not in text else text


if __name__ == "__main__":
    sys.stdout.write(_page(" ".join(sys.argv[1:])))
