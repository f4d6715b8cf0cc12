"""`run.py` of an exported model gives the model the clip that tubelet gives it, to the bit."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy
import pytest
import torch

import tiny
from tubelet.config import PreprocessingConfig, to_dict
from tubelet.exporting.run_file import run_source
from tubelet.video import Preprocessing, open_video, write_video

CONFIGS = [
    PreprocessingConfig(num_frames=8, resize=40, crop_size=(32, 32)),
    PreprocessingConfig(
        num_frames=6, frame_stride=1, sampling="uniform", resize=64, crop_size=(48, 64), interpolation="bicubic"
    ),
    PreprocessingConfig(
        num_frames=8, resize=48, crop_size=(48, 48), antialias=False, short_clips="mask", frames_per_second=12.5
    ),
    PreprocessingConfig(
        **{"num_frames": 4, "frame_stride": 1, "resize": 48, "crop_size": (48, 48), "interpolation": "bicubic"},
        **{"antialias": False, "mean": (0.5,), "std": (0.5,)},
    ),
    PreprocessingConfig(num_frames=4, region=(0.13, 0.4, 0.77, 0.93), resize=40, crop_size=(32, 32)),
]

EDGE_VIDEOS = {
    "rotated": "decord/video_180.mov",
    "of a variable rate": "made_here/vfr.mp4",
    "VP9": "torchcodec/testsrc2_vp9.webm",
    "of one pixel": "moviepy/bitmap.mp4",
    "4:4:4": "torchcodec/testsrc2_444_10bit_hevc.mp4",
}


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    file = tmp_path_factory.mktemp("runner") / "run.py"
    file.write_text(run_source("onnx"), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("exported_run", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def assert_same_clip(runner: ModuleType, path: Path, config: PreprocessingConfig) -> None:
    preprocessing, channels = Preprocessing(config), len(config.mean)
    with open_video(path) as decoder:
        views = preprocessing.views(decoder)
        times = [round(float(decoder.timestamps[number]), 6) for number in sorted(set(views.indices[0]))]
    clip, real, numbers, seconds, by_time = runner.clip_of(str(path), to_dict(config), channels)
    assert numpy.array_equal(clip, preprocessing.denormalise(views.video[0]).permute(0, 2, 3, 1).numpy())
    assert real == ([True] * len(clip) if views.frame_mask is None else views.frame_mask[0].tolist())
    assert numbers == sorted(set(views.indices[0]))
    assert seconds == times
    assert by_time == views.resampled


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize(("frames", "height", "width"), [(3, 38, 50), (30, 90, 62), (9, 48, 48)])
def test_the_clip_of_a_video_is_tubelets(
    runner: ModuleType, tmp_path: Path, config: PreprocessingConfig, frames: int, height: int, width: int
) -> None:
    generator = torch.Generator().manual_seed(frames)
    noise = torch.randint(0, 256, (frames, 3, height, width), generator=generator, dtype=torch.uint8)
    write_video(tmp_path / "noise.mp4", noise, 10.0)
    assert_same_clip(runner, tmp_path / "noise.mp4", config)


@pytest.mark.parametrize("name", EDGE_VIDEOS)
def test_so_is_that_of_a_difficult_one(runner: ModuleType, shared: Path, name: str) -> None:
    for config in CONFIGS:
        assert_same_clip(runner, shared / "data" / "edge_videos" / EDGE_VIDEOS[name], config)


def test_a_file_that_is_cut_off_is_an_error(runner: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "bar.mp4"
    write_video(file, tiny.moving_bar("left", 0), 10.0)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises((OSError, ValueError)):
        runner.clip_of(str(file), to_dict(CONFIGS[0]), 3)
