"""An exported model where a model is taken: what works gives what the model gives, and the rest is refused in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet
import pytest
import torch

import tubelet
from tubelet.corpus import run as run_corpus
from tubelet.errors import ConfigError

Export = Callable[[str], Path]


@pytest.fixture
def onnx(exported: Export) -> Path:
    return exported("onnx")


def test_clips_that_overlap_are_averaged_as_by_the_model(onnx: Path, trained: Path, bars: Path) -> None:
    video = next(bars.rglob("*.mp4"))
    own = tubelet.predict(trained, video, views="5x1")
    found = tubelet.predict(onnx, video, views="5x1")
    assert found.probability == pytest.approx(own.probability, abs=1e-5)
    assert found.label == own.label


def test_a_stream_computes_every_window_and_decides_as_the_model(onnx: Path, trained: Path, bars: Path) -> None:
    video = str(next(bars.rglob("*.mp4")))
    own, found = (list(tubelet.stream(model, video)) for model in (trained, onnx))
    assert len(own) == len(found) > 1
    for one, other in zip(own, found, strict=True):
        assert (one.start, one.label) == (other.start, other.label)
        assert other.probability == pytest.approx(one.probability, abs=1e-5)
    assert "takes whole clips" in tubelet.stream(onnx, video).reuse


def test_a_corpus_is_labelled_as_by_the_model(onnx: Path, trained: Path, bars: Path, tmp_path: Path) -> None:
    rows = []
    for model, out in ((trained, tmp_path / "own"), (onnx, tmp_path / "exported")):
        run_corpus(model, bars, out, workers=0)
        rows.append(pyarrow.parquet.read_table(out / "part-000000.parquet").to_pylist())
    for own, found in zip(*rows, strict=True):
        assert (own["path"], own["status"], own["label"]) == (found["path"], found["status"], found["label"])
        assert found["probability"] == pytest.approx(own["probability"], abs=1e-5)
    with pytest.raises(ConfigError, match="gives logits alone"):
        run_corpus(onnx, bars, tmp_path / "embedded", workers=0, embed=True)


@pytest.mark.parametrize("method", ["auto", "balanced", "occlusion"])
def test_it_is_not_explained(onnx: Path, bars: Path, method: str) -> None:
    with pytest.raises(ConfigError, match="is an exported model"):
        tubelet.explain(onnx, next(bars.rglob("*.mp4")), method=method)


def test_what_needs_weights_is_refused(onnx: Path, bars: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="takes weights"):
        tubelet.save(tubelet.load(onnx), tmp_path / "model")
    with pytest.raises(ConfigError, match="takes weights"):
        tubelet.probe(onnx, bars, feature_folder=tmp_path, workers=0)
    assert not (tmp_path / "model").exists()
    with pytest.raises(ConfigError, match="computes in its own runtime"):
        tubelet.load(onnx).to(torch.bfloat16)
