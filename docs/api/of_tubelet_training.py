"""Every name of `tubelet.training` in use."""

import signal

from tubelet import training
from tubelet.demo import write_clips

clips = write_clips("clips", {"train": 2, "test": 1})

trained: training.TrainResult = training.train(
    clips, "runs/new", init="demo", epochs=1, workers=0, reporter=training.SilentReporter()
)
print(trained.folder, trained.steps, trained.ended, trained.model.labels)

for line in training.read_events(trained.folder / "metrics.jsonl", "train"):
    print(line["step"], line["loss"])


class Losses(training.SilentReporter):
    """Prints the figures of each epoch, and nothing else."""

    def epoch(self, text: str) -> None:
        """Called at the end of each."""
        print(text)


losses: training.Reporter = Losses()
training.train(clips, "runs/shown", init="demo", epochs=1, workers=0, reporter=losses)

training.ConsoleReporter().message("a line on the standard error stream")

try:
    training.train(clips, "runs/wild", init="demo", learning_rate=1e30, clip_norm=None, workers=0)
except training.DivergedError as error:
    print(error)

try:  # few clips a step, and a low bound, so that some step is far above the others
    training.train(
        clips, "runs/spike", init="demo", batch_size=2, workers=0, spike_deviations=0.1, on_spike="stop", mixup=0.0
    )
except training.SpikeError as error:
    print(error)


class Impatient(training.SilentReporter):
    """Presses Ctrl-C after the first step."""

    def step(self, step: int, text: str) -> None:
        """Called after each."""
        signal.raise_signal(signal.SIGINT)


try:
    training.train(clips, "runs/stopped", init="demo", workers=0, reporter=Impatient())
except training.TrainingInterrupted as stopped:
    print(stopped, stopped.signal_number)
