"""Videos that show several things, from a table to a model in use: what the labels are at every step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.metrics import average_precision_score

import tubelet
from own_process import run as run_process
from tiny import train_config
from tubelet import corpus
from tubelet.cli.main import main
from tubelet.config import override
from tubelet.data import read_table
from tubelet.errors import ConfigError, DataError
from tubelet.evaluation import Evaluation, probe_temporal
from tubelet.prediction import Predictor, Result, find_events, stream
from tubelet.probing import probe
from tubelet.runs import evaluate_and_keep
from tubelet.training import SilentReporter, read_events
from tubelet.weights.native import stored_operating_points

PARTS = {
    "top": (slice(0, 12), slice(None)),
    "left": (slice(None), slice(0, 12)),
    "middle": (slice(8, 16), slice(8, 16)),
}


def film(path: Path, shown: list[str], generator: torch.Generator) -> None:
    """Each part that is shown is brighter in a colour of its own."""
    frames = torch.randint(0, 60, (8, 3, 24, 24), generator=generator)
    for channel, name in enumerate(PARTS):
        if name in shown:
            frames[:, channel, PARTS[name][0], PARTS[name][1]] += 180
    tubelet.write_video(path, frames.to(torch.uint8), 10.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 videos with none to three of the parts, and where they were filmed."""
    folder = tmp_path_factory.mktemp("parts")
    generator = torch.Generator().manual_seed(0)
    rows = ["path,shown,place,split"]
    for split, count in (("train", 48), ("val", 24), ("test", 18)):
        for number in range(count):
            shown = [name for bit, name in enumerate(PARTS) if (number * 5 + number // 8) >> bit & 1]
            film(folder / f"{split}{number}.mp4", shown, generator)
            rows.append(f"{split}{number}.mp4,{';'.join(shown)},{'indoors' if number % 2 else 'outdoors'},{split}")
    (folder / "parts.csv").write_text("\n".join(rows) + "\n")
    return folder / "parts.csv"


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "parts"
    config = override(train_config(), epochs=12, warmup_epochs=1, batch_size=8, learning_rate=5e-3, label_smoothing=0.1)
    tubelet.train(data, out, config=config, labels=("shown",), mixup=0.2, reporter=SilentReporter())
    return out


@pytest.fixture(scope="module")
def tested(trained: Path) -> Evaluation:
    return tubelet.evaluate(trained, split="test")


def test_it_learns_them_and_validates_by_mean_average_precision(trained: Path, tested: Evaluation) -> None:
    events = read_events(trained / "metrics.jsonl", "validation")
    assert all(event["top1"] is None for event in events)
    best = max(event["mean_average_precision"] for event in events)
    assert [e["mean_average_precision"] for e in events if e["best"]][-1] == best
    one = tested.multi_label["label"]
    truth = torch.zeros(18, 3)
    scores = torch.tensor([p.logits["label"] for p in tested.predictions if p.logits is not None])
    for row, prediction in zip(truth, tested.predictions, strict=True):
        assert prediction.label_sets is not None
        row[list(prediction.label_sets["label"])] = 1
    expected = average_precision_score(truth.numpy(), scores.numpy(), average="macro")
    assert one.mean_average_precision == pytest.approx(expected)
    assert expected > 0.9
    assert tested.metrics == {}


def test_thresholds_are_fitted_on_the_validation_videos_alone_and_kept(trained: Path, tested: Evaluation) -> None:
    kept = stored_operating_points(trained)["label"]
    assert (kept.fitted_on, kept.split) == (24, "val")
    assert tubelet.load(trained).operating_points == {"label": kept}
    assert [one.threshold for one in tested.multi_label["label"].per_class] == list(kept.thresholds or ())
    again = tubelet.train(out=trained, resume=True, reporter=SilentReporter())
    assert again.model.operating_points == {"label": kept}
    assert "these: too good a figure" in str(Evaluation.load(trained))


def result_of(trained: Path, data: Path, name: str) -> Result:
    found = tubelet.predict(trained, data.parent / name)
    assert isinstance(found, Result)
    return found


def test_a_prediction_has_the_labels_above_their_thresholds_and_no_best_class(trained: Path, data: Path) -> None:
    model = tubelet.load(trained)
    thresholds = model.operating_points["label"].thresholds
    assert thresholds is not None
    shown = {name: result_of(trained, data, name) for name in ("test0.mp4", "test1.mp4", "test7.mp4")}
    for result in shown.values():
        torch.testing.assert_close(result.probabilities, result.logits.sigmoid())
        reached = [n for n, p, t in zip(result.classes, result.probabilities, thresholds, strict=True) if p >= t]
        assert sorted(result.labels) == sorted(reached)
        fields = json.loads(result.to_json())
        assert [one["label"] for one in fields["labels"]] == list(result.labels)
        assert "label" not in fields
        assert "probability" not in fields
        with pytest.raises(ConfigError, match="use labels, not label"):
            _ = result.label
    assert len({len(result.labels) for result in shown.values()}) > 1


def test_the_table_in_the_terminal_lists_them(trained: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(data.parent / f"test{number}.mp4") for number in (0, 1, 7)]
    assert main(["predict", str(trained), *names]) == 0
    said = capsys.readouterr().out
    for name in names:
        block = said.partition(f"{name}\n")[2].partition(".mp4")[0]
        labels = result_of(trained, data, Path(name).name).labels
        listed = [label for label in PARTS if f"%  {label}" in block]
        assert sorted(listed) == sorted(labels)
        assert ("none of the classes (most probable" in block) == (not labels)


def test_a_stream_has_sigmoids_smoothed_as_probabilities_and_events_that_overlap(trained: Path, data: Path) -> None:
    video = data.parent / "test7.mp4"
    plain = list(stream(trained, str(video), hop=1, frame_stride=1))
    smooth = list(stream(trained, str(video), hop=1, frame_stride=1, smoothing="mean:2"))
    torch.testing.assert_close(
        smooth[1].head.probabilities, (plain[0].head.probabilities + plain[1].head.probabilities) / 2
    )
    both = [name for name, p in zip(plain[0].head.classes, plain[0].head.probabilities, strict=True) if p >= 0.5]
    assert {event.label for event in find_events(plain[:1])} == set(both)


def test_average_of_probabilities_is_one_of_sigmoids(trained: Path, data: Path) -> None:
    table = read_table(data, labels=("shown",)).select([80])
    views = [tubelet.evaluate(trained, table, views="1x1").predictions[0]]
    mean = tubelet.evaluate(trained, table, views="1x1", average="probabilities").predictions[0]
    assert views[0].logits is not None
    assert mean.logits is not None
    assert mean.logits["label"] == pytest.approx(views[0].logits["label"], abs=1e-4)


def test_thresholds_can_be_fitted_and_measured_elsewhere(trained: Path, data: Path, tmp_path: Path) -> None:
    kept = evaluate_and_keep(trained, split="test", calibrate_on="val", out=tmp_path / "e").evaluation
    assert (kept.multi_label["label"].fitted_on, kept.multi_label["label"].split) == (24, "val")
    assert Evaluation.load(tmp_path / "e").multi_label == kept.multi_label
    with pytest.raises(ConfigError, match="need the videos to fit on"):
        evaluate_and_keep(trained, split="test", keep_thresholds=True)


def test_a_run_can_learn_to_abstain_later(data: Path, tmp_path: Path) -> None:
    config = override(train_config(), epochs=1, batch_size=8)
    tubelet.train(data, tmp_path / "run", config=config, labels=("place",), report=False, reporter=SilentReporter())
    assert tubelet.load(tmp_path / "run").operating_points == {}
    fit: dict[str, Any] = {"split": "test", "calibrate_on": "val", "abstain": 0.5, "keep_thresholds": True}
    kept = evaluate_and_keep(tmp_path / "run", **fit)
    assert tubelet.load(tmp_path / "run").operating_points == kept.evaluation.operating_points
    assert kept.evaluation.operating_points["label"].split == "val"


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (lambda run, data: corpus.run(run, data.parent, "out", decoders=1), "a corpus has one class"),
        (lambda run, data: probe(run), "a probe needs one class"),
        (lambda run, data: probe_temporal(run, split="test"), "compares top-1"),
        (lambda run, data: tubelet.export(run, "model.onnx", int8=True), "several may be shown at once"),
    ],
    ids=["corpus", "probe", "probe temporal", "int8"],
)
def test_what_is_for_one_class_says_so(
    what: Any, message: str, trained: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ConfigError, DataError), match=message):
        what(trained, data)


