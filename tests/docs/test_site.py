"""What the documentation site says of the code: names, commands, settings, errors and drawings."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from _site import commands, configuration, drawings, public_names
from tubelet.cli.verbs import VERBS

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "tubelet"
NAMES = [(package, name) for package in public_names.PACKAGES for name in public_names.public_names(package)]


def test_every_message_on_the_page_of_errors_is_one_of_ours() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8").split("## Installation")[0]
    said = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    source = "\n".join(file.read_text(encoding="utf-8") for file in SOURCE.rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # a sentence over several lines
    assert len(said) > 15
    assert [message for message in said if message not in source] == []


def test_drawings_are_those_that_the_command_writes() -> None:
    for name, text in drawings.drawings().items():
        assert (ROOT / "docs" / "pictures" / name).read_text(encoding="utf-8") == text


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_every_public_name_says_what_it_is(package: str, name: str) -> None:
    value = getattr(importlib.import_module(package), name)
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        assert public_names.said_of_value(f"{package}.{name}")
        return
    said = inspect.getdoc(value) or ""
    assert len(said) > 10
    assert not said.startswith(f"{name}("), "a dataclass without a docstring of its own"


def test_every_public_name_has_a_page_and_an_entry_in_its_package() -> None:
    pages = public_names.pages(ROOT / "docs" / "api")
    for package, name in NAMES:
        home = public_names.homes()[f"{package}.{name}"]
        assert f"api/{home}.rst" in pages
        assert f"<{home}>`" in pages[f"api/{package}.rst"]


def test_every_verb_has_a_page_with_all_its_flags() -> None:
    pages = commands.pages()
    for verb in VERBS:
        assert "`--json`" in pages[f"commands/{verb.replace(' ', '-')}.md"]
    train = pages["commands/train.md"]
    assert "`--lr`, `--learning-rate`" in train
    assert re.search(r"\| `--batch-size` \| `[^`]*` \| `\d+` \| clips of one optimiser step", train)
    assert "| `MODEL` |  | required | a run, a model folder" in pages["commands/predict.md"]


def test_every_setting_has_type_default_and_meaning() -> None:
    page = configuration.pages()["configuration.md"]
    for name in configuration.CLASSES:
        section = page.split(f"## {name}\n")[1].split("\n## ")[0]
        for field in dataclasses.fields(_config(name)):
            row = re.search(rf"^\| `{field.name}` \| `(.+)` \| `?(.+?)`? \| (.+) \|$", section, re.MULTILINE)
            assert row is not None, f"{name}.{field.name}"
            assert len(row[3]) > 5


def _config(name: str) -> Any:
    return getattr(importlib.import_module("tubelet.config"), name)
