"""Train on a folder of clips with a folder for each class, evaluate, and look at the run."""

from pathlib import Path

import tubelet
from tubelet.demo import write_clips

if not Path("clips").exists():
    write_clips("clips", {"train": 3, "test": 1})  # clips/train/CLASS/000.mp4, ...

result = tubelet.train(
    "clips",
    "runs/example",
    preset="vivit_tiny_16x2_fe",
    model={"num_frames": 8, "image_size": 32, "tubelet_size": (2, 8, 8), "hidden_size": 32, "num_heads": 2},
    epochs=1,  # far too few to learn anything; leave all of these out for your own videos
    workers=0,
)
print(result.folder, result.ended)

evaluation = tubelet.evaluate("runs/example", "clips", split="test", workers=0)
print(f"{evaluation.top1:.0%} of {evaluation.num_videos} videos")
print("look at runs/example/report.html")
