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
ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("format", ["onnx", pytest.param("openvino"), pytest.param("pt2", marks=pytest.mark.slow)])
def test_every_variant_with_every_embedding_is_proven(format: str) -> None:
    cells = [f"{variant}:{embedding}:{format}" for variant in VARIANTS for embedding in EMBEDDINGS]
    found = json.loads(run(Path(__file__).with_name("matrix.py"), *cells).stdout)
    assert list(found) == cells
    for name, proof in found.items():
        assert "refused" not in proof, (name, proof)
        assert proof["difference"] <= 1e-5, name
        assert proof["same_top1"] == proof["clips"] == 9
        assert set(proof["batches"]) == {"1", "3", "8"}
