"""Streams: every decision is that of the window computed anew, whatever the model, the hop and the source."""

from __future__ import annotations

import dataclasses
import gc
import math
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import tubelet
from tubelet.config import ModelConfig, PreprocessingConfig
from tubelet.config.model import replace
from tubelet.errors import ConfigError, DataError, VideoError
from tubelet.model import ViViT
from tubelet.prediction import Decision, predict, stream
from tubelet.video import Clip, Preprocessing

COUNT = 30


def scene(number: int) -> Tensor:
    generator = torch.Generator().manual_seed(number)
    return (torch.rand(3, 40, 48, generator=generator) * 255).to(torch.uint8)


FRAMES = torch.stack([scene(number) for number in range(COUNT)])


def made(config: ModelConfig, preprocessing: PreprocessingConfig, **changes: Any) -> ViViT:
    model = ViViT(replace(config, **changes), preprocessing).eval()
    with torch.no_grad():
        model.head.weight.mul_(50)
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()  # so that padding in time, which a bias turns into a signal, is felt
    return model


def anew(model: ViViT, numbers: list[int]) -> Tensor:
    """Logits of a window, computed as a whole."""
    assert model.preprocessing is not None
    with torch.no_grad():
        logits = model(Preprocessing(model.preprocessing).spatial(FRAMES[numbers]))
    assert isinstance(logits, Tensor)
    return logits[0].double()


def hold(model: ViViT, decisions: list[Decision], hop: int, stride: int = 2) -> None:
    length = model.preprocessing.num_frames if model.preprocessing is not None else 0
    span = (length - 1) * stride + 1
    assert len(decisions) == (COUNT - span) // hop + 1
    for number, decision in enumerate(decisions):
        numbers = list(range(number * hop, number * hop + span, stride))
        assert decision.frames == (numbers[0], numbers[-1])
        assert torch.allclose(decision.head.logits, anew(model, numbers), atol=1e-5)


KINDS: list[dict[str, Any]] = [
    {},
    {"temporal_layers": 0},
    {"pool": "mean"},
    {"embedding": "conv_stem", "num_frames": 12, "hidden_size": 32},
    {"embedding": "conv_stem", "num_frames": 6, "tubelet_size": (1, 16, 16), "hidden_size": 32},
    {"embedding": "uniform_frames", "num_frames": 6},
    {"embedding": "uniform_frames", "num_frames": 8, "sampled_frames": 3},
    {"variant": "spatio_temporal"},
    {"variant": "factorised_self_attention"},
]


@pytest.mark.parametrize("changes", KINDS, ids=lambda changes: "-".join(map(str, changes.values())) or "default")
@pytest.mark.parametrize("hop", [4, 3])
def test_every_decision_is_that_of_its_window(
    config: ModelConfig, preprocessing: PreprocessingConfig, changes: dict[str, Any], hop: int
) -> None:
    length = changes.get("num_frames", 4)
    model = made(config, dataclasses.replace(preprocessing, num_frames=length), **changes)
    hold(model, list(stream(model, FRAMES, hop=hop)), hop)
    hold(model, list(stream(model, iter(FRAMES), hop=hop)), hop)


def test_each_tubelet_is_encoded_once(model: ViViT) -> None:
    decisions = stream(model, FRAMES)
    assert decisions.hop == 4
    assert len(list(decisions)) == 6
    assert decisions.encoded == 7  # two in the first window, one more with every decision
    assert "encoded once" in decisions.reuse


def test_between_the_borders_a_stem_is_shared_too(config: ModelConfig, preprocessing: PreprocessingConfig) -> None:
    """Of a window's six tubelets the first two and the last feel the clip's ends; the three between are others' too."""
    twelve = dataclasses.replace(preprocessing, num_frames=12, frame_stride=1)
    model = made(config, twelve, embedding="conv_stem", num_frames=12, hidden_size=32)
    decisions = stream(model, FRAMES)
    assert len(list(decisions)) == 10
    assert decisions.encoded == 6 + 9 * 4


def test_other_models_say_that_they_compute_windows_anew(
    config: ModelConfig, preprocessing: PreprocessingConfig
) -> None:
    decisions = stream(made(config, preprocessing, variant="spatio_temporal"), FRAMES)
    assert "every window is computed from its frames: spatio_temporal" in repr(decisions)
    assert len(list(decisions)) == decisions.encoded == 6


