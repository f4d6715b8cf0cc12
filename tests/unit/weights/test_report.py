"""The load report: what a person and a program read of it."""

from __future__ import annotations

import json

from tubelet.weights import Entry, LoadReport

REPORT = LoadReport(
    "x.npz",
    "image ViT",
    (
        *(Entry(f"encoder.blocks.{i}.mlp.fc1.weight", f"Dense_{i}/kernel", "loaded", "transposed") for i in range(12)),
        Entry("encoder.positions.grid", "pos_embedding", "adapted", "tiled 16 times"),
        Entry("head.weight", "", "new", "initialised anew"),
        Entry("head.bias", "", "new", "initialised anew"),
        Entry("", "pre_logits/kernel", "unused", "not part of a ViViT"),
    ),
    ("pool: mean, which is assumed",),
)


def test_counts_and_names() -> None:
    assert REPORT.counts() == {"loaded": 12, "adapted": 1, "new": 2, "unused": 1}
    assert REPORT.names("new") == ["head.weight", "head.bias"]
    assert REPORT.names("unused") == ["pre_logits/kernel"]


def test_it_survives_json() -> None:
    assert LoadReport.from_dict(json.loads(json.dumps(REPORT.to_dict()))) == REPORT


def test_it_prints_one_line_for_each_kind_of_tensor() -> None:
    lines = str(REPORT).splitlines()
    assert lines[0] == "x.npz (image ViT): 12 loaded, 1 adapted, 2 new, 1 unused"
    assert [line.split() for line in lines[1:]] == [
        ["loaded", "12", "encoder.blocks.*.mlp.fc1.weight"],
        ["adapted", "1", "encoder.positions.grid", "tiled", "16", "times"],
        ["new", "2", "head", "initialised", "anew"],
        ["unused", "1", "pre_logits/kernel", "not", "part", "of", "a", "ViViT"],
        ["note:", "pool:", "mean,", "which", "is", "assumed"],
    ]
