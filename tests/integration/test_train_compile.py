"""`torch.compile` in training: the same losses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import tubelet
from tubelet.training import read_events
from tubelet.video import write_video

CHILD = """
import sys, warnings
from tubelet.config import train_config
from tubelet.training import SilentReporter, train
config = train_config(
    "small-data",
    model={"num_frames": 4, "image_size": 16, "tubelet_size": (2, 8, 8), "hidden_size": 24, "num_layers": 1,
           "num_heads": 2, "mlp_dim": 48, "temporal_layers": 1, "drop_path": 0.0},
    preprocessing={"resize": 20}, epochs=3, batch_size=4, optimiser="sgd", learning_rate=0.1, workers=0, device="cpu",
)
if sys.argv[3] != "nothing frozen":
    train(sys.argv[1], f"{sys.argv[2]}/start", config=config, epochs=1, warmup_epochs=0, reporter=SilentReporter())
    config = train_config(
        "cached-features", init=f"{sys.argv[2]}/start", epochs=3, batch_size=4, optimiser="sgd", learning_rate=0.1,
        workers=0, device="cpu", cache="features" if sys.argv[3] == "features" else "none",
        feature_folder=f"{sys.argv[2]}/features",
    )
for name, compiled in (("eager", False), ("compiled", True)):
    train(sys.argv[1], f"{sys.argv[2]}/{name}", config=config, compile=compiled, reporter=SilentReporter())
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nothing frozen", "spatial encoder frozen", "features"])
def test_a_compiled_training_has_the_losses_of_an_eager_one(tmp_path: Path, kind: str) -> None:
    for name in "ab":
        (tmp_path / "clips" / name).mkdir(parents=True)
        for clip in range(5):
            frames = torch.randint(0, 256, (6, 3, 24, 24), dtype=torch.uint8)
            write_video(tmp_path / "clips" / name / f"{clip}.mp4", frames, 10.0)
    environment = {**os.environ, "PYTHONPATH": str(Path(tubelet.__file__).parents[1]), "JAXTYPING_DISABLE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "clips"), str(tmp_path), kind],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    eager, compiled = (
        [event["loss"] for event in read_events(tmp_path / name / "metrics.jsonl", "train")]
        for name in ("eager", "compiled")
    )
    assert len(eager) == 6
    assert compiled == pytest.approx(eager, abs=1e-4)
