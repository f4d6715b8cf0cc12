"""`tubelet study` on the command line."""

from __future__ import annotations

import json

import pytest

from tubelet.cli import study
from tubelet.cli.main import main


def test_without_a_name_the_studies_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "--json"]) == 0
    listed = [entry["name"] for entry in json.loads(capsys.readouterr().out)["studies"]]
    assert listed == ["variants", "embeddings", "temporal-init", "regularisers", "tokens", "frames"]


def test_flags_change_the_generated_base_and_with_data_the_recipe(tmp_path) -> None:
    generated = study.parse(["variants", "--epochs", "3", "--fractions", "0.5", "1"], "tubelet study")
    assert generated.fractions == (0.5, 1.0)
    assert generated.base.model["embedding"] == "conv_stem"
    assert generated.command == "tubelet study variants --epochs 3 --fractions 0.5 1"
    given = study.parse(["variants", "--data", str(tmp_path), "--labels", "class", "--mixup", "0.2"], "tubelet study")
    assert given.base.recipe == "small-data"
    assert given.data.labels == ("class",)
    assert given.augmentation.mixup == 0.2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--jobs", "2", "variants"], "name the study first"),
        (["variantz"], "did you mean 'variants'"),
        (["variants", "--rungs", "mixup"], "rungs means nothing in the study 'variants'"),
    ],
)
def test_what_is_misspoken_is_an_error_that_helps(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", *words]) == 2
    assert message in capsys.readouterr().err
