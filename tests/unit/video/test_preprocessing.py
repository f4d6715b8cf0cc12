from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from tubelet.config import PreprocessingConfig
from tubelet.errors import ConfigError, VideoError
from tubelet.video import Clip, Preprocessing, VideoMetadata, open_video, write_video
from tubelet.video.in_memory import InMemoryDecoder
from tubelet.video.resize import resize_frames


def numbered_video(folder: Path, frames: int, size: tuple[int, int] = (32, 48)) -> Path:
    """A video whose frame n is grey n, with a bright left edge."""
    video = torch.arange(frames, dtype=torch.uint8)[:, None, None, None].repeat(1, 3, *size)
    return write_video(folder / f"{frames}.mp4", video, crf=1)


def preprocessing(**settings: Any) -> Preprocessing:
    defaults: dict[str, Any] = {"num_frames": 32, "frame_stride": 2, "resize": 32, "crop_size": (32, 32)}
    return Preprocessing(PreprocessingConfig(**{**defaults, **settings}))


def shown(video: torch.Tensor) -> torch.Tensor:
    """The grey level of each frame of [V, T, C, h, w] in [-1, 1]."""
    return (video.mean((2, 3, 4)) + 1) * 127.5


# --- time ------------------------------------------------------------------------------------------------------------


def test_clips_stand_where_the_original_puts_them(tmp_path: Path) -> None:
    with open_video(numbered_video(tmp_path, 250)) as decoder:
        views = preprocessing().views(decoder, clips=4, crops=3)
        centre = preprocessing().views(decoder)
    assert [indices[0] for indices in views.indices] == [0, 62, 124, 186]
    assert all(indices == list(range(indices[0], indices[0] + 64, 2)) for indices in views.indices)
    assert views.video.shape == (12, 32, 3, 32, 32)
    assert views.frame_mask is None
    expected = torch.tensor(views.indices).repeat_interleave(3, dim=0).float()
    assert torch.allclose(shown(views.video), expected, atol=1.5)
    assert centre.indices == [list(range(93, 157, 2))]


def test_a_short_video_is_looped(tmp_path: Path) -> None:
    with open_video(numbered_video(tmp_path, 20)) as decoder:
        views = preprocessing(num_frames=16).views(decoder, clips=2)
    looped = [step * 2 % 20 for step in range(16)]
    assert views.indices == [looped, looped]
    assert views.frame_mask is None
    assert torch.allclose(shown(views.video), torch.tensor([looped, looped]).float(), atol=1.5)


def test_a_short_video_is_held_and_masked(tmp_path: Path) -> None:
    with open_video(numbered_video(tmp_path, 20)) as decoder:
        views = preprocessing(num_frames=16, short_clips="mask").views(decoder, clips=1, crops=3)
        whole = preprocessing(num_frames=8, short_clips="mask").views(decoder)
    assert views.indices == [[*range(0, 20, 2), *[18] * 6]]
    assert views.frame_mask is not None
    assert views.frame_mask.tolist() == [[True] * 10 + [False] * 6] * 3
    assert torch.equal(views.video[:, 10:], views.video[:, 9:10].expand_as(views.video[:, 10:]))
    assert whole.frame_mask is None


def test_uniform_clips_cover_the_video_with_different_frames(tmp_path: Path) -> None:
    with open_video(numbered_video(tmp_path, 96)) as decoder:
        views = preprocessing(num_frames=8, frame_stride=1, sampling="uniform").views(decoder, clips=3)
    assert views.indices[0] == [2, 14, 26, 38, 50, 62, 74, 86]
    assert [indices[0] for indices in views.indices] == [2, 6, 10]
    assert torch.allclose(shown(views.video), torch.tensor(views.indices).float(), atol=1.5)


def test_a_window_limits_every_view(tmp_path: Path) -> None:
    path = numbered_video(tmp_path, 200)
    with open_video(path) as decoder:
        views = preprocessing(num_frames=4, frame_stride=3).views(decoder, clips=3, start=2.0, end=4.0)
        assert views.indices == [[50, 53, 56, 59], [69, 72, 75, 78], [88, 91, 94, 97]]
        looped = preprocessing(num_frames=8, frame_stride=1).views(decoder, start=4.0, end=4.2)
        assert looped.indices == [[100, 101, 102, 103, 104, 100, 101, 102]]
        with pytest.raises(VideoError, match="no frame from 9 s to the end"):
            preprocessing().views(decoder, start=9.0)
        with pytest.raises(VideoError, match="no frame"):
            preprocessing().views(decoder, start=1.01, end=1.03)


