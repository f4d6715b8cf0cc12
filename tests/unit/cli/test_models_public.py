"""`tubelet models --public`."""

from __future__ import annotations

import ast
import json

import pytest

import tubelet
from tubelet.cli.main import main


def listed(capsys: pytest.CaptureFixture[str], *names: str) -> list[dict[str, str]]:
    assert main(["models", "--public", *names, "--json"]) == 0
    found: list[dict[str, str]] = json.loads(capsys.readouterr().out)["public"]
    return found


def test_each_says_how_it_is_loaded_by_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    for one in listed(capsys):
        call = ast.parse(one["load"], mode="eval").body
        assert isinstance(call, ast.Call)
        assert isinstance(call.func, ast.Attribute)
        assert call.func.attr in tubelet.__all__
        assert one["licence"]


def test_words_choose(capsys: pytest.CaptureFixture[str]) -> None:
    assert {one["licence"] for one in listed(capsys, "videomae")} == {"CC-BY-NC-4.0"}
    assert main(["models", "--public", "resnet"]) == 2
    assert "no public weights" in capsys.readouterr().err


def test_text_has_a_command_that_starts_a_training(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--public", "google"]) == 0
    assert "tubelet train DATA --init google/vivit-b-16x2-kinetics400" in capsys.readouterr().out
