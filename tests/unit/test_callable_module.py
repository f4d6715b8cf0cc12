"""A package called like its function, whatever is imported first. Tried on packages made up for the test."""

from __future__ import annotations

import importlib
import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `house` with a callable room `house.greet`, importable, and forgotten afterwards."""
    room = tmp_path / "house" / "greet"
    room.mkdir(parents=True)
    (tmp_path / "house" / "__init__.py").write_text("")
    (room / "words.py").write_text(
        "def greet(name: str, *, loud: bool = False) -> str:\n"
        "    text = f'hello {name}'\n"
        "    return text.upper() if loud else text\n"
    )
    (room / "__init__.py").write_text(
        "from house.greet.words import greet\n"
        "from tubelet.callable_module import make_callable\n\n"
        "__all__ = ['greet']\n"
        "make_callable(__name__)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path
    for name in [name for name in sys.modules if name == "house" or name.startswith("house.")]:
        del sys.modules[name]


@pytest.mark.parametrize("first", ["house.greet", "house.greet.words", "house"])
def test_the_package_can_be_called_and_entered_whatever_was_imported_first(house: Path, first: str) -> None:
    code = (
        f"import {first}\n"
        "import house.greet.words as words\n"
        "from house import greet\n"
        "from house.greet import greet as function\n"
        "assert greet('Ann', loud=True) == function('Ann', loud=True) == words.greet('Ann', loud=True) == 'HELLO ANN'\n"
        "import house\n"
        "assert house.greet is greet and house.greet.words is words\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": f"{house}:{SOURCE}"})


def test_it_shows_the_signature_of_the_function(house: Path) -> None:
    room = importlib.import_module("house.greet")
    assert str(inspect.signature(room)) == "(name: str, *, loud: bool = False) -> str"


def test_it_follows_a_function_that_was_replaced(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = importlib.import_module("house.greet")
    monkeypatch.setattr(room, "greet", lambda name: f"goodbye {name}")
    assert room("Ann") == "goodbye Ann"


def test_it_pickles_so_that_worker_processes_can_be_given_it(house: Path) -> None:
    room = importlib.import_module("house.greet")
    assert pickle.loads(pickle.dumps(room)) is room


def test_a_package_without_the_function_is_refused(house: Path) -> None:
    (house / "house" / "empty").mkdir()
    (house / "house" / "empty" / "__init__.py").write_text(
        "from tubelet.callable_module import make_callable\nmake_callable(__name__)\n"
    )
    with pytest.raises(TypeError, match="has no function 'empty'"):
        importlib.import_module("house.empty")
