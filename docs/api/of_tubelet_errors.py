"""Every name of `tubelet.errors` in use."""

import runpy
import shutil
from pathlib import Path

import tubelet
from tubelet import data, errors
from tubelet.demo import write_clips
from tubelet.paths import packaged_model
from tubelet.training import SilentReporter
from tubelet.video.guarded import Bounds, GuardedPool

clip = packaged_model("demo") / "clip.mp4"

clips = write_clips("clips", {"train": 1, "test": 1})

try:
    tubelet.create("vivit_tiny_16x2", num_frame=8)
except errors.ConfigError as error:
    print(error)

try:
    tubelet.load("missing")
except errors.WeightsError as error:
    print(error)

try:
    tubelet.evaluate("demo", "missing")
except errors.DataError as error:
    print(error)

try:
    tubelet.read_video("missing.mp4")
except errors.VideoError as error:
    print(error.path, "|", error.reason)

try:
    tubelet.save(tubelet.load("demo"), clip / "model")  # below a file
except errors.StorageError as error:
    print(error)

for source, views in (("missing.mp4", "1x1"), (clip, "4 by 3")):
    try:
        print(tubelet.predict("demo", source, views=views))
    except errors.TubeletError as error:  # whichever it is
        print(f"{type(error).__name__}, exit code {error.exit_code}: {error}")

table = data.read_table(clips)


def prepare_at_once(done: int, total: int) -> None:
    """Called while the folder is being written."""
    try:
        data.prepare(table, "shards")
    except errors.InUseError as error:
        print(error)


data.prepare(table.select([0]), "shards", progress=prepare_at_once)

dataset = data.ClipDataset(table, tubelet.PreprocessingConfig(num_frames=8, resize=32, crop_size=(32, 32)))
try:
    for batch in data.make_loader(dataset, batch_size=8, workers=1, patience=0.01):  # seconds for a batch
        print(batch.indices)
except errors.WorkerError as error:
    print(error)


class DiskGoes(SilentReporter):
    """Takes the videos away after the first epoch."""

    def epoch(self, text: str) -> None:
        """Called at the end of each."""
        shutil.rmtree(clips / "train")


try:
    tubelet.train(clips, "runs/new", init="demo", epochs=2, workers=0, validation_split="none", reporter=DiskGoes())
except errors.UnreadableError as error:
    print(error)

Path("aborts.py").write_text("import os\nos.abort()")  # these stand for decoders on hostile files
Path("loops.py").write_text("while True: pass")

with GuardedPool(1, Bounds(seconds=0.5)) as pool:  # as `tubelet serve` and a corpus decode
    try:
        pool.call(runpy.run_path, "aborts.py")
    except errors.DecoderCrashError as error:
        print(error)
    try:
        pool.call(runpy.run_path, "loops.py")
    except errors.DecoderTimeoutError as error:
        print(error)
