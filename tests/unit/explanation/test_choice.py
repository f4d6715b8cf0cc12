"""Which method is taken, and the table that says why: on sample clips, and on a data set."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tests.tiny import MODEL

import tubelet
from tubelet.cli.main import main
from tubelet.config import ModelConfig
from tubelet.errors import ConfigError
from tubelet.explanation import auto_method, choice, compare_methods, compare_on_data, explain
from tubelet.explanation.choice import FILE
from tubelet.explanation.comparison import RANDOM
from tubelet.explanation.methods import DEFAULT
from tubelet.json_files import read_json_object
from tubelet.model import ViViT
from tubelet.paths import packaged_model


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """Without what an earlier test had remembered in it."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_the_method_with_the_best_score_on_sample_clips_is_taken_remembered_and_said(run: Path) -> None:
    model, passes = tubelet.load(run), []
    method, why = auto_method(model, lambda done, total: passes.append(done))
    assert passes
    kept = read_json_object(run / FILE)
    gains = {one["method"]: one["gain"] for one in kept["methods"]}
    assert set(gains) == {"balanced", "balanced_tokens", "shapley", "rollout", RANDOM}
    del gains[RANDOM]
    assert gains[method] == max(gains.values())
    assert f"method {method}: relevance gain {gains[method]:.2f} on {kept['clips']} sample clips" in why

    passes.clear()
    again, why = auto_method(tubelet.load(run), lambda done, total: passes.append(done))
    assert again == method
    assert not passes
    assert f"the best on the run's sample clips ({FILE})" in why


def test_nothing_is_written_to_the_model_that_comes_with_the_package(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert packaged_model("demo") == choice.PACKAGED_MODEL
    monkeypatch.setattr(choice, "PACKAGED_MODEL", run)
    method, why = auto_method(tubelet.load(run))
    assert f"method {method}: relevance gain" in why
    assert not (run / FILE).exists()


def test_what_was_remembered_is_taken_and_other_weights_are_scored_anew(run: Path) -> None:
    model = tubelet.load(run)
    auto_method(model)
    kept = read_json_object(run / FILE)
    (run / FILE).write_text(json.dumps({**kept, "best": "rollout"}))
    assert explain(model, torch.rand(1, 4, 3, 16, 16)).method == "rollout"
    with torch.no_grad():
        model.head.weight.add_(torch.randn_like(model.head.weight))
    _, why = auto_method(model)
    assert "sample clips" in why
    assert FILE not in why
    assert read_json_object(run / FILE)["weights"] != kept["weights"]


def test_a_model_without_sample_clips_gets_the_default_and_says_so(run: Path) -> None:
    model = tubelet.load(run)
    model.sample_clips = None
    method, why = auto_method(model)
    assert method == DEFAULT
    assert "no sample clips" in why


def test_the_verb_says_which_method_it_took(run: Path, bars: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = bars / "left" / "0.mp4"
    words = ["explain", str(run), str(video), "--out", str(run / "out")]
    assert main(words) == 0
    printed = capsys.readouterr()
    method = read_json_object(run / FILE)["best"]
    assert f"method {method}: relevance gain" in printed.err
    assert f"by {method}" in printed.out


def test_methods_are_scored_on_unlearned_videos_each_as_explain_scores_it(run: Path) -> None:
    """The mean of the score of every test video, and differences from the default on the same videos."""
    methods = ["rollout", "balanced_tokens", "balanced"]
    found = compare_on_data(run, methods=methods)
    model = tubelet.load(run)
    rows = [line.split(",") for line in (run / "splits.csv").read_text().splitlines()]
    place = {name: rows[0].index(name) for name in ("path", "split")}
    videos = [row[place["path"]] for row in rows[1:] if row[place["split"]] == "test"]
    assert found.clips == len(videos) >= 3
    assert found.reference == DEFAULT
    gains = {
        method: [explain(model, video, method=method, score=True).score.gain for video in videos] for method in methods
    }
    by_name = {one.method: one for one in found.scores}
    for method, values in gains.items():
        mean = sum(values) / len(values)
        assert by_name[method].gain == pytest.approx(mean, abs=1e-4)
        assert by_name[method].difference == pytest.approx(mean - sum(gains[DEFAULT]) / len(videos), abs=1e-4)
    assert [one.gain for one in found.scores] == sorted((one.gain for one in found.scores), reverse=True)
    assert by_name[DEFAULT].difference_interval in (None, (0, 0))
    assert found.best in methods


def test_differences_are_paired_their_interval_is_of_the_same_clips_for_both_methods() -> None:
    """Two methods whose gains go together differ by less than their own intervals are wide."""
    torch.manual_seed(0)
    model = ViViT(ModelConfig(**{**MODEL, "variant": "factorised_encoder", "pool": "mean", "num_classes": 3})).eval()
    clips = [(torch.rand(1, 4, 3, 16, 16), None) for _ in range(24)]
    found = compare_methods(model, clips, ["balanced", "balanced_tokens"])
    scores = {one.method: one for one in found.scores}
    widths = []
    for name, value, interval in (
        ("balanced", scores["balanced"].gain, scores["balanced"].interval),
        (DEFAULT, scores[DEFAULT].gain, scores[DEFAULT].interval),
        ("paired", scores["balanced"].difference, scores["balanced"].difference_interval),
    ):
        assert interval is not None, name
        assert interval[0] <= value <= interval[1], name
        widths.append(interval[1] - interval[0])
    assert widths[2] < 0.7 * (widths[0] + widths[1])


def test_the_verb_prints_and_writes_the_table_and_replaces_none(
    run: Path, bars: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["explain", str(run), "--score", "--data", str(bars), "--most", "4", "--out", str(run / "out")]
    assert main(words) == 0
    printed = capsys.readouterr().out
    table = (run / "out" / "methods.md").read_text()
    numbers = read_json_object(run / "out" / "methods.json")
    assert numbers["reference"] == DEFAULT
    for one in numbers["methods"]:
        assert f"| {one['method']} | {one['gain']:.3f} |" in table
        assert one["method"] in printed
    rollout = next(one for one in numbers["methods"] if one["method"] == "rollout")
    assert f"{rollout['difference']:+.3f}" in printed
    assert main(words) == 2
    assert "exists and is not overwritten" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["clips"] == numbers["clips"]


def test_an_unknown_method_is_an_error_before_anything_is_scored(run: Path) -> None:
    with pytest.raises(ConfigError, match="no method 'rolout'; did you mean 'rollout'"):
        compare_on_data(run, methods=["rolout"])