@pytest.mark.slow
def test_an_exported_model_reports_the_same_labels(trained: Path, data: Path, tmp_path: Path) -> None:
    script = tmp_path / "export.py"
    script.write_text(f"import tubelet\ntubelet.export({str(trained)!r}, {str(tmp_path / 'onnx')!r})\n")
    run_process(script)
    names = [str(data.parent / f"test{number}.mp4") for number in range(6)]
    said = run_process(tmp_path / "onnx" / "run.py", "--json", *names).stdout
    ours = [result_of(trained, data, Path(name).name) for name in names]
    exported = Predictor(tmp_path / "onnx")(names)
    assert isinstance(exported, list)
    for line, own, other in zip(said.splitlines(), ours, exported, strict=True):
        assert [one["label"] for one in json.loads(line)["labels"]] == list(own.labels)
        assert other.labels == own.labels
        torch.testing.assert_close(other.probabilities, own.probabilities, atol=1e-4, rtol=0)


def test_an_explanation_shows_sigmoids(trained: Path, data: Path) -> None:
    found = tubelet.explain(trained, data.parent / "test7.mp4", target="left", method="balanced")
    result = result_of(trained, data, "test7.mp4")
    assert dict(found.top)["left"] == pytest.approx(float(result.probabilities[result.classes.index("left")]), abs=1e-4)


