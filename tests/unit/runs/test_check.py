"""Sample clips hold a model to its logits: on another machine, in another form, in another type."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import tubelet
from tubelet.cli.main import main
from tubelet.errors import ConfigError, WeightsError
from tubelet.runs import SampleClips, check_samples, compare_logits
from tubelet.runs.check import TOLERANCE
from tubelet.runs.samples import sample_logits


def test_the_trained_model_gives_its_logits_plain_and_optimised_in_both_types(run: Path) -> None:
    checked = check_samples(run, backends=["plain", "optimise"], precisions=["float32", "bfloat16"])
    assert checked.ok
    assert checked.same_weights
    differences = [check.difference for check in checked.checks]
    assert all(one is not None and one.same_top1 == one.clips == 6 for one in differences)
    plain, plain_bfloat16 = differences[:2]
    assert plain is not None
    assert plain_bfloat16 is not None
    assert plain.logits == 0.0
    assert plain_bfloat16.logits > 0.0


def test_other_weights_are_found_out(run: Path) -> None:
    model = tubelet.load(run)
    with torch.no_grad():
        model.get_parameter("head.weight").mul_(1.5)
    checked = check_samples(model, backends=["plain"])
    assert not checked.same_weights
    assert not checked.ok


def test_clips_go_with_the_weights_they_belong_to_and_with_no_others(run: Path, tmp_path: Path) -> None:
    model = tubelet.load(run)
    tubelet.save(model, tmp_path / "copy")
    assert check_samples(tmp_path / "copy", backends=["plain"]).ok
    again = tubelet.load(tmp_path / "copy")
    tubelet.save(again, tmp_path / "copy", overwrite=True)
    assert (tmp_path / "copy" / "sample_clips.safetensors").is_file()
    tubelet.save(again.half(), tmp_path / "copy", overwrite=True)
    assert not (tmp_path / "copy" / "sample_clips.safetensors").exists()
    with pytest.raises(WeightsError, match="has no sample clips"):
        check_samples(tmp_path / "copy")


def test_a_model_in_half_precision_is_held_to_the_tolerance_of_its_type(run: Path) -> None:
    model = tubelet.load(run).to(torch.bfloat16)
    (check,) = check_samples(model, run, backends=["plain"]).checks
    assert check.ok
    assert check.difference is not None
    largest = float(SampleClips.read(run).logits["label"].abs().max())
    assert check.difference.tolerance == pytest.approx(TOLERANCE[torch.bfloat16] * largest)


def test_logits_of_another_program_are_compared(run: Path) -> None:
    samples, model = SampleClips.read(run), tubelet.load(run)
    given = torch.stack([sample_logits(model, *clip)["label"] for clip in samples])
    assert compare_logits(samples, {"label": given}).agrees
    assert not compare_logits(samples, {"label": given.flip(1)}).agrees
    given[0, 0] = float("nan")
    assert not compare_logits(samples, {"label": given}).agrees
    with pytest.raises(WeightsError, match="another model"):
        compare_logits(samples, {"label": given[:3]})


def test_a_backend_that_was_named_has_to_be_there(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(model: object) -> None:
        raise RuntimeError("no compiler")

    monkeypatch.setitem(tubelet.runs.check.BACKENDS, "compile", missing)
    with pytest.raises(ConfigError, match="compile cannot compute here: no compiler"):
        check_samples(run, backends=["compile"])
    checked = check_samples(run)
    assert next(check.problem for check in checked.checks if check.backend == "compile") == "no compiler"
    assert checked.ok
    with pytest.raises(ConfigError, match="'fast' is unknown"):
        check_samples(run, backends=["fast"])  # type: ignore[list-item]


def test_the_doctor_looks_at_a_run(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--measure", "0", "--backends", "plain", "optimise"]
    assert main(["doctor", str(run), *words]) == 0
    printed = capsys.readouterr().out
    assert "6 of 6" in printed
    assert printed.count("agrees") == 2
    other = tmp_path / "other"
    shutil.copytree(run, other)
    weights = load_file(other / "model.safetensors")
    name = next(name for name in weights if name.startswith("head."))
    weights[name] += 1.0
    save_file(weights, other / "model.safetensors")
    assert main(["doctor", str(other), *words, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert not said["samples"]["ok"]
    assert not said["samples"]["same_weights"]
    assert main(["doctor", str(tmp_path / "nothing")]) == 2
