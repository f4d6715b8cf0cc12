"""A call that cannot be meant is answered with an error of tubelet that says what was expected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tubelet
from tubelet.errors import ConfigError, DataError, TubeletError, VideoError, WeightsError
from tubelet.model import ViViT

VIDEO = torch.zeros(2, 4, 3, 16, 16)
FRAMES = torch.zeros(4, 3, 16, 16, dtype=torch.uint8)
EVERY = torch.ones(2, 4, dtype=torch.bool)


def test_signatures_are_not_checked_here(model: ViViT) -> None:
    """Otherwise this folder would test the checks and not the package."""
    with pytest.raises((AttributeError, TypeError)):
        model.classify(3)  # type: ignore[arg-type]


FORMS: list[Callable[[ViViT], ViViT]] = [
    lambda model: model,
    tubelet.optimise,
    lambda model: tubelet.optimise(model, training=True),
]


@pytest.mark.parametrize("form", FORMS, ids=["plain", "inference", "training"])
@pytest.mark.parametrize(
    ("video", "message"),
    [
        (VIDEO[0], r"expected a video \[B, T, 3, H, W\], got \[4, 3, 16, 16\].*video\[None\]"),
        (VIDEO.transpose(1, 2), "channels come after frames"),
        (VIDEO.byte(), r"expected a float video.*got torch\.uint8"),
        (VIDEO[:, :3], "num_frames=3 is not a multiple of the tubelet's 2 frames; use 2 or 4"),
        (VIDEO[..., :12], "width=12 is not a multiple of the tubelet's 8 pixels; use 8 or 16"),
        (VIDEO.numpy(), r"expected video as a torch\.Tensor, got a ndarray"),
        (None, r"expected video as a torch\.Tensor, got a NoneType"),
    ],
)
def test_a_video_that_does_not_fit_is_refused(
    model: ViViT, form: Callable[[ViViT], ViViT], video: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        form(model)(video)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (EVERY.float(), r"expected a bool frame_mask \[2, 4\].*got torch\.float32"),
        (EVERY[:, :3], r"got torch\.bool \[2, 3\]"),
        (EVERY[0], r"got torch\.bool \[4\]"),
        (EVERY.tolist(), r"expected frame_mask as a torch\.Tensor, got a list"),
        (torch.tensor([[True] * 4, [False] * 4]), "every frame of a sample"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(model: ViViT, mask: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model(VIDEO, mask)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda model, clips: tubelet.predict(model, 3), TubeletError, "3|int"),
        (lambda model, clips: tubelet.predict(model, FRAMES.float()), TubeletError, "uint8"),
        (lambda model, clips: tubelet.predict(model, FRAMES[0]), TubeletError, r"\[3, 16, 16\]"),
        (lambda model, clips: tubelet.predict(model, clips / "no.mp4"), TubeletError, r"no\.mp4"),
        (lambda model, clips: tubelet.predict(nn.Linear(1, 1), FRAMES), ConfigError, "expected a ViViT.*got a Linear"),
        (lambda model, clips: tubelet.predict(None, FRAMES), ConfigError, "expected a ViViT.*got a NoneType"),
        (lambda model, clips: tubelet.predict(model, FRAMES, views=3), ConfigError, "views=3.*4x3"),
        (lambda model, clips: tubelet.predict(model, FRAMES, top=0), ConfigError, "top=0"),
        (lambda model, clips: tubelet.predict(model, FRAMES, device="gpu"), ConfigError, "use auto, cpu, cuda"),
        (lambda model, clips: list(tubelet.stream(model, FRAMES.float())), TubeletError, "uint8"),
        (lambda model, clips: tubelet.evaluate(model, None), TubeletError, "data"),
        (lambda model, clips: tubelet.evaluate(model, clips, views="many"), ConfigError, "views='many'.*4x3"),
        (lambda model, clips: tubelet.probe(None, clips), ConfigError, "expected a ViViT"),
        (lambda model, clips: tubelet.optimise(nn.Linear(1, 1)), ConfigError, "expected a ViViT, got a Linear"),
        (lambda model, clips: tubelet.merge_tokens(nn.Linear(1, 1), 0.1), ConfigError, "a Linear computes"),
        (lambda model, clips: tubelet.merge_tokens(model, 2.0), ConfigError, "2.0"),
        (lambda model, clips: tubelet.initialise(model, clips / "no.npz"), WeightsError, "no.npz"),
    ],
)
def test_a_use_of_a_model_that_does_not_fit_is_refused(
    model: ViViT, clips: Path, call: Callable[[ViViT, Path], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(model, clips)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"data": None}, DataError, "no data was named"),
        ({"data": "nowhere"}, DataError, "nowhere"),
        ({"epochs": "x"}, ConfigError, "epochs"),
        ({"epochs": -1}, ConfigError, "epochs"),
        ({"epcohs": 1}, ConfigError, "did you mean 'epochs'"),
        ({"learning_rate": "1e-3"}, ConfigError, "learning_rate"),
        ({"model": nn.Linear(1, 1)}, ConfigError, "expected a ViViT.*got a Linear"),
        ({"model": "vivit_base_16x2"}, ConfigError, "a preset is named by preset="),
        ({"config": {"epochs": 3}}, ConfigError, "expected a configuration, got a dict"),
    ],
    ids=str,
)
def test_a_training_that_cannot_be_meant_leaves_nothing(
    clips: Path, tmp_path: Path, fields: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        tubelet.train(**{"data": clips, "out": tmp_path / "run", "device": "cpu", "workers": 0, **fields})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda model: tubelet.create("vivit_bose_16x2"), "did you mean"),
        (lambda model: tubelet.create("vivit_tiny_16x2", hiden_size=3), "did you mean 'hidden_size'"),
        (lambda model: tubelet.create("vivit_tiny_16x2", hidden_size="x"), "hidden_size"),
        (lambda model: tubelet.create("vivit_tiny_16x2", labels="ab"), "a list of class names for each head"),
        (lambda model: tubelet.ViViT(model.config, None, ["day", "night"]), "a list of class names for each head"),
        (lambda model: model.reset_classifier(2, labels=["day", "night"]), "a list of class names for each head"),
        (lambda model: model.reset_classifier(-1), "num_classes"),
        (lambda model: model.reconfigure(hidden_size=3), "hidden_size"),
        (lambda model: model.freeze("heads"), "none, embedding, spatial, encoder"),
        (lambda model: model.freeze(None), "none, embedding, spatial, encoder"),
        (lambda model: tubelet.ModelConfig(hidden_size=None), "hidden_size"),
        (lambda model: tubelet.PreprocessingConfig(num_frames=None), "num_frames"),
    ],
)
def test_a_model_that_cannot_be_meant_is_refused(model: ViViT, make: Callable[[ViViT], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(model)


@pytest.mark.parametrize("frames", [FRAMES.float(), FRAMES[0], FRAMES.permute(0, 2, 3, 1)], ids=["float", "3d", "THWC"])
def test_frames_that_are_no_video_are_not_written(tmp_path: Path, frames: Tensor) -> None:
    with pytest.raises(VideoError, match=r"expected uint8, a tensor \[T, C, H, W\]"):
        tubelet.write_video(tmp_path / "a.mp4", frames, 10)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("rate", [0, -5.0, float("nan")])
def test_a_video_without_a_frame_rate_is_not_written(tmp_path: Path, rate: float) -> None:
    with pytest.raises(VideoError, match=r"frame_rate=.* is not between 0\.001 and 1,000,000"):
        tubelet.write_video(tmp_path / "a.mp4", FRAMES, rate)


def test_weights_that_are_none_are_neither_loaded_nor_saved(model: ViViT, clips: Path, tmp_path: Path) -> None:
    for source in (tmp_path / "nothing", clips):
        with pytest.raises(WeightsError, match=source.name):
            tubelet.load(source)
    with pytest.raises(ConfigError, match=r"expected a ViViT.*got a Linear"):
        tubelet.save(nn.Linear(1, 1), tmp_path / "model")
    with pytest.raises(WeightsError, match="is a file"):
        tubelet.save(model, clips / "down" / "0.mp4")
    with pytest.raises(TubeletError, match="nope"):
        tubelet.convert(model, tmp_path / "model", format="nope")
