"""Features as a safetensors file for other programs."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from tubelet.data import Table
from tubelet.files import replacing
from tubelet.weights.tensor_files import save_tensors


def write_features(file: Path, parts: Sequence[tuple[Table, Tensor]]) -> None:
    """Write a safetensors file.

    Its tensors are `features`, float32 [N, D], and `labels.HEAD`, int64 [N], for each head. Its metadata, each a JSON
    text, are `paths` (absolute), `starts` and `ends` (seconds or null) and `splits`, a list of N each, and `classes`,
    the class names by head; and the checksum of `save_tensors`.

    Args:
        file: written whole or not at all; one that exists is replaced.
        parts: tables with one feature [D] for each of their samples; with the same classes.
    """
    samples = [sample for table, _ in parts for sample in table.samples]
    classes = parts[0][0].classes
    tensors = {"features": torch.cat([features for _, features in parts]).float().cpu().contiguous()}
    for head in classes:
        tensors[f"labels.{head}"] = torch.tensor([sample.labels[head] for sample in samples], dtype=torch.int64)
    lists = {
        "paths": [os.path.abspath(sample.path) for sample in samples],
        "starts": [sample.start for sample in samples],
        "ends": [sample.end for sample in samples],
        "splits": [sample.split for sample in samples],
    }
    metadata = {name: json.dumps(values) for name, values in lists.items()} | {"classes": json.dumps(classes)}
    with replacing(file) as path:
        save_tensors(tensors, path, metadata)
