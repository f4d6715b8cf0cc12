"""A scene is predicted alike, whatever the frame rate of its video."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch

import tubelet
from tubelet.config import ModelConfig, PreprocessingConfig
from tubelet.config.data import NO_AUGMENTATION
from tubelet.config.model import replace
from tubelet.data import ClipDataset, FrameCache, Sample, Table
from tubelet.evaluation import evaluate
from tubelet.model import ViViT
from tubelet.prediction import Result, predict, stream
from tubelet.video import Clip

MASTER = 120
"""Frames per second of the scenes that all videos are taken from."""

SECONDS = 4


def scene(seed: int) -> torch.Tensor:
    """Waves that move through the picture, uint8 [480, 3, 40, 48]."""
    generator = torch.Generator().manual_seed(seed)
    time = (torch.arange(MASTER * SECONDS) / MASTER)[:, None, None]
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(48.0), indexing="ij")
    channels = []
    for _ in range(3):
        draws = torch.rand(3, 4, generator=generator).tolist()
        waves = [
            torch.sin(0.5 * across * x + 0.5 * down * y + math.tau * ((0.5 + 2 * pace) * time + phase))
            for across, down, pace, phase in draws
        ]
        channels.append(torch.stack(waves).sum(0))
    return ((torch.stack(channels, dim=1) / 6 + 0.5) * 255).clamp(0, 255).to(torch.uint8)


def at(rate: int, first: int = 0) -> list[int]:
    return list(range(first, MASTER * SECONDS, MASTER // rate)) if MASTER % rate == 0 else _nearest(rate)


def _nearest(rate: int) -> list[int]:
    return [round(number * MASTER / rate) for number in range(rate * SECONDS)]


def uneven(seed: int) -> list[int]:
    """Steps of 1/60 to 1/20 of a second."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2, 7, (300,), generator=generator).cumsum(0).clamp(max=MASTER * SECONDS).unique()[:-1].tolist()


def clip(frames: torch.Tensor, numbers: list[int]) -> Clip:
    times = torch.tensor(numbers, dtype=torch.float64) / MASTER
    return Clip(frames[numbers], times, tuple(range(len(numbers))), "scene.mp4")


def probabilities(model: ViViT, video: Clip, *, resample: bool = True) -> torch.Tensor:
    result = predict(model, video, resample=resample)
    assert isinstance(result, Result)
    return result.probabilities


@pytest.fixture
def at_thirty(model: ViViT) -> ViViT:
    """A model that was trained at 30 frames a second."""
    assert model.preprocessing is not None
    model.preprocessing = dataclasses.replace(model.preprocessing, frames_per_second=30.0)
    return model


def test_other_rates_change_a_prediction_no_more_than_a_shift_by_one_frame(
    config: ModelConfig, preprocessing: PreprocessingConfig
) -> None:
    longer = dataclasses.replace(preprocessing, num_frames=16, frames_per_second=30.0)
    at_thirty = ViViT(replace(config, num_frames=16), longer).eval()
    with torch.no_grad():
        at_thirty.head.weight.mul_(50)
    changes: dict[str, list[float]] = {}
    for seed in range(6):
        frames = scene(seed)
        expected = probabilities(at_thirty, clip(frames, at(30)))

        def note(name: str, found: torch.Tensor, expected: torch.Tensor = expected) -> None:
            changes.setdefault(name, []).append(float((found - expected).abs().max()))

        note("shift", probabilities(at_thirty, clip(frames, at(30, first=8))))
        note("uneven", probabilities(at_thirty, clip(frames, uneven(seed))))
        for rate in (15, 24, 50, 60):
            video = clip(frames, at(rate))
            note(str(rate), probabilities(at_thirty, video))
            note(f"{rate} by number", probabilities(at_thirty, video, resample=False))
    means = {name: statistics.mean(values) for name, values in changes.items()}
    for name in ("15", "24", "50", "60", "uneven"):
        assert means[name] <= means["shift"]
    for rate in (15, 24, 50, 60):
        assert means[f"{rate} by number"] > means[str(rate)]


def test_an_equal_rate_is_what_it_was_to_the_last_bit(at_thirty: ViViT) -> None:
    video = clip(scene(0), at(30))
    result = predict(at_thirty, video)
    assert isinstance(result, Result)
    assert not result.resampled
    assert torch.equal(result.probabilities, probabilities(at_thirty, video, resample=False))


