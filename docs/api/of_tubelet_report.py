"""Every name of `tubelet.report` in use."""

import tubelet
from tubelet import evaluation, report
from tubelet.demo import write_clips

clips = write_clips("clips", {"train": 2, "test": 1})

first = tubelet.train(clips, "runs/a", init="demo", epochs=1, workers=0, report=False)

remark = report.Section("Cameras", "<p>Two of them, three metres apart.</p>")
print(report.write_report(first.folder, title="Hands", extra=[remark]))

second = tubelet.train(clips, "runs/b", init="demo", epochs=2, workers=0, report=False)

runs = {"one epoch": first.folder, "two epochs": second.folder}
measured = {name: evaluation.evaluate(folder, clips, split="test", workers=0) for name, folder in runs.items()}
print(report.write_comparison(runs, evaluation.compare(measured).to_dict(), out="comparison.html"))
