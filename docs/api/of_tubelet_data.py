"""Every name of `tubelet.data` in use."""

import dataclasses

from torchvision.io import write_png

import tubelet
from tubelet import data
from tubelet.config import AugmentationConfig, DataConfig, PreprocessingConfig, ShardConfig
from tubelet.demo import write_clips
from tubelet.paths import packaged_model

folder = write_clips("clips", {"train": 2, "test": 1})  # 16 videos to learn from, 8 to test with

table: data.Table = data.read_table(folder)
print(table.describe(), table.heads, table.splits)

print(data.read_configured(DataConfig(source=str(folder))).notes)

first: data.Sample = table.samples[0]
print(table.key(first), first.labels, first.split, table.class_names(first))

print(data.write_table(table, "clips.csv").read_text().splitlines()[:2])

print(data.split_name("validation"), data.split_name("holdout"))

undivided = data.without_splits(table)
print(undivided.splits)

divided = data.assign_splits(undivided, {"train": 0.5, "val": 0.25, "test": 0.25}, seed=1)
print(divided.splits, divided.notes)

chosen_by = data.hold_out(table, fraction=0.5)  # half of the training videos, to choose the weights by
print(chosen_by.splits)

part = dataclasses.replace(first, start=0.5, end=1.0)
print(data.independent_unit(part) == data.independent_unit(first))

print(len(data.independent_units([first, part, table.samples[1]])))  # two parts of one file are one unit

print(data.untrained_classes(table.split("test")))

try:
    data.require_train_classes(table.split("test"))
except tubelet.DataError as error:
    print(error)

print(data.class_weights(table.select([0, 0, 0, 2])))  # a class without samples weighs 0

print(data.content_key(packaged_model("demo") / "clip.mp4"))

report: data.CheckReport = data.check(table, thorough=True)
print(report.ok, report.videos, report.sizes, report.leaks)

shards: data.PrepareReport = data.prepare(table, "shards", ShardConfig(short_side=32))
print(shards.videos, shards.shards, f"{shards.bytes} of {shards.bytes_before} bytes")

classes = {"label": ["swipe left", "swipe right", "clap"]}

mirrored = data.suggest_flip_labels(classes)
print(mirrored)

print(data.mirror_note(classes, AugmentationConfig(flip=0.5)))

try:
    data.require_labels_stay_right(classes, AugmentationConfig(flip=0.5))
except tubelet.ConfigError as error:
    print(error)

flipped = data.LabelMap({"label": {"swipe left": "swipe right"}}, classes, "flip_labels")
print(flipped.names({"label": [0]}), flipped.names({"label": [2]}))

frames = PreprocessingConfig(num_frames=8, resize=32, crop_size=(32, 32))

dataset = data.ClipDataset(table.split("train"), frames, augmentation=AugmentationConfig(flip=0.0), seed=1)
print(len(dataset), dataset.video_shape)

item: data.Item = dataset[0]
print(item["video"].shape, item["targets"])

gone = dataclasses.replace(table, samples=(dataclasses.replace(first, path="gone.mp4"),))
failure: data.Failure = data.ClipDataset(gone, frames)[0]
print(failure.index, failure.path, failure.reason)

again = dataset[data.Draw(index=0, epoch=3)]  # the same clip of the same epoch, whoever asks for it
print(again["index"])

draws = data.Draws(seed=1, epoch=3, index=0)
print(draws.rng("colour").initial_seed() == draws.rng("colour").initial_seed())

generator = data.generator_of(1, "my augmentation")  # on every machine, in every process
print(generator.initial_seed())

print(list(data.EpochBatches(table.split("train"), batch_size=6, seed=1, even_end=True)))

loader: data.ClipLoader = data.make_loader(dataset, batch_size=8, workers=0)
for batch in loader:
    print(batch.video.shape, batch.targets["label"])

for timed_batch, waited in data.timed(loader):
    print(len(timed_batch.indices), f"{waited:.3f} s")

stacked: data.Batch = data.collate([dataset[0], dataset[5]], heads=["label"], video_shape=dataset.video_shape)
print(stacked.video.shape, stacked.targets, stacked.failures)

mix = data.BatchMix(AugmentationConfig(mixup=0.4, label_smoothing=0.1), table.heads)
mixed = mix.batch(stacked, data.batch_generator(seed=1, epoch=0, batch=0))
print(mixed.targets["label"])

print(data.MixupCutmix is data.BatchMix)  # the former name

cache = data.FrameCache(len(table), gigabytes=0.5)
cached = data.ClipDataset(table, frames, cache=cache)
print(cached[0]["video"].shape, cache.used)

sheet = data.contact_sheet(stacked, dataset.preprocessing, table.classes, frames=4)  # uint8 [3, H, W]
write_png(sheet, "sheet.png")
