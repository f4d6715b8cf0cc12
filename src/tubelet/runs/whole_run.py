"""`tubelet.train`: the training loop, then the end of the run."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from tubelet import training
from tubelet.config import TrainConfig, override
from tubelet.data import Table
from tubelet.distributed.world import joined
from tubelet.evaluation import Evaluation
from tubelet.evaluation.results import EVALUATION_FILE
from tubelet.report.learning import Reading
from tubelet.report.page import REPORT_FILE
from tubelet.runs.finish import finish_run, stored_config
from tubelet.runs.learning import stored_reading
from tubelet.training import ConsoleReporter, Reporter, TrainResult
from tubelet.weights.sample_clips import SAMPLES_FILE


@dataclass(frozen=True, repr=False)
class RunResult(TrainResult):
    """What a training came to, and what its end left.

    Attributes:
        final: the evaluation of the delivered weights, as evaluation.json has it; None if it was left out, without
            validation videos, or where a run that was complete had it already.
        report: the page; None if it was left out.
        sample_clips: file of the sample clips; None if they were left out.
        notes: what was left out at the end, and why.
        learning: what became of the training in one sentence, and what to try; None where it was left out.
    """

    final: Evaluation | None = None
    report: Path | None = None
    sample_clips: Path | None = None
    notes: tuple[str, ...] = ()
    learning: Reading | None = None


def train(
    data: Table | str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] = "run",
    *,
    config: TrainConfig | None = None,
    model: nn.Module | Mapping[str, Any] | None = None,
    resume: bool = False,
    reporter: Reporter | None = None,
    report: bool = True,
    **fields: Any,
) -> RunResult:
    """Train a model on labelled videos and leave a run folder, as `tubelet train` does.

        out/model.safetensors, config.json       the weights that are delivered: `tubelet.load(out)`
        out/run.json, splits.csv                 the whole configuration, what it ran on, every sample with its split
        out/metrics.jsonl, failures.jsonl        what happened, and which videos could not be read
        out/checkpoints/last, best               to resume from
        out/evaluation.json, predictions.jsonl   what the delivered weights do on the validation videos
        out/sample_clips.safetensors             real clips with the logits of these weights (`sample_clips=False`
                                                 keeps none): `tubelet doctor out` compares with them
        out/learning.json                        whether it underfitted, overfitted or ended too early, and what to try
        out/report.html                          a page with all of it

    The same data, configuration and machine give the same weights, also if the training is killed at any moment and
    resumed: on a CPU to the last bit. `tubelet.training.train` is the loop alone, without the last four lines.

    Args:
        data: a folder with a folder of videos for each class, a CSV (see `tubelet.data.read_table`), or a table.
        out: the run folder; must not hold a run, unless `resume`.
        config: everything else; by default the recipe that fits (`tubelet.config.default_recipe`): for a model that is
            given, `fine-tune`, with the preprocessing of the model.
        model: a model to train instead of the one that the configuration describes, it is changed; or fields of
            `ModelConfig`, `{"num_frames": 16}`, for the latter.
        resume: go on with the run in `out`. The rest need not be given again. A run that is complete is
            not evaluated again.
        reporter: shows how it goes; a `ConsoleReporter` if none is given.
        report: evaluate the delivered weights and write the page at the end; False leaves both out.
        fields: of the configuration, by their own names: `epochs=5, batch_size=4, seed=1`.

    Raises:
        TubeletError: see `tubelet.training.train`.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP, after a checkpoint was written.
    """
    reporter, folder = reporter or ConsoleReporter(), Path(out)
    with joined() as world:
        result = training.train(data, out, config=config, model=model, resume=resume, reporter=reporter, **fields)
        done = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
        if resume and not result.steps_taken and (folder / EVALUATION_FILE).is_file():
            page, samples = (file if file.is_file() else None for file in (folder / REPORT_FILE, folder / SAMPLES_FILE))
            note = f"the run was complete: nothing was trained, and nothing evaluated again; tubelet evaluate {out}"
            ended: dict[str, Any] = {
                "report": page,
                "sample_clips": samples,
                "notes": (note,),
                "learning": stored_reading(folder),
            }
        else:
            changed: dict[str, Any] = {}
            if resume:  # run.json keeps the settings that the run began with
                now = override(config or stored_config(folder), **fields)
                changed = {"device": now.runtime.device, "sample_clips": now.monitoring.sample_clips}
            end = finish_run(folder, model=result.model, report=report, world=world, **changed)
            ended = {
                "final": end.evaluation,
                "report": end.report,
                "sample_clips": end.sample_clips,
                "notes": end.notes,
                "learning": end.learning,
            }
        if world.first:
            for note in ended["notes"]:
                reporter.message(note)
    return RunResult(**done, **ended)