def test_every_frame_is_decoded_and_resized_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resized = []
    original = Preprocessing.resize
    monkeypatch.setattr(Preprocessing, "resize", lambda self, frames: (resized.append(1), original(self, frames))[1])
    with open_video(numbered_video(tmp_path, 30)) as decoder:
        views = preprocessing(num_frames=12).views(decoder, clips=4, crops=3)
    assert len(resized) == len({index for indices in views.indices for index in indices})


class Remembered:
    """A decoder of someone else's, with nothing but the protocol."""

    def __init__(self, clip: Clip, metadata: VideoMetadata) -> None:
        self.clip, self.metadata = clip, metadata

    @property
    def timestamps(self) -> torch.Tensor:
        return self.clip.timestamps

    def frames_at(self, indices: Sequence[int]) -> Clip:
        chosen = list(indices)
        return Clip(self.clip.frames[chosen], self.clip.timestamps[chosen], tuple(chosen), self.clip.path)

    def close(self) -> None: ...

    def __enter__(self) -> Remembered:
        return self

    def __exit__(self, *_: object) -> None: ...


def test_any_decoder_gives_the_same_views(tmp_path: Path) -> None:
    prepare = preprocessing(num_frames=8, resize=24, crop_size=(20, 20))
    with open_video(numbered_video(tmp_path, 40)) as decoder:
        other = Remembered(decoder.frames_at(range(40)), decoder.metadata)
        first, second = prepare.views(decoder, 2, 3), prepare.views(other, 2, 3)
        assert torch.equal(first.video, second.video)
        assert first.indices == second.indices
        assert torch.equal(prepare.read(decoder, [7, 3]).frames, prepare.read(other, [7, 3]).frames)


# --- space -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "expected"),
    [((240, 320), (256, 341)), ((320, 240), (341, 256)), ((720, 1280), (256, 455)), ((256, 256), (256, 256))],
)
def test_the_short_side_is_resized(size: tuple[int, int], expected: tuple[int, int]) -> None:
    prepare = preprocessing(resize=256, crop_size=(224, 224))
    frames = torch.zeros(1, 3, *size, dtype=torch.uint8)
    assert prepare.resized_size(*size) == expected
    assert tuple(prepare.resize(frames).shape[-2:]) == expected


@pytest.mark.parametrize(
    ("size", "crop", "expected"),
    [
        ((100, 100), (64, 128), (128, 128)),
        ((90, 160), (96, 96), (96, 170)),
        ((160, 90), (64, 100), (177, 100)),
        ((30, 300), (128, 64), (128, 1280)),
    ],
)
def test_frames_are_enlarged_further_where_the_crop_would_not_fit(
    size: tuple[int, int], crop: tuple[int, int], expected: tuple[int, int]
) -> None:
    prepare = preprocessing(resize=64 if crop[0] != crop[1] else crop[0], crop_size=crop)
    assert prepare.resized_size(*size) == expected
    assert prepare.spatial(torch.zeros(2, 3, *size, dtype=torch.uint8), crops=3).shape == (3, 2, 3, *crop)


def test_three_crops_lie_along_the_longer_side() -> None:
    prepare = preprocessing(resize=256, crop_size=(224, 224))
    assert prepare.crop_corners(256, 455, 3) == [(16, 0), (16, 116), (16, 231)]
    assert prepare.crop_corners(455, 256, 3) == [(0, 16), (116, 16), (231, 16)]
    assert prepare.crop_corners(256, 256, 3) == [(16, 0), (16, 16), (16, 32)]
    assert prepare.crop_corners(256, 455, 1) == [(16, 116)]
    assert prepare.crop_corners(256, 455, 5) == [(16, 0), (16, 58), (16, 116), (16, 174), (16, 231)]


def test_crops_hold_the_pixels_of_their_place() -> None:
    prepare = preprocessing(resize=32, crop_size=(32, 32))
    frames = torch.arange(80, dtype=torch.uint8).expand(2, 3, 32, 80).contiguous()
    crops = prepare.spatial(frames, crops=3)
    columns = ((crops[:, 0, 0, 0] + 1) * 127.5).round().int()
    assert columns[0].tolist() == list(range(32))
    assert columns[1].tolist() == list(range(24, 56))
    assert columns[2].tolist() == list(range(48, 80))
    assert torch.equal(prepare.spatial(frames)[0], crops[1])


