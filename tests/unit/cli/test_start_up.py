"""What an answer costs before the model has looked at anything: what is imported, and what is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import tubelet
from tubelet.cli import main as command
from tubelet.config import PreprocessingConfig

SOURCE = Path(command.__file__).resolve().parents[2]
SLOW = ("torchvision", "scipy", "matplotlib", "torch._dynamo", "sympy")
"""Modules that take from 0.3 to 3 seconds to import, and that no prediction needs."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("start")
    model = tubelet.create(
        "vivit_tiny_16x2", num_frames=4, image_size=32, hidden_size=16, num_layers=1, num_heads=2, num_classes=3
    )
    model.preprocessing = PreprocessingConfig(num_frames=4, frame_stride=2, resize=40, crop_size=(32, 32))
    tubelet.save(model, root / "model")
    for name in ("a", "b"):
        (root / "clips" / name).mkdir(parents=True)
        frames = torch.randint(0, 256, (12, 3, 48, 64), dtype=torch.uint8)
        tubelet.write_video(root / "clips" / name / "video.mp4", frames, 10.0)
    return root


def run(code: str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=SOURCE, env=variables, capture_output=True, text=True, timeout=120, check=True
    )


def test_a_prediction_imports_nothing_that_is_slow_and_not_needed(folder: Path) -> None:
    words = ["predict", str(folder / "model"), str(folder / "clips"), "--json"]
    code = (
        f"import json, sys; from tubelet.cli.main import main; assert main({words!r}) == 0;"
        f"print(json.dumps([name for name in {SLOW!r} if name in sys.modules]))"
    )
    *lines, slow = map(json.loads, run(code).stdout.splitlines())
    assert [line["error"] for line in lines] == [None, None]
    assert slow == []


def test_a_prediction_costs_little_more_than_importing_torch(folder: Path) -> None:
    """Processor time after `import torch`, in one of three processes, so that a busy machine does not matter."""
    words = ["predict", str(folder / "model"), str(folder / "clips" / "a" / "video.mp4"), "--json"]
    code = (
        "import time, torch; start = time.process_time(); from tubelet.cli.main import main;"
        f"assert main({words!r}) == 0; print(time.process_time() - start)"
    )
    assert any(float(run(code).stdout.splitlines()[-1]) < 3 for _ in range(3))
