"""Videos with several labels each: two squares, each with a motion of its own; the labels are the motions that occur.

`python examples/multi_label.py` learns from a few of them; `python examples/multi_label.py FOLDER` writes 500, to learn
from in earnest.
"""

import csv
import sys
from pathlib import Path

import numpy as np

import tubelet

MOTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
SIZE, FRAMES = 64, 24


def film(generator, motions):
    """uint8 [T, H, W, 3]: a square for each motion; what leaves at one side comes in at the other."""
    video = np.full((FRAMES, SIZE, SIZE, 3), generator.uniform(20, 90))
    for motion in motions:
        side, colour = int(generator.integers(10, 17)), generator.uniform(120, 255, 3)
        place, speed = generator.uniform(0, SIZE, 2), generator.uniform(1.0, 2.5)
        for time in range(FRAMES):
            across, down = (int(p + d * speed * time) for p, d in zip(place, MOTIONS[motion], strict=True))
            rows, columns = (down + np.arange(side)) % SIZE, (across + np.arange(side)) % SIZE
            video[time][np.ix_(rows, columns)] = colour
    video += generator.normal(0, 4, video.shape)
    return video.round().clip(0, 255).astype(np.uint8)


def write_motions(folder, counts):
    """`folder/motions.csv` with a path, the motions (`left;up`) and a split, and the videos."""
    (folder / "videos").mkdir(parents=True)
    with (folder / "motions.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "motions", "split"])
        for number, split in enumerate(split for split, count in counts.items() for _ in range(count)):
            generator = np.random.default_rng(number)
            motions = [str(motion) for motion in generator.choice(list(MOTIONS), 2)]
            path = f"videos/{number:03d}.mp4"
            tubelet.write_video(folder / path, film(generator, motions), 12.0)
            table.writerow([path, ";".join(sorted(set(motions))), split])
    return folder / "motions.csv"


if len(sys.argv) > 1:
    print(write_motions(Path(sys.argv[1]), {"train": 320, "val": 80, "test": 100}))
    sys.exit()

folder = Path("few-motions")
data = folder / "motions.csv" if folder.exists() else write_motions(folder, {"train": 16, "val": 8, "test": 4})
tubelet.train(
    data,
    "runs/motions",
    labels=("motions",),  # split at ";", which is said
    preset="vivit_tiny_16x2_fe",
    model={"num_frames": 8, "image_size": 32, "tubelet_size": (2, 8, 8), "hidden_size": 32, "num_heads": 2},
    epochs=1,  # far too few to learn anything; leave all of these out for your own videos
    workers=0,
)
result = tubelet.predict("runs/motions", folder / "videos" / "024.mp4")
print(result.labels, dict(zip(result.classes, result.probabilities.tolist(), strict=True)))

evaluation = tubelet.evaluate("runs/motions", split="test")
for one in evaluation.multi_label["label"].per_class:
    print(f"{one.name}: average precision {one.average_precision}, threshold {one.threshold:.2f}, F1 {one.f1}")