def test_a_stream_makes_the_same_decisions_at_another_rate(at_thirty: ViViT) -> None:
    frames = scene(1)
    expected = list(stream(at_thirty, clip(frames, at(30))))
    for source in (clip(frames, at(60)), iter(frames[at(60)])):
        decisions = stream(at_thirty, source, frame_rate=60.0)
        assert decisions.rate == 30.0
        found = list(decisions)
        assert [decision.start for decision in found] == pytest.approx([decision.start for decision in expected])
        assert found[3].frames == (24, 36)  # of the source
        for one, other in zip(found, expected, strict=True):
            assert torch.allclose(one.head.logits, other.head.logits, atol=1e-5)


def test_frames_without_a_clock_are_taken_by_number(at_thirty: ViViT, tmp_path: Path) -> None:
    frames = scene(2)[:40]
    result = predict(at_thirty, frames)
    assert isinstance(result, Result)
    assert (result.indices, result.resampled) == ((16, 18, 20, 22), False)
    assert stream(at_thirty, iter(frames)).rate is None


def write(path: Path, frames: torch.Tensor, times: list[int]) -> str:
    """A video of frames that are shown at these times, in 1/120 of a second."""
    with av.open(str(path), "w") as container:
        coder = container.add_stream("libx264", rate=30, options={"crf": "10", "preset": "ultrafast"})
        coder.height, coder.width, coder.pix_fmt = 40, 48, "yuv420p"
        coder.codec_context.time_base = Fraction(1, MASTER)
        for pixels, time in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels.permute(1, 2, 0).contiguous().numpy(), "rgb24")
            frame.pts, frame.time_base = time, Fraction(1, MASTER)
            container.mux(coder.encode(frame))
        container.mux(coder.encode(None))
    return str(path)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Videos of 30, 60 and an uneven number of frames a second."""
    numbers = {"a": at(30), "b": at(60), "c": uneven(1)}
    samples = [
        Sample(write(tmp_path / f"{name}.mp4", scene(3)[kept], kept), {"label": place})
        for place, (name, kept) in enumerate(numbers.items())
    ]
    return Table(tuple(samples), {"label": ["run", "walk", "sit"]}, str(tmp_path))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_evaluation_counts_the_videos_of_another_rate(at_thirty: ViViT, table: Table, workers: int) -> None:
    evaluation = evaluate(at_thirty, table, workers=workers)
    assert evaluation.resampled == 2
    assert "2 videos have another frame rate than the model and were sampled by timestamps" in str(evaluation)
    assert [prediction.resampled for prediction in evaluation.predictions] == [None, True, True]
    by_number = evaluate(at_thirty, table, resample=False)
    assert (by_number.resampled, "frame rate" in str(by_number)) == (0, False)
    assert by_number.predictions[0].logits == evaluation.predictions[0].logits
    assert by_number.predictions[1].logits != evaluation.predictions[1].logits


def test_a_training_clip_of_another_rate_holds_the_same_moments(table: Table, at_thirty: ViViT) -> None:
    assert at_thirty.preprocessing is not None
    centre = dataclasses.replace(NO_AUGMENTATION, temporal="centre")
    for cache in (None, FrameCache(3, 0.1)):
        clips = ClipDataset(table, at_thirty.preprocessing, augmentation=centre, cache=cache)
        for _ in range(2):  # the second time out of the cache
            items = [clips[0], clips[1]]
            thirty, sixty = (item["video"] for item in items if isinstance(item, dict))
            assert (thirty - sixty).abs().mean() < 0.05
            by_number = dataclasses.replace(at_thirty.preprocessing, resample=False)
            other = ClipDataset(table, by_number, augmentation=centre)[1]
            assert isinstance(other, dict)
            assert (thirty - other["video"]).abs().mean() > 0.08


def test_a_training_stores_the_rate_of_its_videos(table: Table, tmp_path: Path) -> None:
    model = tubelet.create(
        "vivit_tiny_16x2", labels=["run", "walk", "sit"], num_frames=4, image_size=32, hidden_size=16, num_layers=1,
        num_heads=2, mlp_dim=16,
    )  # fmt: skip
    model.preprocessing = PreprocessingConfig(num_frames=4, resize=32, crop_size=(32, 32))
    learned = table.with_splits(lambda sample: "train")
    trained = tubelet.train(learned, tmp_path / "run", model=model, epochs=1, batch_size=3, workers=0)
    stored = tubelet.load(tmp_path / "run").preprocessing
    assert stored is not None
    assert stored.frames_per_second == pytest.approx(30, abs=3)
    notes = " ".join(json.loads((tmp_path / "run" / "run.json").read_text())["notes"])
    assert "of 3 videos looked at have another frame rate" in notes
    again = tubelet.train(
        learned.select([1]), tmp_path / "again", model=trained.model, epochs=1, batch_size=1, workers=0
    )
    assert again.model.preprocessing is not None
    assert again.model.preprocessing.frames_per_second == stored.frames_per_second  # what the weights know stays