def test_a_region_is_cut_out_before_anything_else(tmp_path: Path) -> None:
    noise = torch.randint(0, 256, (40, 3, 60, 100), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    path = write_video(tmp_path / "noise.mp4", noise)
    cut = preprocessing(region=(0.1, 0.25, 0.9, 0.57))
    assert cut.region(60, 100) == (6, 25, 54, 57)
    with open_video(path) as decoder:
        seen = cut.views(decoder, clips=2, crops=3)
        whole = decoder.frames_at(range(40))
    by_hand = Clip(whole.frames[:, :, 6:54, 25:57].contiguous(), whole.timestamps, whole.indices, whole.path)
    expected = preprocessing().views(InMemoryDecoder(by_hand), clips=2, crops=3)
    assert torch.equal(seen.video, expected.video)


@pytest.mark.parametrize("region", [(0.5, 0, 0.5, 1), (0, 0.2, 1, 0.1), (0, 0, 1.1, 1), (-0.1, 0, 1, 1)])
def test_a_region_lies_in_the_picture(region: tuple[float, float, float, float]) -> None:
    with pytest.raises(ConfigError, match="expected \\(top, left, bottom, right\\) as shares"):
        preprocessing(region=region)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [True, False])
def test_resizing_is_torchvisions(interpolation: str, antialias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (3, 3, 60, 90), dtype=torch.uint8, generator=generator)
    prepare = preprocessing(interpolation=interpolation, antialias=antialias)
    mode = InterpolationMode(interpolation)
    assert torch.equal(prepare.resize(frames), transforms.resize(frames, [32, 48], mode, antialias=antialias))
    assert torch.equal(prepare.resize(frames[1]), prepare.resize(frames)[1])


def test_the_original_ones_pixels_lie_in_minus_one_to_one() -> None:
    frames = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).repeat(2, 3, 1, 1)
    values = preprocessing().normalise(frames)
    assert torch.allclose(values, frames.float() * (2 / 255) - 1, atol=1e-7)
    assert torch.equal(preprocessing().denormalise(values), frames)


def test_other_means_and_deviations() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    frames = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    prepare = preprocessing(mean=mean, std=std)
    expected = (frames / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    assert torch.allclose(prepare.normalise(frames), expected, atol=1e-6)
    assert torch.equal(prepare.denormalise(prepare.normalise(frames)), frames)


def test_a_model_of_one_channel_sees_grey(tmp_path: Path) -> None:
    prepare = preprocessing(num_frames=4, mean=(0.5,), std=(0.5,))
    red = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    red[:, 0] = 255
    assert prepare.spatial(red).shape == (1, 1, 1, 32, 32)
    assert ((prepare.normalise(red) + 1) * 127.5).mean().item() == pytest.approx(76, abs=1)
    with open_video(numbered_video(tmp_path, 10)) as decoder:
        views = prepare.views(decoder, clips=1)
    assert views.video.shape == (1, 4, 1, 32, 32)
    assert torch.allclose(shown(views.video), torch.tensor(views.indices).float(), atol=1.5)


def test_two_channels_are_refused() -> None:
    with pytest.raises(ConfigError, match="2 channels"):
        preprocessing(mean=(0.5, 0.5), std=(0.5, 0.5))


def test_views_are_spatial_of_the_frames(tmp_path: Path) -> None:
    """Streaming through resize, crop and normalise changes nothing."""
    generator = torch.Generator().manual_seed(0)
    video = torch.randint(0, 256, (12, 3, 54, 70), dtype=torch.uint8, generator=generator)
    path = write_video(tmp_path / "noise.mp4", video)
    prepare = preprocessing(num_frames=6, frame_stride=2)
    for threads in (0, 1):
        with open_video(path, threads=threads) as decoder:
            views = prepare.views(decoder, clips=1, crops=3)
            clip = decoder.frames_at(views.indices[0])
            assert torch.equal(views.video, prepare.spatial(clip.frames, crops=3))
            assert torch.equal(prepare.read(decoder, views.indices[0]).frames, prepare.resize(clip.frames))


def test_no_views_are_a_mistake(tmp_path: Path) -> None:
    with open_video(numbered_video(tmp_path, 10)) as decoder, pytest.raises(ConfigError, match="0 clips x 1 crops"):
        preprocessing().views(decoder, clips=0)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("bytes_are_fast", [True, False])
@pytest.mark.parametrize("lead", [(), (1,), (2,), (2, 3)])
def test_frames_of_any_layout_are_resized_as_torchvision_resizes_them(
    interpolation: str, antialias: bool, bytes_are_fast: bool, lead: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2" if bytes_are_fast else "DEFAULT")
    pixels = torch.randint(0, 256, (*lead, 37, 50, 3), dtype=torch.uint8)
    for frames in (pixels.movedim(-1, -3), pixels.movedim(-1, -3).contiguous()):  # as decoders give them, and planes
        for size in ((20, 27), (60, 80), (37, 50)):
            expected = transforms.resize(frames, list(size), InterpolationMode(interpolation), antialias=antialias)
            got = resize_frames(frames, size, interpolation=interpolation, antialias=antialias)
            assert torch.equal(got, expected)
            assert got.stride() == expected.stride()
