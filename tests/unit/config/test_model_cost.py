"""Parameters and multiply-adds against the paper's (FLOPs there), and against counting the real model."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from contract.configurations import every_configuration
from tubelet.config import cost
from tubelet.model import ViViT
from tubelet.presets import preset

REFERENCE = [
    # preset, overrides, parameters, multiply-adds in G
    ("vivit_base_16x2", {}, 88_954_000, 451.5),
    ("vivit_base_16x2_fe", {}, 115_062_928, 283.3),
    ("vivit_base_16x2_fe", {"temporal_layers": 0}, 86_696_080, 282.9),
    ("vivit_base_16x2_fsa", {}, 117_319_312, 371.1),
    ("vivit_base_16x2_fdp", {}, 88_952_464, 276.2),
    ("vivit_large_16x2", {}, 307_508_624, 1436.0),
    ("vivit_large_16x2_fe", {}, 354_903_440, 988.2),
    ("vivit_large_16x2_fe", {"temporal_layers": 24}, 606_827_920, 992.5),
    ("vivit_huge_14x2", {}, None, 3958.8),
]


@pytest.mark.parametrize(("name", "overrides", "parameters", "giga"), REFERENCE)
def test_presets_have_the_papers_size_and_cost(
    name: str, overrides: dict[str, int], parameters: int | None, giga: float
) -> None:
    config = preset(name, **overrides)
    counted = cost(config)
    assert counted.multiply_adds / 1e9 == pytest.approx(giga, rel=1e-3)
    assert parameters is None or counted.parameters == parameters
    with torch.device("meta"):
        assert sum(p.numel() for p in ViViT(config).parameters()) == counted.parameters


@pytest.mark.parametrize("name", every_configuration())
def test_the_count_is_the_one_of_the_running_model(name: str) -> None:
    """As in the paper every token goes through every block."""
    config = every_configuration()[name]
    with torch.device("meta"):
        model, video = ViViT(config), torch.empty(1, config.num_frames, 3, *config.image_size)
    counted = cost(config)
    assert counted.parameters == sum(p.numel() for p in model.parameters())
    assert counted.multiply_adds == multiply_adds(model, video)


def multiply_adds(model: ViViT, video: torch.Tensor) -> float:
    with FlopCounterMode(display=False) as flops:
        model(video)
    return flops.get_total_flops() / 2
