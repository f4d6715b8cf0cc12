"""The demonstration, step by step. Each step is one call of the public library; a step that is done is not done again.

demo/clips            videos of eight classes, told apart by direction, speed and order alone
demo/clips-shuffled   the same pictures, each video's in random order
demo/runs/...         a run of the factorised encoder on the first, one of the average-pool baseline on the second
demo/explained/...    which places and moments of a held-out video decided
demo/exported         the model for ONNX Runtime, proven on real clips, where that is installed
demo/report.html      what came out
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from tubelet.config import NO_AUGMENTATION, OptimisationConfig, TrainConfig, ValidationConfig
from tubelet.config.data import DataConfig
from tubelet.data.generated import CLASSES, PICTURES, write_clips_once
from tubelet.demo.in_use import explain_clip, export_model
from tubelet.demo.page import write_page
from tubelet.demo.result import DemoResult, scores_of
from tubelet.errors import DataError
from tubelet.evaluation import Evaluation, evaluate
from tubelet.evaluation.results import EVALUATION_FILE
from tubelet.prediction import predict
from tubelet.runs import train
from tubelet.training import ConsoleReporter, Reporter
from tubelet.weights import load

STATE_FILE = "demo.json"
REPORT_FILE = "report.html"
ENCODER, BASELINE = "factorised-encoder", "average-pool"


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """How large the demonstration is.

    Attributes:
        seed: of the clips and the training.
        train_clips: videos of each class to learn from.
        test_clips: videos of each class to measure on.
        epochs: passes over the training clips, the same for both models.
    """

    seed: int = 0
    train_clips: int = 60
    test_clips: int = 15
    epochs: int = 10


def run_demo(
    folder: str | os.PathLike[str] = "demo", config: DemoConfig | None = None, *, reporter: Reporter | None = None
) -> DemoResult:
    """Make clips, train the factorised encoder and the average-pool baseline, evaluate both, use one, and write a page.

    Args:
        folder: is made. One that an earlier call was stopped in is gone on with; any other is refused.
        config: sizes and seed.
        reporter: shows how the training goes.

    Raises:
        DataError: the folder holds something else, or a demonstration with another configuration.
    """
    config, folder, reporter = config or DemoConfig(), Path(folder), reporter or ConsoleReporter()
    _claim(folder, config)
    with _one_thread():
        return _run(folder, config, reporter)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute with one thread.

    On a model this small a second one makes it 1.4 times as fast where both cores are idle, and several times as slow
    where they are not: each step waits for the slower of the two.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _run(folder: Path, config: DemoConfig, reporter: Reporter) -> DemoResult:
    seconds: dict[str, float] = {}

    def timed(name: str, step: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        value = step()
        seconds[name] = time.perf_counter() - started
        return value

    scenes = {"train": config.train_clips, "test": config.test_clips}
    clips, shuffled = folder / "clips", folder / "clips-shuffled"
    reporter.message(f"1/7  clips of {len(CLASSES)} classes that only time tells apart: {clips}")
    timed("clips", lambda: _make_clips(clips, shuffled, scenes, config.seed))
    reporter.message("2/7  a factorised encoder learns them")
    encoder = timed("training", lambda: _train(folder, ENCODER, clips, config, reporter))
    reporter.message("3/7  the average-pool baseline sees the same pictures without their order")
    baseline = timed("baseline", lambda: _train(folder, BASELINE, shuffled, config, reporter, temporal_layers=0))
    reporter.message("4/7  both are measured on held-out videos")
    evaluations = timed("evaluation", lambda: _evaluate(encoder, baseline, shuffled))
    video = clips / "test" / CLASSES[0].name / "000.mp4"
    result = timed("prediction", lambda: predict(encoder, video, top=3))
    reporter.message("5/7  what decided, when and where")
    explained = timed("explanation", lambda: explain_clip(encoder, video, folder / "explained"))
    reporter.message("6/7  the model for another runtime, proven on real clips")
    exported = timed("export", lambda: export_model(encoder, folder / "exported"))
    reporter.message("7/7  the page")
    scores = {name: scores_of(evaluation) for name, evaluation in evaluations.items()}
    done = DemoResult(folder, folder / REPORT_FILE, scores, result, explained, exported, seconds)
    timed("report", lambda: write_page(done, encoder))
    (folder / STATE_FILE).write_text(json.dumps({"config": asdict(config), **done.to_dict()}, indent=2) + "\n")
    return done


def training_config(config: DemoConfig) -> TrainConfig:
    """A small factorised encoder over a convolutional stem, on clips of 24 frames: each picture of a scene once.

    The held-out videos are watched while it learns and choose nothing: the last weights are delivered.
    """
    return TrainConfig(
        preset="vivit_tiny_16x2_fe",
        model={
            "embedding": "conv_stem",
            "image_size": 32,
            "tubelet_size": (2, 8, 8),
            "num_frames": PICTURES,
            "hidden_size": 64,
            "num_layers": 2,
            "num_heads": 4,
            "mlp_dim": 128,
            "temporal_layers": 2,
            "head_norm": "batch",
            "residual_init": 0.1,
        },
        preprocessing={"frame_stride": 1, "resize": 32},
        data=DataConfig(cache="memory", workers=0),
        augmentation=replace(NO_AUGMENTATION, temporal="random"),
        optimisation=OptimisationConfig(
            learning_rate=1e-3,
            betas=(0.9, 0.98),
            epochs=config.epochs,
            warmup_epochs=config.epochs / 10,
            batch_size=16,
        ),
        validation=ValidationConfig(validation_split="test", validate_every=2, keep="last"),
        seed=config.seed,
    )


def _claim(folder: Path, config: DemoConfig) -> None:
    """Make the folder ours, or refuse."""
    state = folder / STATE_FILE
    if state.is_file():
        before = json.loads(state.read_text(encoding="utf-8")).get("config")
        if before != asdict(config):
            raise DataError(f"{folder} holds a demonstration with other settings ({before}); name another folder")
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} is there already and is not a demonstration; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    state.write_text(json.dumps({"config": asdict(config)}) + "\n", encoding="utf-8")


def _make_clips(clips: Path, shuffled: Path, scenes: dict[str, int], seed: int) -> None:
    write_clips_once(clips, scenes, seed=seed)
    write_clips_once(shuffled, scenes, seed=seed, shuffled=True)


def _train(folder: Path, name: str, clips: Path, config: DemoConfig, reporter: Reporter, **model_fields: Any) -> Path:
    """The run folder, trained to its end."""
    run = folder / "runs" / name
    chosen = training_config(config)
    chosen = replace(chosen, model={**chosen.model, **model_fields})
    resume = (run / "run.json").is_file()
    if (run / EVALUATION_FILE).is_file():  # the last that a training leaves but for its page
        return run
    train(clips, run, config=chosen, resume=resume, reporter=reporter)
    return run


def _evaluate(encoder: Path, baseline: Path, shuffled: Path) -> dict[str, Evaluation]:
    """The runs' own results on the held-out videos, and the encoder's where their frames are shuffled."""
    return {
        "encoder": Evaluation.load(encoder),
        "encoder_shuffled": evaluate(load(encoder), shuffled, split="test"),
        "baseline": Evaluation.load(baseline),
    }
