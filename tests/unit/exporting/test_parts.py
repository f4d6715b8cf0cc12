"""A factorised encoder exported in two parts: streams and overlapping views encode each tubelet once, equally."""

from __future__ import annotations

from pathlib import Path

import pytest

import tubelet
from own_process import run
from tubelet.errors import ConfigError
from tubelet.exporting import check_export


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Path:
    out = tmp_path_factory.mktemp("parts") / "out"
    run("-m", "tubelet", "export", trained, out, "--parts")
    return out


def test_a_stream_encodes_each_tubelet_once_and_decides_as_the_model(folder: Path, trained: Path, bars: Path) -> None:
    video = str(next(bars.rglob("*.mp4")))
    own, found = tubelet.stream(trained, video), tubelet.stream(folder, video)
    assert found.reuse == "every tubelet is encoded once"
    for one, other in zip(own, found, strict=True):
        assert other.label == one.label
        assert other.probability == pytest.approx(one.probability, abs=1e-5)
    assert found.encoded == own.encoded == 4  # three windows of two tubelets


def test_views_that_overlap_share_tubelets_and_give_what_one_graph_gives(folder: Path, bars: Path) -> None:
    video = next(bars.rglob("*.mp4"))
    whole = tubelet.load(folder)
    whole.parts = ()
    ours, theirs = tubelet.predict(folder, video, views="5x1"), tubelet.predict(whole, video, views="5x1")
    logits, expected = ours.heads["label"].logits, theirs.heads["label"].logits
    assert (logits - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_part_that_was_changed_is_found(folder: Path, tmp_path: Path) -> None:
    assert check_export(folder).ok
    content = (folder / "time.onnx").read_bytes()
    try:
        (folder / "time.onnx").write_bytes(content[:-100])
        problems = check_export(folder).problems
    finally:
        (folder / "time.onnx").write_bytes(content)
    assert any("time.onnx is not the file" in problem for problem in problems)
    assert any("time.onnx: cannot be loaded" in problem for problem in problems)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"variant": "spatio_temporal"}, "mixes times"), ({"embedding": "conv_stem"}, "sees their neighbours")],
)
def test_other_models_have_no_parts(trained: Path, tmp_path: Path, changes: dict[str, str], words: str) -> None:
    plain = tubelet.load(trained)
    sizes = {"num_frames": 4, "image_size": 16, "tubelet_size": (2, 8, 8), "hidden_size": 16, "num_layers": 1}
    config = tubelet.ModelConfig(
        **{"variant": "factorised_encoder", **sizes, "num_heads": 2, "mlp_dim": 16, "num_classes": 3, **changes}
    )
    model = tubelet.ViViT(config, preprocessing=plain.preprocessing).eval()
    with pytest.raises(ConfigError, match=words):
        tubelet.export(model, tmp_path / "out", parts=True)
