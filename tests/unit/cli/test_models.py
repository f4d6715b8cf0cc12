"""`tubelet models` against the paper's figures."""

from __future__ import annotations

import json

import pytest

from tubelet.cli.main import main

PAPER = {  # parameters, multiply-adds in G, of FACTS.md (section 1.6)
    "vivit_base_16x2": (88_954_000, 451.5),
    "vivit_base_16x2_fe": (115_062_928, 283.3),
    "vivit_base_16x2_fsa": (117_319_312, 371.1),
    "vivit_base_16x2_fdp": (88_952_464, 276.2),
    "vivit_large_16x2_fe": (354_903_440, 988.2),
}


def test_it_prints_what_the_models_of_the_paper_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["models"]}
    for name, (parameters, giga) in PAPER.items():
        assert rows[name]["parameters"] == parameters
        assert rows[name]["multiply_adds"] / 1e9 == pytest.approx(giga, rel=0.01)
        assert rows[name]["tokens"] == 3136


def test_the_table_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "vivit_base_16x2_fe"]) == 0
    assert "115,062,928" in capsys.readouterr().out


def test_names_and_sizes_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "vivit_tiny_*", "--num-frames", "16", "--image-size", "112", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["models"]
    assert all(row["name"].startswith("vivit_tiny_") for row in rows)
    assert next(row for row in rows if row["name"] == "vivit_tiny_16x2")["tokens"] == 8 * 7 * 7


def test_an_unknown_preset_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "vivit_bse_16x2_fe"]) == 2
    assert "did you mean 'vivit_base_16x2_fe'?" in capsys.readouterr().err


def test_an_unknown_preset_is_not_answered_with_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "nosuch"]) == 2
    said = capsys.readouterr().err
    assert "`tubelet models` lists them" in said
    assert len(said) < 200
