"""Training on features that are computed once: the same training, without a decoder, and never on stale features."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import tiny
import tubelet
from tiny import MODEL
from tubelet.config import (
    NO_AUGMENTATION,
    DataConfig,
    MaskingConfig,
    PretrainConfig,
    ShardConfig,
    TrainConfig,
    override,
)
from tubelet.data import assign_splits, read_table
from tubelet.data import dataset as dataset_module
from tubelet.data.prepare import prepare
from tubelet.errors import ConfigError, VideoError
from tubelet.features.store import FeatureStore
from tubelet.training import SilentReporter, TrainingInterrupted, TrainResult, read_events, train

LOSSES = {"loss", "gradient_norm", "top1", "step", "epoch"}


@pytest.fixture
def frozen(tiny: TrainConfig, tmp_path: Path) -> TrainConfig:
    """Spatial encoder frozen, clips not varied, everything else random switched on."""
    return override(
        TrainConfig(**{**vars(tiny), "augmentation": NO_AUGMENTATION}),
        freeze="spatial",
        label_smoothing=0.1,
        ema_decay=0.9,
        balanced=True,
        feature_folder=str(tmp_path / "features"),
    )


def start(preset: str = "vivit_tiny_16x2_fe", seed: int = 1) -> tubelet.ViViT:
    torch.manual_seed(seed)
    fields = {**MODEL, "temporal_layers": 1 if preset.endswith("fe") else None}
    return tubelet.create(preset, num_classes=3, **fields)


def run(clips: Path, out: Path, config: TrainConfig, model: tubelet.ViViT | None = None, **fields: Any) -> TrainResult:
    return train(clips, out, config=config, model=model or start(), reporter=SilentReporter(), **fields)


def curve(folder: Path) -> list[float]:
    """Every loss, gradient norm and accuracy, in their order."""
    events = [event for event in read_events(folder / "metrics.jsonl") if event["event"] in ("train", "validation")]
    return [event[name] for event in events for name in sorted(LOSSES & set(event))]


def stored(config: TrainConfig) -> list[Path]:
    assert config.data.feature_folder is not None
    return sorted(Path(config.data.feature_folder).rglob("*.safetensors"))


@pytest.fixture
def no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: str, *args: Any, **options: Any) -> Any:
        raise VideoError(path, "nobody may decode")

    monkeypatch.setattr(dataset_module, "open_video", closed)


def without_key_bias(name: str, parameter: torch.Tensor) -> torch.Tensor:
    """A bias of all keys changes no attention: its gradient is rounding alone, which AdamW makes whole steps of."""
    if not name.endswith("qkv.bias"):
        return parameter
    query, _, value = parameter.chunk(3)
    return torch.cat([query, value])


@pytest.mark.parametrize(
    "preprocessing",
    [
        {"sampling": "uniform"},
        {"sampling": "dense", "frame_stride": 1},
        {"sampling": "dense", "frame_stride": 3, "short_clips": "mask"},
    ],
    ids=["uniform", "dense", "dense with masked frames"],
)
def test_the_curve_is_that_of_the_training_without_the_cache(
    clips: Path, tmp_path: Path, frozen: TrainConfig, preprocessing: dict[str, Any]
) -> None:
    config = override(frozen, preprocessing=preprocessing, validation_views="2x1")
    plain = run(clips, tmp_path / "plain", config)
    cached = run(clips, tmp_path / "cached", config, cache="features")
    assert curve(tmp_path / "cached") == pytest.approx(curve(tmp_path / "plain"), abs=1e-5)
    assert len(set(curve(tmp_path / "plain"))) > 12  # it learned something
    others = dict(cached.model.named_parameters())
    for name, one in plain.model.named_parameters():
        torch.testing.assert_close(without_key_bias(name, one), without_key_bias(name, others[name]), rtol=0, atol=1e-4)
    assert len(stored(config)) == 12


@pytest.mark.parametrize("preset", ["vivit_tiny_16x2_fsa", "vivit_tiny_16x2_fe"])
def test_a_frozen_encoder_leaves_one_vector_a_clip(
    clips: Path, tmp_path: Path, frozen: TrainConfig, preset: str
) -> None:
    config = override(frozen, freeze="encoder")
    run(clips, tmp_path / "plain", config, start(preset))
    run(clips, tmp_path / "cached", config, start(preset), cache="features")
    assert curve(tmp_path / "cached") == pytest.approx(curve(tmp_path / "plain"), abs=1e-5)
    assert load_file(stored(config)[0])["values"].shape == (1, 1, 24)


def test_a_second_run_of_the_head_decodes_nothing_and_is_the_same_to_the_bit(
    clips: Path, tmp_path: Path, frozen: TrainConfig, request: pytest.FixtureRequest
) -> None:
    config = override(frozen, cache="features")
    run(clips, tmp_path / "first", config)
    request.getfixturevalue("no_decoder")
    run(clips, tmp_path / "second", config)
    assert curve(tmp_path / "second") == curve(tmp_path / "first")
    small = run(clips, tmp_path / "small", config, cache_gigabytes=1e-9)  # nothing fits into memory
    assert curve(tmp_path / "small") == curve(tmp_path / "first")
    other = start()
    torch.nn.init.normal_(other.temporal_encoder.norm.weight)  # what is trained does not decide the features
    run(clips, tmp_path / "other", config, other)
    assert small.num_failures == 0


def test_videos_in_shards_are_told_apart_and_kept_too(
    clips: Path, tmp_path: Path, frozen: TrainConfig, request: pytest.FixtureRequest
) -> None:
    prepare(assign_splits(read_table(clips)), tmp_path / "shards", ShardConfig(copy=True))
    config = override(frozen, epochs=1, warmup_epochs=0)
    run(tmp_path / "shards", tmp_path / "plain", config)
    run(tmp_path / "shards", tmp_path / "first", config, cache="features")
    assert curve(tmp_path / "first") == pytest.approx(curve(tmp_path / "plain"), abs=1e-5)
    assert len(stored(config)) == 12
    request.getfixturevalue("no_decoder")
    run(tmp_path / "shards", tmp_path / "second", config, cache="features")
    assert curve(tmp_path / "second") == curve(tmp_path / "first")


def test_features_of_other_weights_or_preprocessing_are_not_used(
    clips: Path, tmp_path: Path, frozen: TrainConfig, no_decoder: None
) -> None:
    config = override(frozen, cache="features", epochs=1, warmup_epochs=0)
    with pytest.MonkeyPatch.context() as opened:
        opened.setattr(dataset_module, "open_video", tubelet.video.open_video)
        run(clips, tmp_path / "first", config)
    changed = start()
    with torch.no_grad():
        changed.spatial_encoder.blocks[0].mlp.fc1.bias[0] += 1e-3
    for name, model, fields in (
        ("weights", changed, {}),
        ("frames", start(), {"preprocessing": {"sampling": "dense"}}),
        ("size", start(), {"preprocessing": {"resize": 18}}),
        ("precision", start(), {"precision": "bfloat16"}),
    ):
        with pytest.raises(tubelet.DataError, match="nobody may decode"):
            run(clips, tmp_path / name, config, model, **fields)


def test_a_video_that_changed_is_computed_again(clips: Path, tmp_path: Path, frozen: TrainConfig) -> None:
    shutil.copytree(clips, tmp_path / "clips")
    config = override(frozen, cache="features")
    run(tmp_path / "clips", tmp_path / "first", config)
    one = tmp_path / "clips" / "down" / "0.mp4"
    tubelet.write_video(one, tiny.moving_bar("right", 7), 10.0, overwrite=True)
    os.utime(one, ns=(1, 1))
    run(tmp_path / "clips", tmp_path / "cached", config)
    run(tmp_path / "clips", tmp_path / "plain", config, cache="none")
    assert curve(tmp_path / "cached") == pytest.approx(curve(tmp_path / "plain"), abs=1e-5)
    assert curve(tmp_path / "cached") != pytest.approx(curve(tmp_path / "first"), abs=1e-5)
    assert len(stored(config)) == 13


def test_files_that_are_damaged_or_under_a_wrong_name_are_computed_again(
    clips: Path, tmp_path: Path, frozen: TrainConfig
) -> None:
    config = override(frozen, cache="features")
    run(clips, tmp_path / "first", config)
    one, other, third = stored(config)[:3]
    whole = load_file(one)["values"].clone()  # what is loaded is the file itself
    one.write_bytes(one.read_bytes()[:-40])
    shutil.copyfile(third, other)
    run(clips, tmp_path / "second", config)
    assert curve(tmp_path / "second") == curve(tmp_path / "first")
    assert torch.equal(load_file(one)["values"], whole)


def test_what_would_make_the_features_others_is_an_error_that_says_what_must_be_off(
    clips: Path, tmp_path: Path, frozen: TrainConfig, tiny: TrainConfig
) -> None:
    def refused(match: str, model: tubelet.ViViT | None = None, **fields: Any) -> None:
        with pytest.raises(ConfigError, match=match):
            run(clips, tmp_path / "run", override(frozen, cache="features", **fields), model)
        assert not (tmp_path / "run").exists()

    refused(r"set flip=0\.0, mixup=0\.0 \(the recipe cached-features does\)", flip=0.5, mixup=0.2)
    refused(r"temporal='centre'", temporal="random")
    refused(r"scale_jitter=\(1\.0, 1\.0\), crop='centre'", scale_jitter=(0.9, 1.3), crop="random")
    refused("freeze='none'; use freeze='spatial'", freeze="none")
    refused("freeze='embedding'", freeze="embedding")
    dropping = tubelet.create("vivit_tiny_16x2_fe", num_classes=3, **MODEL, token_drop=0.5)
    refused(r"model\.token_drop=0", dropping)
    with pytest.raises(ConfigError, match="pretraining teaches it"):
        PretrainConfig(preset="vivit_tiny_16x2_fe", data=DataConfig(cache="features"), masking=MaskingConfig())


def test_unreadable_videos_are_tried_once_and_named(clips: Path, tmp_path: Path, frozen: TrainConfig) -> None:
    shutil.copytree(clips, tmp_path / "clips")
    for number in (0, 1):
        (tmp_path / "clips" / "down" / f"{number}.mp4").write_bytes(b"no video")
    plain = run(tmp_path / "clips", tmp_path / "plain", frozen)
    cached = run(tmp_path / "clips", tmp_path / "cached", frozen, cache="features")
    assert plain.num_failures == cached.num_failures == 2
    assert curve(tmp_path / "cached") == pytest.approx(curve(tmp_path / "plain"), abs=1e-5)


def test_stopped_while_features_are_computed_nothing_is_lost(clips: Path, tmp_path: Path, frozen: TrainConfig) -> None:
    class Impatient(SilentReporter):
        def preparing(self, done: int, total: int) -> None:
            if done == 4:
                signal.raise_signal(signal.SIGTERM)

    config = override(frozen, cache="features")
    with pytest.raises(TrainingInterrupted, match="after step 0 of 6"):
        train(clips, tmp_path / "cut", config=config, model=start(), reporter=Impatient())
    assert len(stored(config)) == 4
    train(out=tmp_path / "cut", resume=True, reporter=SilentReporter())
    run(clips, tmp_path / "whole", config)
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")


def test_what_a_process_that_was_killed_did_not_finish_is_removed(tmp_path: Path) -> None:
    """One that runs, and one of another machine, may still finish theirs."""
    folder = FeatureStore(tmp_path, {"model": 1}, (), 1.0).folder
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    kept = [f"{socket.gethostname()}.{os.getpid()}", f"another-{socket.gethostname()}.{dead.pid}"]
    (folder / "a1").mkdir()
    for number, process in enumerate([f"{socket.gethostname()}.{dead.pid}", *kept]):
        (folder / "a1" / f".{number}.safetensors.{process}.unfinished").touch()
    FeatureStore(tmp_path, {"model": 1}, (), 1.0)
    assert sorted(path.name[1] for path in (folder / "a1").iterdir()) == ["1", "2"]
