"""Every name of `tubelet.runs` in use."""

import torch

import tubelet
from tubelet import runs
from tubelet.config import train_config
from tubelet.data import read_table
from tubelet.demo import write_clips

clips = write_clips("clips", {"train": 2, "test": 1})

model = tubelet.load("demo")

trained: runs.RunResult = runs.train(
    clips,
    "fitted",
    init="demo",
    epochs=1,
    workers=0,
    validation_split="test",
    keep="last",
    learning_rate=0.05,
    batch_size=4,
    warmup_epochs=0,
    report=False,
)
print(trained.folder, trained.ended, trained.steps)

left: runs.RunEnd = runs.finish_run(trained.folder)  # evaluation, sample clips and page
print(left.evaluation, left.report)

kept: runs.KeptEvaluation = runs.evaluate_and_keep(
    trained.folder, clips, split="train", include_learned=True, workers=0
)
print(kept.folder, kept.evaluation.top1)

again: runs.KeptEvaluation = runs.evaluate_stored_and_keep(kept.folder, out="computed")
print(again.evaluation.top1)

explained: runs.ExplainedMistakes = runs.explain_mistakes(trained.folder, method="balanced")
print(explained.count, explained.method, explained.report)

kept_clips: runs.SampleClips = runs.make_sample_clips(model, read_table(clips), split="test", most=4)
print(kept_clips.shape, kept_clips.pixels(0).shape)

answer: runs.SampleCheck = runs.check_samples(model, kept_clips, backends=["plain"])
print(answer.ok, answer.same_weights)

way: runs.BackendCheck = answer.checks[0]
print(way.backend, way.precision, way.ok)

distance: runs.Difference = runs.compare_logits(
    kept_clips, {head: logits + 1e-6 * torch.randn_like(logits) for head, logits in kept_clips.logits.items()}
)
print(distance.logits, distance.same_top1, distance.agrees)

preview: runs.Preview = runs.preview_batch(train_config("fine-tune", source="clips", init="demo"), clips=4)
print(preview.batch.video.shape, preview.notes)  # tubelet.data.contact_sheet draws it

quick = runs.optimise(model, precision="auto")
print(quick.precision_report)
