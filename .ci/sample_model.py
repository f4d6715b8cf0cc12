"""Puts the model, a held-out clip and a few sample clips of a demonstration into the package, as the model `demo`.

tubelet demo --out demo
python .ci/sample_model.py demo
"""

import dataclasses
import shutil
import sys
from pathlib import Path

import tubelet
from tubelet.weights.sample_clips import SampleClips

SAMPLE = Path(__file__).parents[1] / "src" / "tubelet" / "demo" / "sample"
CLIP = "clips/test/left-slow-rgb/000.mp4"
CLIPS = 8
"""Sample clips, one of each class, so that `tubelet export demo` has something to prove the model on."""

demo = Path(sys.argv[1])
model = tubelet.load(demo / "runs" / "factorised-encoder")
model.provenance = None  # paths of the machine that trained it; the classes have no other videos than generated ones
model.sample_clips = None
tubelet.save(model, SAMPLE, overwrite=SAMPLE.exists())
clips = SampleClips.read(demo / "runs" / "factorised-encoder")
few = {head: logits[:CLIPS] for head, logits in clips.logits.items()}
dataclasses.replace(clips, packed=clips.packed[:CLIPS], logits=few).write(SAMPLE)
shutil.copyfile(demo / CLIP, SAMPLE / "clip.mp4")
sys.stdout.write(f"{sum(file.stat().st_size for file in SAMPLE.iterdir()):,} bytes in {SAMPLE}\n")
