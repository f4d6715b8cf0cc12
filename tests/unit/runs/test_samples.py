"""Which clips a run keeps."""

from __future__ import annotations

from pathlib import Path

import torch

import tubelet
from tubelet.data import read_table
from tubelet.runs import SampleClips, make_sample_clips
from tubelet.runs.samples import sample_logits


def test_clips_are_of_all_classes_and_the_same_each_time(run: Path, clips: Path) -> None:
    model, table = tubelet.load(run), read_table(clips)
    one, other = (make_sample_clips(model, table, split="train", most=4) for _ in range(2))
    assert one is not None
    assert other is not None
    assert one.packed == other.packed
    bright = [bool(one.pixels(number).float().mean() > 120) for number in range(4)]
    assert sorted(bright[:2]) == sorted(bright[2:]) == [False, True]


def test_a_budget_leaves_four(run: Path, clips: Path) -> None:
    samples = make_sample_clips(tubelet.load(run), read_table(clips), split="val", budget=1)
    assert samples is not None
    assert len(samples) == 4


def test_pixels_are_exactly_what_the_model_saw_and_short_clips_have_a_mask(run: Path, clips: Path) -> None:
    model, samples = tubelet.load(run), SampleClips.read(run)
    assert samples.frame_mask is not None
    assert sorted(samples.frame_mask.sum(1).tolist()) == [2, 2, 4, 4, 4, 4]
    for number, (pixels, mask) in enumerate(samples):
        assert pixels.shape == (4, 3, 16, 16)
        assert torch.equal(sample_logits(model, pixels, mask)["label"], samples.logits["label"][number])
    stored = {tuple(round(x, 4) for x in row) for row in samples.logits["label"].tolist()}
    predicted = {
        tuple(round(x, 4) for x in one.logits["label"])
        for one in tubelet.evaluate(run, clips, split="val").predictions
        if one.logits is not None
    }
    assert stored == predicted


def test_unreadable_videos_are_passed_over(run: Path, tmp_path: Path, clips: Path) -> None:
    for name in ("dark", "bright"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "broken.mp4").write_bytes(b"no video")
    table = read_table(tmp_path)
    assert make_sample_clips(tubelet.load(run), table) is None
