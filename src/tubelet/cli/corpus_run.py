"""`tubelet corpus run`: a model over a corpus, resumable."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from tubelet.cli.arguments import CommonOptions, require_source
from tubelet.cli.output import Output
from tubelet.text import count


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Predict every video of a corpus, and write a row for each. The same command again goes on where it was.

    A video that cannot be read, that kills its decoder or takes too long is a row that says so; the exit code is then
    1. With --json there is a line for each event: plan, progress, task, end.

    Attributes:
        model: a run, a model folder or a Hub id.
        source: a folder, a quoted pattern, a table (CSV, TSV, JSONL, Parquet), or a URL (s3://bucket/videos).
        out: folder or URL of the result: Parquet files.
        embed: write the normalised embedding of each video, for `tubelet corpus search`.
        logits: write the logits of all classes.
        views: CLIPSxCROPS of each video.
        precision: of matrix products; auto is bfloat16 on GPUs that are made for it.
        resample: sample videos of another frame rate than the model's by their timestamps.
        seconds: that decoding a video may take.
        task_size: videos of a task, which becomes one file.
        keep_plan: take the list of videos that is in --out already, and do not look at SOURCE again.
        engine: local, processes of this machine; ray, actors on a Ray cluster.
        workers: copies of the model; by default one for each core, or for each GPU; 0 does all in this process.
        decoders: decoding processes of each worker; by default 1, beside GPUs all cores.
        decode: here, beside their worker; apart, on any node of the Ray cluster, for models on GPUs.
        device: auto (GPUs, else the CPU; on a Ray cluster the CPUs), cpu, cuda.
        shard: K/N, do the K-th of N shares, K from 0: one for each machine.
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    out: str
    embed: bool = False
    logits: bool = False
    views: str = "1x1"
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    resample: bool = True
    seconds: float = 60.0
    task_size: int = 64
    keep_plan: bool = False
    engine: Literal["local", "ray"] = "local"
    workers: int | None = None
    decoders: int | None = None
    decode: Literal["here", "apart"] = "here"
    device: str = "auto"
    shard: Annotated[str | None, tyro.conf.arg(metavar="K/N")] = None


def run(options: Options, output: Output) -> int:
    """Run and print."""
    require_source(options.model)
    from tubelet.corpus import run as run_corpus

    own = ("model", "source", "out", "json", "quiet")
    how = {name: value for name, value in vars(options).items() if name not in own}
    with output.progress("predicting") as progress:
        statuses = run_corpus(
            options.model, options.source, options.out, **how, on_event=_shown(output, progress, options.out)
        )
    output.next_command(f"tubelet corpus check {shlex.quote(options.out)}")
    return 1 if any(number for status, number in statuses.items() if status != "ok") else 0


def _shown(output: Output, progress: Callable[[int, int], None] | None, out: str) -> Callable[[dict[str, Any]], None]:
    def show(event: dict[str, Any]) -> None:
        output.data(event)
        kind = event["event"]
        if kind == "plan":
            already = f", {event['tasks_done']:,} done already" if event["tasks_done"] else ""
            output.note(f"{count(event['videos'], 'video')} in {count(event['tasks'], 'task')}{already}")
        elif kind == "end" and not output.as_json:
            output.console.print(_end(event, out), soft_wrap=True)
        elif progress is not None:
            progress(event["done"], event["to_do"])
        elif kind == "task":
            left = event["seconds_left"]
            waiting = "" if left is None else f", {left / 60:.0f} min left"
            output.note(f"{event['done']:,} of {event['to_do']:,}, {event['clips_per_second']:.2f} clips/s{waiting}")

    return show


def _end(event: dict[str, Any], out: str) -> str:
    statuses = ", ".join(f"{status} {number:,}" for status, number in event["statuses"].items()) or "nothing to do"
    lines = [f"{out}: {statuses}; {event['clips_per_second']:.2f} clips/s"]
    if event["waiting_for_decoding"] is not None:
        lines[0] += f", {event['waiting_for_decoding']:.0%} of the time waiting for decoding"
    return "\n".join([*lines, *(f"  {number:,} x {reason}" for reason, number in event["reasons"].items())])
