"""Scenic's logits from Scenic's checkpoints: at most 2e-5 away, and bit for bit what was written.

The vectors stand in `tests/parity/vectors` (see the README there), so that this runs in a bare clone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import tubelet
from tubelet.model import ViViT
from tubelet.weights.scenic import save_scenic

VECTORS = Path(__file__).parent / "vectors"
TOLERANCE = 2e-5

VARIANTS = {
    "spatio-temporal attention": "spatio_temporal",
    "factorised encoder": "factorised_encoder",
    "factorised self-attention": "factorised_self_attention",
    "factorised dot-product attention": "factorised_dot_product",
}

CASES = sorted(file.stem for file in VECTORS.glob("*.json"))


def checkpoint_of(case: str) -> Path:
    return VECTORS / f"{case}{'.after' if case.startswith('init_') else ''}.checkpoint"


def all_fields(case: str) -> dict[str, Any]:
    """Everything that the case's description says, as fields: more than needs to be given."""
    said = json.loads((VECTORS / f"{case}.json").read_text())
    if case.startswith("more_"):
        return said
    height, width, frames = said["tubelet_hwt"]
    fields = {name: said[name] for name in ("image_size", "num_frames", "hidden_size", "num_heads", "num_layers")}
    fields |= {"mlp_dim": said["mlp_dim"], "num_classes": said["num_classes"], "tubelet_size": (frames, height, width)}
    fields |= {"variant": VARIANTS[said["variant"]], "pool": "cls" if said["pool"] == "token" else "mean"}
    if "attention_order" in said:
        fields["attention_order"] = said["attention_order"]
    if "uniform_frame_sampling" in said:
        fields |= {"embedding": "uniform_frames", "sampled_frames": said["uniform_frame_sampling"]}
    if fields["variant"] == "factorised_encoder":
        fields["temporal_layers"] = 0 if said.get("temporal_average_pool") else said["temporal_layers"]
    return fields


NEEDED: dict[str, list[str]] = {
    "init_model1_central_tile": ["image_size"],
    "init_model2_central": ["image_size"],
    "init_model3_inflation_tile": ["image_size", "attention_order"],
    "model1_gap_frames": ["image_size", "num_frames", "variant"],
    "model1_token": ["image_size"],
    "model2_average": ["image_size", "num_frames"],
    "model2_token": ["image_size"],
    "model3_space_time": ["image_size", "attention_order"],
    "model3_time_space": ["image_size", "attention_order"],
    "model4_gap": ["image_size", "variant"],
    "more_model1_max": ["image_size", "variant", "pool"],
    "more_model1_not_square": ["image_size"],
    "more_model2_every_frame": ["image_size", "num_frames"],
    "more_model2_gap_frames": ["image_size", "num_frames"],
    "more_model3_frames_tie": ["image_size", "num_frames", "attention_order"],
    "more_model4_one_frame_more": ["image_size", "num_frames", "variant", "sampled_frames"],
}


def needed_fields(case: str) -> dict[str, Any]:
    """Only what the file cannot tell."""
    return {name: value for name, value in all_fields(case).items() if name in NEEDED[case]}


def logits_of(model: ViViT, video: Tensor) -> Tensor:
    with torch.no_grad():
        logits = model(video.permute(0, 1, 4, 2, 3))
    assert isinstance(logits, Tensor)
    return logits


def test_all_vectors_are_here() -> None:
    assert sorted(NEEDED) == CASES


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("given", [all_fields, needed_fields], ids=["all fields given", "needed fields given"])
def test_logits_are_the_originals(case: str, given: Any) -> None:
    model = tubelet.load(checkpoint_of(case), **given(case))
    expected = load_file(VECTORS / f"{case}.safetensors")
    difference = (logits_of(model, expected["video"]) - expected["logits"]).abs().max()
    assert difference <= TOLERANCE, f"{case}: {difference:.1e}"
    counts = model.load_report.counts()
    assert counts["new"] == counts["unused"] == counts["adapted"] == 0


@pytest.mark.parametrize("case", CASES)
def test_nothing_less_is_enough(case: str) -> None:
    for name in NEEDED[case]:
        fields = {field: value for field, value in needed_fields(case).items() if field != name}
        if name == "pool":  # the mean is assumed, and the report says so
            assert any(
                note.startswith("pool: mean") for note in tubelet.load(checkpoint_of(case), **fields).load_report.notes
            )
        else:
            with pytest.raises(tubelet.WeightsError, match=rf"Give by name: .*{name} \("):
                tubelet.load(checkpoint_of(case), **fields)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layout", ["optimizer", "params"])
def test_what_is_written_reads_back_bit_for_bit(case: str, layout: Any, tmp_path: Path) -> None:
    model = tubelet.load(checkpoint_of(case), **needed_fields(case))
    save_scenic(model, tmp_path / "written.checkpoint", layout=layout)
    again = tubelet.load(tmp_path / "written.checkpoint", **needed_fields(case))
    assert again.config == model.config
    theirs = again.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("case", CASES)
def test_conversion_to_our_format_keeps_the_logits(case: str, tmp_path: Path) -> None:
    tubelet.convert(checkpoint_of(case), tmp_path / "native", **needed_fields(case))
    expected = load_file(VECTORS / f"{case}.safetensors")
    logits = logits_of(tubelet.load(tmp_path / "native"), expected["video"])
    assert (logits - expected["logits"]).abs().max() <= TOLERANCE
