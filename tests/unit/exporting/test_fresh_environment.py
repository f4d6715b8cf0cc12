"""`run.py` in an environment that holds onnxruntime, numpy and av, and nothing else that was installed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch

import tubelet
from tubelet.given_model import logits_by_head
from tubelet.video import Preprocessing, open_video

VIDEOS = {
    "rotated": "decord/video_180.mov",
    "of a variable rate": "made_here/vfr.mp4",
    "VP9": "torchcodec/testsrc2_vp9.webm",
    "short": "made_here/two_frames.mp4",
    "4:4:4": "torchcodec/testsrc2_444_10bit_hevc.mp4",
}

LOGITS = """
import hashlib, importlib.util, json, sys
import run
contract = json.load(open("tubelet.json"))
session = run.OnnxSession("model.onnx", 1)
found = []
for path in sys.argv[1:]:
    clip, real, *_ = run.clip_of(path, contract["preprocessing"], contract["model"]["in_channels"])
    inputs = [clip[None], run.numpy.array([real])][: len(contract["inputs"])]
    found.append([hashlib.sha256(clip.tobytes()).hexdigest(), [float(x) for x in session(inputs)[0][0]]])
absent = [name for name in ("torch", "tubelet", "torchvision") if importlib.util.find_spec(name) is None]
print(json.dumps({"found": found, "absent": absent}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the environment."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    wanted = [f"{name}=={importlib.metadata.version(name)}" for name in ("onnxruntime", "numpy", "av")]
    subprocess.run([str(python), "-m", "pip", "install", "-q", *wanted], check=True)
    return python


@pytest.mark.slow
def test_five_difficult_videos_give_the_models_logits(
    python: Path, exported: Callable[[str], Path], trained: Path, shared: Path
) -> None:
    folder = exported("onnx")
    videos = [str(shared / "data" / "edge_videos" / name) for name in VIDEOS.values()]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def fresh(*words: str) -> str:
        done = subprocess.run([str(python), *words], cwd=folder, env=clean, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    answer = json.loads(fresh("-B", "-c", LOGITS, *videos))
    assert answer["absent"] == ["torch", "tubelet", "torchvision"]
    model = tubelet.load(trained)
    preprocessing = Preprocessing(model.preprocessing)
    for path, (digest, logits) in zip(videos, answer["found"], strict=True):
        with open_video(path) as decoder:
            views = preprocessing.views(decoder)
        pixels = preprocessing.denormalise(views.video[0]).permute(0, 2, 3, 1).contiguous().numpy()
        assert digest == hashlib.sha256(pixels.tobytes()).hexdigest()
        with torch.no_grad():
            (expected,) = logits_by_head(model, model(views.video)).values()
        assert numpy.abs(numpy.array(logits) - expected[0].numpy()).max() <= 1e-4 * expected.abs().max()
    lines = [json.loads(line) for line in fresh("-B", "run.py", *videos, "--json").splitlines()]
    assert [line["label"] for line in lines] == [one.label for one in tubelet.predict(trained, videos)]
