"""Start from weights, and learn classes that they do not know."""

import dataclasses
from pathlib import Path

import tubelet
from tubelet.data import read_table
from tubelet.demo import write_clips

if not Path("clips").exists():
    write_clips("clips", {"train": 3, "test": 1})

# Labels of our own: does the shape move left or right? A CSV with path and label does the same.
table = read_table("clips")
names = table.classes["label"]
samples = [
    dataclasses.replace(sample, labels={"label": int(names[sample.labels["label"]].startswith("right"))})
    for sample in table.samples
]
table = dataclasses.replace(table, samples=tuple(samples), classes={"label": ["left", "right"]})

tubelet.train(table, "runs/fine-tuned", init="demo", freeze="spatial", epochs=1, workers=0)
model = tubelet.load("runs/fine-tuned")
print(model.labels)