def test_file_address_clip_and_frames_say_the_same(model: ViViT, tmp_path: Path) -> None:
    file = tubelet.write_video(tmp_path / "a.mp4", FRAMES, 10.0)
    clip = tubelet.read_video(file)
    expected = list(stream(model, file))
    handler = partial(_Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://user:word@127.0.0.1:{server.server_port}/a.mp4"
        with stream(model, address) as live:
            assert "word" not in live.name
            from_address = list(live)
        server.shutdown()
    for decisions in (from_address, list(stream(model, clip)), list(stream(model, iter(clip.frames), frame_rate=10.0))):
        assert [d.frames for d in decisions] == [d.frames for d in expected]
        for one, other in zip(decisions, expected, strict=True):
            assert torch.allclose(one.head.logits, other.head.logits, atol=1e-5)
            assert (one.start, one.end) == pytest.approx((other.start, other.end))
    assert expected[1].start == pytest.approx(0.4)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


@pytest.mark.parametrize("short_clips", ["loop", "mask"])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_short_video_has_the_decision_that_predict_makes(model: ViViT, short_clips: str, count: int) -> None:
    assert model.preprocessing is not None
    model.preprocessing = dataclasses.replace(model.preprocessing, short_clips=short_clips)  # type: ignore[arg-type]
    expected = predict(model, FRAMES[:count])
    assert not isinstance(expected, list)
    for source in (FRAMES[:count], iter(FRAMES[:count])):
        (decision,) = stream(model, source)
        assert torch.allclose(decision.head.logits, expected.logits, atol=1e-5)


def test_several_heads(config: ModelConfig, preprocessing: PreprocessingConfig) -> None:
    model = ViViT(replace(config, num_classes={"verb": 2, "noun": 3}), preprocessing).eval()
    decision = list(stream(model, FRAMES))[3]
    with torch.no_grad():
        expected = model(Preprocessing(preprocessing).spatial(FRAMES[12:20:2]))
    for name in ("verb", "noun"):
        assert torch.allclose(decision.heads[name].logits, expected[name][0].double(), atol=1e-5)
    with pytest.raises(ConfigError, match="several heads"):
        _ = decision.label


def test_a_stride_for_another_frame_rate(model: ViViT) -> None:
    decisions = list(stream(model, FRAMES, frame_stride=3, hop=6))
    hold(model, decisions, hop=6, stride=3)


def test_memory_does_not_grow_with_the_video(model: ViViT) -> None:
    """After twenty decisions and after two hundred as many bytes of tensors are alive."""

    def alive() -> int:
        gc.collect()
        return sum(thing.nbytes for thing in gc.get_objects() if type(thing) is Tensor)

    decisions = stream(model, (scene(number) for number in range(1000)))
    held = []
    for decision in decisions:
        if decision.number in (20, 200):
            held.append(alive())
    assert held[0] == held[1]


@pytest.mark.slow
def test_memory_stays_constant_over_an_hour(model: ViViT) -> None:
    """90,000 frames: the process itself does not grow either."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    frames = (FRAMES[number % COUNT] for number in range(90_000))
    sizes = [resident() for decision in stream(model, frames) if decision.number % 1000 == 999]
    assert len(sizes) == 22
    assert max(sizes) - sizes[0] < 10 * 2**20


def test_it_holds_no_more_than_a_window(model: ViViT) -> None:
    decisions = stream(model, (scene(number) for number in range(10_000)))
    for _ in islice(decisions, 20):
        assert len(decisions._frames) <= 7
        assert len(decisions._vectors) <= 2


def test_frames_are_read_no_further_than_needed(model: ViViT) -> None:
    taken: list[int] = []

    def frames() -> Iterator[Tensor]:
        for number in range(10**9):
            taken.append(number)
            yield scene(number % 3)

    decisions = stream(model, frames())
    next(decisions)
    assert taken[-1] == 6
    next(decisions)
    assert taken[-1] == 10


def test_smoothing_is_an_average_of_probabilities(model: ViViT) -> None:
    plain = torch.stack([d.head.probabilities for d in stream(model, FRAMES)])
    means = torch.stack([d.head.probabilities for d in stream(model, FRAMES, smoothing="mean:3")])
    assert torch.allclose(means[4], plain[2:5].mean(0))
    assert torch.allclose(means[1], plain[:2].mean(0))
    falling = torch.stack([d.head.probabilities for d in stream(model, FRAMES, smoothing="exponential:0.25")])
    by_hand = plain[0]
    for newest in plain[1:]:
        by_hand = 0.25 * newest + 0.75 * by_hand
    assert torch.allclose(falling[-1], by_hand)


@pytest.mark.parametrize(
    "smoothing", ["mean", "mean:0", "mean:2.5", "exponential:0", "exponential:2", "median:3", "mean:inf"]
)
def test_smoothing_that_does_not_exist_is_refused(model: ViViT, smoothing: str) -> None:
    with pytest.raises(ConfigError, match="mean:5"):
        stream(model, FRAMES, smoothing=smoothing)


def test_frames_spread_over_a_whole_video_need_a_stride(model: ViViT) -> None:
    assert model.preprocessing is not None
    model.preprocessing = dataclasses.replace(model.preprocessing, sampling="uniform", frame_stride=1)
    with pytest.raises(ConfigError, match="frame_stride=4"):
        stream(model, FRAMES)
    hold(model, list(stream(model, FRAMES, frame_stride=2)), hop=4)


def test_what_is_no_stream_is_refused(model: ViViT) -> None:
    with pytest.raises(VideoError, match="does not exist"):
        stream(model, "gone.mp4")
    with pytest.raises(VideoError, match="ftp:// is not opened"):
        stream(model, "ftp://host/a.mp4")
    with pytest.raises(DataError, match="expected a path"):
        stream(model, b"frames")
    with pytest.raises(VideoError, match=r"frame 0 is .* expected uint8 \[3, H, W\]"):
        next(stream(model, [torch.zeros(3, 8, 8)]))
    with pytest.raises(VideoError, match="has no frames"):
        next(stream(model, []))
    with pytest.raises(ConfigError, match="hop=0"):
        stream(model, FRAMES, hop=0)
    with pytest.raises(VideoError, match="camera 99"):
        stream(model, 99)


@pytest.mark.parametrize("frame_rate", [0.0, -5.0, math.nan, math.inf])
def test_frame_rates_that_are_none_are_refused(model: ViViT, frame_rate: float) -> None:
    with pytest.raises(ConfigError, match="frame_rate="):
        stream(model, iter(FRAMES), frame_rate=frame_rate)


def test_a_clip_keeps_its_own_times(model: ViViT) -> None:
    times = torch.arange(COUNT, dtype=torch.float64) * 0.5 + 3
    clip = Clip(FRAMES, times, tuple(range(COUNT)), "a.mp4")
    decision = list(stream(model, clip))[1]
    assert (decision.start, decision.end, decision.middle) == (5.0, 8.0, 6.5)
