"""`tubelet.load` finds out what it was given."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy
import pytest
import torch
from safetensors.torch import save_file

import tubelet
from tubelet import WeightsError
from tubelet.weights import hub
from tubelet.weights.scenic import save_scenic
from unit.weights.kinds import tiny


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(repo_id: str) -> Path:
        raise WeightsError(f"{repo_id}: no network")

    monkeypatch.setattr(hub, "download", download)


def test_our_folder_by_path_text_or_file(tmp_path: Path) -> None:
    tubelet.save(tiny(), tmp_path)
    for source in (tmp_path, str(tmp_path), tmp_path / "model.safetensors", tmp_path / "config.json"):
        assert tubelet.load(source).load_report.format == "native"


def test_a_checkpoint_of_the_original_by_file_or_folder(tmp_path: Path) -> None:
    save_scenic(tiny(), tmp_path / "vivit_tiny" / "checkpoint")
    for source in (tmp_path / "vivit_tiny" / "checkpoint", tmp_path / "vivit_tiny"):
        assert tubelet.load(source, image_size=(16, 24)).load_report.format == "scenic"
    save_scenic(tiny(), tmp_path / "vivit_tiny" / "checkpoint_2")
    with pytest.raises(WeightsError, match="several checkpoints"):
        tubelet.load(tmp_path / "vivit_tiny")


def test_a_name_on_the_hub_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tubelet.save(tiny(), tmp_path)
    asked = []

    def download(repo_id: str) -> Path:
        asked.append(repo_id)
        return tmp_path

    monkeypatch.setattr(hub, "download", download)
    assert tubelet.load("someone/vivit-tiny", num_frames=8).config.num_frames == 8
    assert asked == ["someone/vivit-tiny"]


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("vivit_base_16x2", r"is a preset, which has no weights; tubelet.create\('vivit_base_16x2'\)"),
        ("runs/nothing", "there is no folder runs/nothing here, and runs/nothing: no network"),
        ("nothing", "nothing: no such file or folder"),
        ("weights/x.checkpoint", "no such file or folder"),
        ("../nothing/here", "no such file or folder"),
        ("https://example.org/checkpoint", "download it first"),
        ("gs://bucket/checkpoint", "download it first"),
    ],
)
def test_a_name_that_leads_nowhere(source: str, reason: str) -> None:
    with pytest.raises(WeightsError, match=reason):
        tubelet.load(source)


def test_files_that_are_something_else_are_named_and_not_opened(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "vit.npz", cls=numpy.zeros(3))
    torch.save({"weight": torch.ones(2)}, tmp_path / "model.pt")
    (tmp_path / "old.pth").write_bytes(pickle.dumps({"weight": 1}))
    save_file({"blocks.0.attn.qkv.weight": torch.ones(2)}, tmp_path / "vit.safetensors")
    (tmp_path / "clip.mp4").write_bytes(b"\x00\x00\x00 ftypisom")
    (tmp_path / "empty").touch()
    reasons = {
        "vit.npz": "a NumPy archive.*tubelet.initialise",
        "model.pt": "PyTorch writes its pickles.*tubelet.initialise",
        "old.pth": "a pickle, which can run code and is not opened.*tubelet.initialise",
        "vit.safetensors": "safetensors that do not say of what model they are.*tubelet.initialise",
        "clip.mp4": "not a checkpoint of Scenic",
        "empty": "is empty",
    }
    for name, reason in reasons.items():
        with pytest.raises(WeightsError, match=reason):
            tubelet.load(tmp_path / name)


def test_folders_that_are_something_else_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="neither is there"):
        tubelet.load(tmp_path)
    checkpoint = tmp_path / "checkpoints" / "last"
    checkpoint.mkdir(parents=True)
    save_file({"weight": torch.zeros(1)}, checkpoint / "model.safetensors")
    with pytest.raises(WeightsError, match=r"config\.json, .*, is not\..* name the folder of the run"):
        tubelet.load(checkpoint)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(WeightsError, match="a training run that has no weights yet"):
        tubelet.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(WeightsError, match=r"a model of type 'vit', not a ViViT or VideoMAE.*tubelet\.initialise"):
        tubelet.load(tmp_path)
