"""A run folder written by hand, with real videos."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from tubelet.config import ModelConfig, PreprocessingConfig, TrainConfig, to_dict
from tubelet.video import write_video

CLASSES = ["jump", "run & <hide>", "sit"]
SAID = [0, 1, 1, 1, 2, 0]
TRUTH = [0, 0, 1, 1, 2, 2]
SURE = [2.0, 6.0, 2.0, 2.0, 2.0, 3.0]


def write_run(folder: Path, videos: Path) -> Path:
    """Three classes, six held-out videos of which two are called wrong, a confident one and a less confident one."""
    folder.mkdir()
    videos.mkdir()
    model = ModelConfig(variant="factorised_encoder", num_frames=8, image_size=32, num_classes=3)
    labels = {"label": CLASSES}
    (folder / "config.json").write_text(
        json.dumps(
            {"tubelet": "0", "model": to_dict(model), "preprocessing": to_dict(PreprocessingConfig()), "labels": labels}
        )
    )
    run = {
        "config": to_dict(TrainConfig(seed=77)),
        "steps_per_epoch": 4,
        "parameters": 1_234_567,
        "labels": labels,
        "notes": ["two videos were left out"],
        "environment": {"python": "3.11", "packages": {"torch": "2.9"}, "command": ["tubelet", "train", "clips"]},
    }
    (folder / "run.json").write_text(json.dumps(run))
    events = []
    for step in range(1, 41):
        events.append(
            {
                "event": "train",
                "step": step,
                "epoch": (step - 1) // 4 + 1,
                "loss": 2 / step,
                "lr": 1e-3,
                "clips_per_second": 50.0,
                "data_wait_share": 0.1,
            }
        )
        if step % 4 == 0:
            events.append(
                {"event": "validation", "step": step, "epoch": step // 4, "loss": 2.5 / step, "top1": step / 50}
            )
    (folder / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    predictions, rows, confusion = [], ["path,label,split"], [[0] * 3 for _ in range(3)]
    for number, (truth, said, sure) in enumerate(zip(TRUTH, SAID, SURE, strict=True)):
        frames = torch.full((10, 3, 32, 48), 40 * number, dtype=torch.uint8)
        path = write_video(videos / f"video{number}.mp4", frames)
        logits = [sure if index == said else 0.0 for index in range(3)]
        predictions.append({"path": str(path), "labels": {"label": truth}, "logits": {"label": logits}})
        rows.append(f'{path},"{CLASSES[truth]}",test')
        confusion[truth][said] += 1
    (folder / "predictions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in predictions))
    (folder / "splits.csv").write_text("\n".join(rows) + "\n")
    per_class = [
        {"name": name, "support": 2, "recall": confusion[index][index] / 2, "precision": confusion[index][index] / 2}
        for index, name in enumerate(CLASSES)
    ]
    metrics = {
        "top1": 4 / 6,
        "top5": None,
        "mean_class_accuracy": 4 / 6,
        "loss": math.log(2),
        "calibration_error": 0.05,
        "num_videos": 6,
        "num_failures": 0,
        "per_class": per_class,
        "confusion": confusion,
    }
    evaluation = {
        "top1": 4 / 6,
        "loss": math.log(2),
        "classes": labels,
        "metrics": {"label": metrics},
        "joint": None,
        "views": [4, 3],
        "average": "logits",
        "num_videos": 6,
        "failures": [{"path": "broken.mp4", "reason": "is empty (0 bytes)"}],
        "seconds": 1.0,
    }
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    return folder


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", tmp_path / "videos")
