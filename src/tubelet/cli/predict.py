"""`tubelet predict`: what is in a video, or in many."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tubelet.cli.arguments import CommonOptions, load_model, require_source, warn_of_unfinished
from tubelet.cli.output import Output
from tubelet.cli.prediction_output import bar, lines_to, show_result, show_summary
from tubelet.errors import ConfigError, DataError
from tubelet.paths import beside, is_camera, packaged_model, require_free
from tubelet.text import address_without_password, printable

TIMELINE_FLAGS = ("hop", "frame_stride", "smoothing", "on", "off", "minimum", "reconnect")


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Say what is in a video, or in many.

    A video that cannot be read is named on standard error and does not stop the rest; the exit code is then 1.
    With --json there is one line for each video, as soon as it is done.

    With --timeline a window slides over each video, and what happens when is printed and written. VIDEO may then also
    be an address (rtsp://...) or a camera (camera:0), which Ctrl-C ends; the timeline is written all the same.

    Attributes:
        model: a run, a model folder, a checkpoint or a Hub id; or `demo`, small weights that come with tubelet.
        videos: files; a folder or a quoted pattern ('clips/*.mp4') stands for all its videos. For the model `demo` a
            clip that comes with it may be left out.
        views: CLIPSxCROPS: clips spread over each video, times 1 crop (centre) or 3 along its longer side.
        top: how many classes to show.
        device: auto (the first GPU, else the CPU), cpu, cuda, cuda:1, mps.
        precision: of matrix products; auto is bfloat16 on GPUs that are made for it.
        batch_size: views of a video that go through the model at once.
        resample: sample videos of another frame rate than the model's by their timestamps; --no-resample takes their
            frames by number.
        merge_tokens: share of the tokens that each block merges with similar ones: faster, less exact; 0 merges none.
        out: write the lines of --json to this file too.
        overwrite: replace the files of --out or --timeline if they exist; otherwise that is an error.
        timeline: a file (.json, .csv or .srt), or a folder that gets all three for each video.
        hop: timeline: frames from one window to the next; by default one tubelet.
        frame_stride: timeline: every how many frames one is taken; by default as the model was trained: with frames
            spread over whole videos, so that a window lasts as long as these.
        smoothing: timeline: mean:5 (over the last five decisions), or exponential:0.3 (the newest weighs 0.3).
        on: timeline: probability with which an event starts.
        off: timeline: probability below which it is over.
        minimum: timeline: seconds; shorter events are left out.
        reconnect: timeline: seconds for which a camera or live address that broke off is tried again; 0 not at all.
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    videos: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="VIDEO [VIDEO ...]")]
    views: str = "1x1"
    top: int = 5
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    batch_size: int = 4
    resample: bool = True
    merge_tokens: float = 0.0
    out: Path | None = None
    overwrite: bool = False
    timeline: Annotated[Path | None, tyro.conf.arg(metavar="OUT")] = None
    hop: int | None = None
    frame_stride: int | None = None
    smoothing: str | None = None
    on: float = 0.5
    off: float = 0.3
    minimum: float = 0.0
    reconnect: float = 60.0


def run(options: Options, output: Output) -> int:
    """Predict and print."""
    packaged = packaged_model(options.model)
    if packaged is not None and not options.videos:
        options = dataclasses.replace(options, videos=(str(packaged / "clip.mp4"),))
    _check_paths(options)
    from tubelet.fast import merge_tokens
    from tubelet.prediction import Predictor, Summary
    from tubelet.video.views import parse_views

    parse_views(options.views)  # before the model is loaded, which takes seconds
    if options.timeline is not None:
        return _timelines(options, options.timeline, output)
    _hold_no_timeline_flags(options)
    videos = _listed(options.videos)
    if options.out is not None:
        require_free(options.out, overwrite=options.overwrite, inputs=videos)
    warn_of_unfinished(options.model, output)
    model = merge_tokens(load_model(options.model, output), options.merge_tokens)
    predictor = Predictor(model, device=options.device, precision=options.precision, resample=options.resample)
    results = predictor.stream(videos, views=options.views, top=options.top, batch_size=options.batch_size)
    summary = Summary()
    lines_are_seen = not output.as_json and output.console.is_terminal
    with (
        lines_to(options.out, output, overwrite=options.overwrite) as write,
        bar(output, lines_are_seen) as progress,
    ):
        for number, result in enumerate(results, 1):
            write(result)
            summary.add(result)
            show_result(result, output)
            output.data(result.to_dict())
            if progress is not None:
                progress(number, len(videos))
    show_summary(summary, output)
    if options.out is not None and not output.as_json:
        output.console.print(f"written  {printable(str(options.out))}", soft_wrap=True)
    video = shlex.quote(options.videos[0]) if len(options.videos) == 1 else "VIDEO"
    output.next_command(f"tubelet predict {shlex.quote(options.model)} {video} --timeline OUT  (what happens when)")
    return 1 if summary.failures else 0


def _check_paths(options: Options) -> None:
    """What can be told of the words before torch is imported, which takes seconds.

    Raises:
        ConfigError: no video was named, or one that needs --timeline.
        DataError: nothing of what was named exists.
        WeightsError: there is no such model.
    """
    if not options.videos:
        raise ConfigError("no video was named: tubelet predict MODEL VIDEO [VIDEO ...]")
    live = [name for name in options.videos if _is_address(name) or is_camera(name)]
    if live and options.timeline is None:
        kind = "a camera" if is_camera(live[0]) else "an address"
        raise ConfigError(
            f"{_without_password(live[0])} is {kind}, which a window slides over: add --timeline OUT (.json, .csv or "
            ".srt, or a folder); for one prediction of a whole video, download it first and name the file"
        )
    require_source(options.model)
    places = [name for name in options.videos if name not in live]
    here = [name for name in places if os.path.exists(name) or any(sign in name for sign in "*?[#")]
    if places and not here and not live:
        raise DataError(f"{places[0]} does not exist{beside(places[0])}")
    if options.out is not None:
        require_free(options.out, overwrite=options.overwrite, inputs=options.videos)
        require_free(options.out.with_name(f"{options.out.name}.part"), overwrite=options.overwrite)


def _is_address(name: str) -> bool:
    return "://" in name


def _without_password(name: str) -> str:
    return address_without_password(name) if _is_address(name) else name


def _listed(names: Sequence[str]) -> list[str]:
    from tubelet.prediction import find_videos

    videos: list[str] = []
    for name in names:
        found = None if _is_address(name) else find_videos(name)
        videos.extend([name] if found is None else found)
    return videos


def _timelines(options: Options, out: Path, output: Output) -> int:
    from tubelet.cli.timeline import run_timelines
    from tubelet.fast import merge_tokens

    if options.views != "1x1" or options.out is not None:
        raise ConfigError("--views and --out mean nothing with --timeline, which slides one window over each video")
    names = (*TIMELINE_FLAGS, "overwrite", "device", "precision", "top", "resample")
    model = merge_tokens(load_model(options.model, output), options.merge_tokens)
    how = {name: getattr(options, name) for name in names}
    return run_timelines(model, _listed(options.videos), out, output, **how)


def _hold_no_timeline_flags(options: Options) -> None:
    for name in TIMELINE_FLAGS:
        if getattr(options, name) != getattr(Options, name):
            flag = name.replace("_", "-")
            raise ConfigError(
                f"--{flag} belongs to --timeline: tubelet predict MODEL VIDEO --timeline OUT --{flag} ..."
            )
