"""Videos that cannot be read any more while a model trains on them: a disk that is gone, for instance."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from reporters import Told
from tubelet.config import TrainConfig, override
from tubelet.errors import UnreadableError
from tubelet.training import SilentReporter, TrainResult, read_events, train
from tubelet.training.checkpoint import load_checkpoint


class Does(Told):
    """Does something after a step, and remembers what it is told of epochs."""

    def __init__(self, at: int, what: Callable[[], object]) -> None:
        super().__init__()
        self._at, self._what = at, what
        self.epochs: list[str] = []

    def step(self, step: int, text: str) -> None:
        if step == self._at:
            self._what()

    def epoch(self, text: str) -> None:
        self.epochs.append(text)


@pytest.fixture
def data(clips: Path, tmp_path: Path) -> Path:
    """Eight videos to learn from and four to validate on, below `train` and `val`."""
    for split, numbers in (("train", (0, 1, 2)), ("val", (3,))):
        for direction in ("down", "left", "right"):
            (tmp_path / "data" / split / direction).mkdir(parents=True)
            for number in numbers:
                shutil.copy(clips / direction / f"{number}.mp4", tmp_path / "data" / split / direction)
    return tmp_path / "data"


@pytest.fixture
def config(tiny: TrainConfig) -> TrainConfig:
    """Four epochs of three steps; every step reads its videos."""
    return override(tiny, epochs=4, cache="none", checkpoint_steps=1, validate_every=2)


def same(one: TrainResult, other: TrainResult) -> bool:
    pairs = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_training_whose_videos_vanish_stops_and_goes_on_when_they_are_back(
    data: Path, tmp_path: Path, config: TrainConfig
) -> None:
    whole = train(data, tmp_path / "whole", config=config, reporter=SilentReporter())
    gone = tmp_path / "gone"
    reporter = Does(7, lambda: (data / "train").rename(gone))
    with pytest.raises(UnreadableError, match=r"last 9 training videos in a row could not be read.*--resume") as raised:
        train(data, tmp_path / "run", config=config, reporter=reporter)
    assert raised.value.exit_code == 1
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last").state["position"]["step"] == 7
    gone.rename(data / "train")
    again = train(out=tmp_path / "run", resume=True, reporter=SilentReporter())
    assert same(whole, again)
    assert again.num_failures == 0
    assert (tmp_path / "run" / "failures.jsonl").read_text() == ""


def test_a_validation_without_one_readable_video_chooses_nothing(
    data: Path, tmp_path: Path, config: TrainConfig
) -> None:
    whole = train(data, tmp_path / "whole", config=config, reporter=SilentReporter())
    gone = tmp_path / "gone"
    with pytest.raises(UnreadableError, match=r"not one of the 3 validation videos can be read.*--resume"):
        train(data, tmp_path / "run", config=config, reporter=Does(8, lambda: (data / "val").rename(gone)))
    assert [event["epoch"] for event in read_events(tmp_path / "run" / "metrics.jsonl", "validation")] == [2]
    gone.rename(data / "val")
    assert same(whole, train(out=tmp_path / "run", resume=True, reporter=SilentReporter()))


def test_the_last_weights_need_no_validation(data: Path, tmp_path: Path, config: TrainConfig) -> None:
    reporter = Does(1, lambda: shutil.rmtree(data / "val"))
    result = train(data, tmp_path / "run", config=override(config, keep="last"), reporter=reporter)
    assert (result.ended, result.best, result.num_failures) == ("finished", None, 3)
    assert sum("not one of the 3 validation videos" in message for message in reporter.messages) == 2


def test_an_epoch_says_which_share_of_its_clips_could_not_be_read(
    data: Path, tmp_path: Path, config: TrainConfig
) -> None:
    reporter = Does(3, lambda: [(data / "train" / "left" / f"{number}.mp4").unlink() for number in (0, 1)])
    result = train(data, tmp_path / "run", config=override(config, epochs=2), reporter=reporter)
    assert "unreadable" not in reporter.epochs[0]
    assert "2 of 9 clips unreadable (22.2%)" in reporter.epochs[1]
    assert result.num_failures == 2
