"""Every name of `tubelet.corpus` in use."""

import csv
from pathlib import Path

from tubelet import corpus
from tubelet.demo import CLASSES, write_clips

clips = write_clips("clips", {"test": 2})  # 16 videos

rows = corpus.run("demo", "clips", "rows", embed=True, workers=0)
print(rows)  # of each status

summary: corpus.Summary = corpus.check("rows", page=False)
print(summary.ok, summary.videos, summary.classes)

found: list[corpus.Match] = corpus.search("rows", clips / "test" / "left-slow-rgb" / "000.mp4", top=3)
print([(one.video.path, one.similarity, one.labels) for one in found])

for group in corpus.duplicates("rows", threshold=0.999):
    print(len(group), "videos show nearly the same as", group[0].video.path)

for row in corpus.select("rows", uncertain=3):
    print(row["path"], row["label"], row["probability"])  # to be looked at, and labelled

known = Path("known.csv")
with known.open("w", newline="") as file:
    lines = [(f"clips/test/{one.name}/{number}.mp4", one.name) for one in CLASSES for number in ("000", "001")]
    csv.writer(file).writerows([("path", "label"), *lines])

agreed: corpus.Agreement = corpus.compare_labels("rows", known)
print(agreed.right, "of", agreed.compared, agreed.disagreements)

measured: corpus.Retrieval = corpus.retrieval("rows", known)
print(measured.mean_average_precision, measured.nearest_right)

print(corpus.convert("rows", "lance"), "rows")
