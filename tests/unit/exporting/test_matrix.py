"""Every variant with every embedding in every format: proven, on videos of which some are shorter than a clip.

What `docs/export.md` has in its table is what comes out here.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from own_process import run

VARIANTS = ("spatio_temporal", "factorised_encoder", "factorised_self_attention", "factorised_dot_product")
EMBEDDINGS = ("tubelet", "uniform_frames", "conv_stem")


ALL = [(variant, embedding) for variant in VARIANTS for embedding in EMBEDDINGS]
SOME = [
    ("spatio_temporal", "conv_stem"),
    ("factorised_encoder", "tubelet"),
    ("factorised_self_attention", "tubelet"),
    ("factorised_dot_product", "uniform_frames"),
]


@pytest.mark.parametrize(
    ("format", "cells"),
    [
        ("onnx", ALL),
        ("openvino", SOME),
        ("executorch", SOME),
        pytest.param("openvino", ALL, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
        pytest.param("executorch", ALL, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
        pytest.param("pt2", ALL, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
def test_every_variant_with_every_embedding_is_proven(format: str, cells: list[tuple[str, str]]) -> None:
    names = [f"{variant}:{embedding}:{format}" for variant, embedding in cells]
    found = json.loads(run(Path(__file__).with_name("matrix.py"), *names).stdout)
    assert list(found) == names
    for name, proof in found.items():
        assert "refused" not in proof, (name, proof)
        assert proof["difference"] <= 1e-5, name
        assert proof["same_top1"] == proof["clips"] == 9
        assert set(proof["batches"]) == ({"1"} if format == "executorch" else {"1", "3", "8"})
