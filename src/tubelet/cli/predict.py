"""`tubelet predict`: what is in a video, or in many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from tubelet.cli.arguments import CommonOptions
from tubelet.cli.output import Output

if TYPE_CHECKING:
    from tubelet.predict import Result

TIMELINE_FLAGS = ("hop", "frame_stride", "smoothing", "on", "off", "minimum")


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Say what is in a video, or in many.

    A video that cannot be read is named on standard error and does not stop the rest; the exit code is then 1.
    With --json there is one line for each video, as soon as it is done.

    With --timeline a window slides over each video, and what happens when is printed and written. VIDEO may then also
    be an address (rtsp://...) or a camera (camera:0), which Ctrl-C ends; the timeline is written all the same.

    Attributes:
        model: a run, a model folder, a checkpoint or a Hub id.
        videos: files; a folder or a quoted pattern ('clips/*.mp4') stands for all its videos.
        views: CLIPSxCROPS: clips spread over each video, times 1 crop (centre) or 3 along its longer side.
        top: how many classes to show.
        device: auto (the first GPU, else the CPU), cpu, cuda, cuda:1, mps.
        precision: of matrix products; auto is bfloat16 on GPUs that are made for it.
        batch_size: views of a video that go through the model at once.
        merge_tokens: share of the tokens that each block merges with similar ones: faster, less exact; 0 merges none.
        out: write the lines of --json to this file too.
        timeline: a file (.json, .csv or .srt), or a folder that gets all three for each video. Nothing is overwritten.
        hop: timeline: frames from one window to the next; by default one tubelet.
        frame_stride: timeline: every how many frames one is taken; by default as the model was trained.
        smoothing: timeline: mean:5 (over the last five decisions), or exponential:0.3 (the newest weighs 0.3).
        on: timeline: probability with which an event starts.
        off: timeline: probability below which it is over.
        minimum: timeline: seconds; shorter events are left out.
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    videos: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="VIDEO [VIDEO ...]")]
    views: str = "1x1"
    top: int = 5
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    batch_size: int = 4
    merge_tokens: float = 0.0
    out: Path | None = None
    timeline: Annotated[Path | None, tyro.conf.arg(metavar="OUT")] = None
    hop: int | None = None
    frame_stride: int | None = None
    smoothing: str | None = None
    on: float = 0.5
    off: float = 0.3
    minimum: float = 0.0


def run(options: Options, output: Output) -> int:
    """Predict and print."""
    from tubelet.errors import ConfigError
    from tubelet.evaluate import parse_views
    from tubelet.nn.merging import merge_tokens
    from tubelet.predict import Predictor
    from tubelet.weights import load

    if not options.videos:
        raise ConfigError("no video was named: tubelet predict MODEL VIDEO [VIDEO ...]")
    parse_views(options.views)  # before the model is loaded, which takes seconds
    if options.timeline is not None:
        return _timelines(options, options.timeline, output)
    _hold_no_timeline_flags(options)
    videos = _listed(options.videos)
    model = merge_tokens(load(options.model), options.merge_tokens)
    predictor = Predictor(model, device=options.device, precision=options.precision)
    results = predictor.stream(videos, views=options.views, top=options.top, batch_size=options.batch_size)
    failures = 0
    for result in _written(results, options.out):
        if result.error is None:
            _show(result, output)
        else:
            failures += 1
            output.warn(f"{result.path}: could not be read: {result.error}")
        output.data(result.to_dict())
    if failures and len(videos) > 1:
        output.warn(f"{failures} of {len(videos)} videos could not be read")
    return 1 if failures else 0


def _listed(names: Sequence[str]) -> list[str]:
    from tubelet.predict import find_videos
    from tubelet.video.live import is_address

    videos: list[str] = []
    for name in names:
        found = None if is_address(name) else find_videos(name)
        videos.extend([name] if found is None else found)
    return videos


def _timelines(options: Options, out: Path, output: Output) -> int:
    from tubelet.cli.timeline import TimelineSettings, run_timelines
    from tubelet.errors import ConfigError
    from tubelet.nn.merging import merge_tokens
    from tubelet.weights import load

    if options.views != "1x1" or options.out is not None:
        raise ConfigError("--views and --out mean nothing with --timeline, which slides one window over each video")
    settings = TimelineSettings(
        out, options.hop, options.frame_stride, options.smoothing, options.on, options.off, options.minimum
    )
    how = {"device": options.device, "precision": options.precision, "top": options.top}
    model = merge_tokens(load(options.model), options.merge_tokens)
    return run_timelines(model, _listed(options.videos), settings, output, **how)


def _hold_no_timeline_flags(options: Options) -> None:
    from tubelet.errors import ConfigError

    for name in TIMELINE_FLAGS:
        if getattr(options, name) != getattr(Options, name):
            flag = name.replace("_", "-")
            raise ConfigError(
                f"--{flag} belongs to --timeline: tubelet predict MODEL VIDEO --timeline OUT --{flag} ..."
            )


def _written(results: Iterator[Result], file: Path | None) -> Iterator[Result]:
    """The same results, each put into the file on its way."""
    if file is None:
        yield from results
        return
    with file.open("w", encoding="utf-8") as lines:
        for result in results:
            lines.write(result.to_json() + "\n")
            lines.flush()
            yield result


def _show(result: Result, output: Output) -> None:
    if output.as_json:
        return
    output.console.print(result.path, style="bold", markup=False, soft_wrap=True)
    for head in result.heads.values():
        indent = "  "
        if len(result.heads) > 1:
            output.console.print(f"  {head.name}", markup=False)
            indent = "    "
        best = head.top(result.shown)
        width = max(len(label) for label, _ in best)
        for label, probability in best:
            bar = "▇" * round(20 * probability)
            output.console.print(f"{indent}{probability:6.1%}  {label:<{width}}  [blue]{bar}[/]", soft_wrap=True)