def test_one_model_has_heads_of_both_kinds(data: Path, tmp_path: Path) -> None:
    config = override(train_config(), epochs=1, batch_size=8)
    done = tubelet.train(
        data,
        tmp_path / "run",
        config=config,
        labels=("shown", "place"),
        class_weights="balanced",
        reporter=SilentReporter(),
    )
    assert done.model.config.multi_label == ("shown",)
    assert done.best is not None
    assert done.best.top1 is not None
    assert done.best.mean_average_precision is not None
    assert done.best.score == pytest.approx((done.best.top1 + done.best.mean_average_precision) / 2)
    result = result_of(tmp_path / "run", data, "test1.mp4")
    assert result.heads["place"].label in ("indoors", "outdoors")
    assert float(result.heads["place"].probabilities.sum()) == pytest.approx(1.0)
    fields = result.to_dict()["heads"]
    assert ("labels" in fields["shown"], "label" in fields["place"]) == (True, True)


def test_a_model_that_doubts_says_unknown(data: Path, tmp_path: Path) -> None:
    """Places are a coin toss, so no accuracy is reached but by chance; a threshold above all is set by hand."""
    config = override(train_config(), epochs=1, batch_size=8)
    tubelet.train(data, tmp_path / "run", config=config, labels=("place",), abstain=0.6, reporter=SilentReporter())
    model = tubelet.load(tmp_path / "run")
    point = model.operating_points["label"]
    assert point.split == "val"
    tagged = tubelet.train(
        data,
        tmp_path / "tagged",
        config=override(config, init=str(tmp_path / "run"), preset=None, model={}),
        labels=("shown",),
        reporter=SilentReporter(),
    )
    assert tagged.model.config.multi_label == ("label",)
    assert all(one.fitted_on == 24 and one.thresholds for one in tagged.model.operating_points.values())
    model.operating_points = {"label": type(point)(unknown_below=1.0, fitted_on=24, split="val")}
    tubelet.save(model, tmp_path / "doubtful")
    result = result_of(tmp_path / "doubtful", data, "test1.mp4")
    assert result.label == "unknown"
    assert result.labels == ()
    assert str(result).split(": ")[-1].startswith("unknown (")
    evaluation = tubelet.evaluate(tmp_path / "doubtful", read_table(data, labels=("place",)), split="test")
    assert evaluation.abstention["label"].coverage == 0.0
    assert "0.00% of the videos are answered" in str(evaluation)
