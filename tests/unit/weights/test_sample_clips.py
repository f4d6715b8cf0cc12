"""The file of sample clips: bit-exact, small, held to its checksum."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tubelet.errors import WeightsError
from tubelet.weights.sample_clips import KEY, SAMPLES_FILE, SampleClips, pack_clip, unpack_clip


def samples_of(count: int = 2) -> SampleClips:
    clips = torch.randint(0, 256, (count, 3, 3, 8, 10), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    mask = torch.tensor([[True, True, False]] * count)
    logits = {"verb": torch.randn(count, 4), "noun": torch.randn(count, 2)}
    return SampleClips(tuple(map(pack_clip, clips)), (3, 3, 8, 10), mask, logits, 7, {"device": "cpu"})


@pytest.mark.parametrize("shape", [(3, 3, 8, 10), (1, 1, 5, 7), (2, 3, 1, 1)])
def test_a_clip_is_the_same_to_the_last_bit(shape: tuple[int, ...]) -> None:
    noise = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    assert torch.equal(unpack_clip(pack_clip(noise), shape), noise)


def test_pictures_that_change_slowly_are_compressed_tenfold() -> None:
    ramp = torch.arange(64).repeat(8, 3, 64, 1) + torch.arange(8).view(8, 1, 1, 1)
    assert len(pack_clip(ramp.to(torch.uint8))) < ramp.numel() / 10


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    samples = samples_of()
    samples.write(tmp_path)
    read = SampleClips.read(tmp_path)
    assert (read.packed, read.shape, read.weights, read.made) == (samples.packed, (3, 3, 8, 10), 7, {"device": "cpu"})
    assert read.frame_mask is not None
    assert samples.frame_mask is not None
    assert torch.equal(read.frame_mask, samples.frame_mask)
    assert all(torch.equal(read.logits[head], logits) for head, logits in samples.logits.items())
    assert [entry.name for entry in tmp_path.iterdir()] == [SAMPLES_FILE]


def test_a_damaged_file_or_one_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    file = samples_of().write(tmp_path)
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(data)
    with pytest.raises(WeightsError, match="damaged"):
        SampleClips.read(file)
    file = samples_of().write(tmp_path)
    with safe_open(file, framework="pt") as opened:
        described = opened.metadata()[KEY]
    save_file(load_file(file), file, {KEY: described.replace('"format": 1', '"format": 2')})
    with pytest.raises(WeightsError, match="reads 1"):
        SampleClips.read(file)
    save_file({"x": torch.zeros(1)}, file)
    with pytest.raises(WeightsError, match="holds no sample clips"):
        SampleClips.read(file)
