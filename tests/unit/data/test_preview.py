"""The contact sheet of a batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from tubelet.config import NO_AUGMENTATION, AugmentationConfig, PreprocessingConfig
from tubelet.data import (
    Batch,
    ClipDataset,
    MixupCutmix,
    Sample,
    Table,
    batch_generator,
    contact_sheet,
    make_loader,
    read_table,
)
from tubelet.data.preview import describe_target
from tubelet.video import Preprocessing, write_video


def test_a_row_for_each_clip_frames_from_left_to_right(
    ramp_video: Path, tmp_path: Path, clips: dict[str, Callable[..., torch.Tensor]], small: PreprocessingConfig
) -> None:
    write_video(tmp_path / "left.mp4", clips["bright_left"]())
    samples = tuple(
        Sample(str(path), {"label": place}) for place, path in enumerate((ramp_video, tmp_path / "left.mp4"))
    )
    table = Table(samples, {"label": ["ramp", "left"]}, str(tmp_path))
    dataset = ClipDataset(table, small, augmentation=NO_AUGMENTATION)
    batch = next(iter(make_loader(dataset, 2, workers=0, shuffle=False)))
    sheet = contact_sheet(batch, Preprocessing(small))
    assert sheet.shape == (3, 2 * 18 + 2, 4 * 18 + 2)
    greys = [float(sheet[:, 2:18, 2 + 18 * place : 18 + 18 * place].float().mean()) for place in range(4)]
    assert [round((grey - 20) / 10) for grey in greys] == [6, 8, 10, 12]
    assert sheet[:, 20:36, 2:8].min() > 200
    assert sheet[:, 20:36, 12:18].max() < 50
    batch.frame_mask = torch.tensor([[True, True, False, True], [True] * 4])
    dark = contact_sheet(batch, Preprocessing(small))
    assert float(dark[:, 2:18, 38:54].float().mean()) < 35


def test_titles_say_what_a_clip_shows(folder: Path, small: PreprocessingConfig) -> None:
    table = read_table(folder)
    batch = next(iter(make_loader(ClipDataset(table, small), 4, workers=0, shuffle=False)))
    assert describe_target(batch, 2, table.classes) == "#2 clap"
    plain, titled = (
        contact_sheet(batch, Preprocessing(small)),
        contact_sheet(batch, Preprocessing(small), table.classes),
    )
    assert titled.shape[1] > plain.shape[1]
    assert (titled[:, :14] < 100).any()
    hot = {"label": torch.tensor([[0.7, 0.26, 0.04]])}
    mixed = Batch(batch.video[:1], None, hot, batch.indices[:1])
    assert describe_target(mixed, 0, table.classes) == "#0 clap 70%, jump 26%"
    mix = MixupCutmix(AugmentationConfig(mixup=0.5), table.heads).batch(batch, batch_generator(0, 0, 0))
    contact_sheet(mix, Preprocessing(small), table.classes)


def test_views_of_an_evaluation_have_a_row_each(folder: Path, small: PreprocessingConfig) -> None:
    table = read_table(folder)
    dataset = ClipDataset(table, small, mode="evaluate", clips=2, crops=3)
    batch = next(iter(make_loader(dataset, 2, workers=0)))
    assert contact_sheet(batch, Preprocessing(small), clips=12).shape[1] == 12 * 18 + 2


def test_a_sheet_of_nothing(folder: Path, small: PreprocessingConfig) -> None:
    batch = Batch(
        torch.empty(0, 4, 3, 16, 16),
        None,
        {"label": torch.empty(0, dtype=torch.int64)},
        torch.empty(0, dtype=torch.int64),
    )
    assert contact_sheet(batch, Preprocessing(small), {"label": ["a"]}).shape[1] == 2
