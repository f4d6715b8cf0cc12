"""`tubelet explain`: which places and which moments of a video decided, and whether to believe it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from tubelet.cli.arguments import TableOptions, load_model, require_source
from tubelet.cli.output import Output
from tubelet.errors import ConfigError, VideoError
from tubelet.text import printable

if TYPE_CHECKING:
    from tubelet.explanation import Explanation


@dataclass(frozen=True, kw_only=True)
class Options(TableOptions):
    """Show which places and which moments of a video decided, and whether to believe it.

    For each video a film with the map over it (.mp4), the frames that mattered most (.png), a page with both (.html)
    and the numbers (.json) are written to --out. What speaks for the class is orange, what speaks against it is blue.

    Without videos, with --score: score the methods on the run's videos that it did not learn from, or on those of
    --data, and print a table with intervals. It is written to --out too (methods.md, methods.json). With --mistakes:
    explain the most confident mistakes of a run's evaluation, and put the pictures into its page (report.html).

    Attributes:
        model: a run, a model folder, a checkpoint or a Hub id.
        videos: files; a folder or a quoted pattern ('clips/*.mp4') stands for all its videos.
        target: the class to explain, a label or an index, or HEAD:CLASS; by default the most probable one.
        against: another class: explain why the one and not the other.
        method: auto (the best on the run's sample clips), balanced, balanced_tokens, shapley, legrad, rollout,
            integrated_gradients, occlusion or rise.
        score: measure how faithful the map is: hide tokens in its order and see how the logit falls. About 230 passes.
        sanity: compare the map with those of redrawn weights, from the head down to the first block.
        filling: what hidden tokens are replaced by: mean, the clip's mean colour; freeze, its mean picture, which takes
            motion away and leaves appearance; leave_out, nothing (spatio-temporal and factorised encoder).
        views: CLIPSxCROPS.
        device: auto (the first GPU, else the CPU), cpu, cuda, cuda:1, mps.
        out: folder for the files.
        overwrite: replace files that exist.
        data: score methods on these videos.
        split: of the data; by default test, or else val.
        most: score methods on at most so many videos.
        mistakes: explain the most confident mistakes of a run, for its page.
        methods: score these; by default those that need no hundred passes.
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    videos: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[VIDEO ...]")] = ()
    target: Annotated[str | None, tyro.conf.arg(metavar="CLASS")] = None
    against: Annotated[str | None, tyro.conf.arg(metavar="CLASS")] = None
    method: str = "auto"
    score: bool = False
    sanity: bool = False
    filling: Literal["mean", "freeze", "leave_out"] = "mean"
    views: str = "1x1"
    device: str = "auto"
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("explained")
    overwrite: bool = False
    data: str | None = None
    split: str | None = None
    most: int | None = None
    mistakes: bool = False
    methods: tuple[str, ...] = ()


def run(options: Options, output: Output) -> int:
    """Explain, write, print."""
    require_source(options.model)
    if not options.videos:
        from tubelet.cli.explain_run import compare, mistakes

        if options.mistakes:
            return mistakes(options, output)
        if not options.score:
            raise ConfigError(
                "no video was named: tubelet explain MODEL VIDEO [VIDEO ...]; or tubelet explain MODEL --score, which "
                "scores methods; or tubelet explain RUN --mistakes"
            )
        return compare(options, output)
    if options.mistakes:
        raise ConfigError("--mistakes is of a run, without videos: tubelet explain RUN --mistakes")
    if options.data is not None:
        raise ConfigError("--data is scored without videos: tubelet explain MODEL --data DATA --score")
    from tubelet.explanation import auto_method, explain
    from tubelet.explanation.methods import method_of
    from tubelet.explanation.page import require_free_files, write_files
    from tubelet.prediction import find_videos

    if options.method != "auto":
        method_of(options.method)
    videos = [video for name in options.videos for video in find_videos(name) or [name]]
    names = _names(videos)
    require_free_files(options.out, names, overwrite=options.overwrite, inputs=videos)
    model, method = load_model(options.model, output), options.method
    if method == "auto":
        with output.progress("scoring methods") as progress:
            method, why = auto_method(model, progress)
        output.note(why)
    failures = 0
    for video, name in zip(videos, names, strict=True):
        try:
            with output.progress(f"explaining {name}") as progress:
                found = explain(
                    model,
                    video,
                    target=options.target,
                    against=options.against,
                    method=method,
                    score=options.score,
                    sanity=options.sanity,
                    filling=options.filling,
                    views=options.views,
                    device=options.device,
                    progress=progress,
                )
            with output.progress(f"writing {name}.mp4") as progress:
                files = write_files(found, video, options.out, name, progress)
        except VideoError as error:
            failures += 1
            output.warn(str(error))
            output.data({"path": video, "error": error.reason})
            continue
        _show(found, files.page, output)
        output.data({**found.to_dict(), "files": {kind: str(file) for kind, file in vars(files).items()}})
    return 1 if failures else 0


def _names(videos: list[str]) -> list[str]:
    """Names of files for the videos: theirs without suffix; with their folder where two are called the same."""
    stems = [Path(video).stem for video in videos]
    counts = Counter(stems)
    names = [
        stem if counts[stem] == 1 else f"{Path(video).parent.name}-{stem}"
        for video, stem in zip(videos, stems, strict=True)
    ]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ConfigError(f"two videos are called {twice[0]!r}; explain them one by one, each with its --out")
    return names


def _show(found: Explanation, page: Path, output: Output) -> None:
    if output.as_json:
        return
    lines = [f"{found.path}: {found.target}, logit {found.logit:.3f}, by {found.method}"]
    lines += [f"  {line}" for line in (found.score, found.sanity) if line is not None]
    if found.unattributed is not None:
        parts = ", ".join(f"{name} {value:+.3f}" for name, value in found.unattributed.items())
        lines.append(f"  of the logit: video {float(found.map.sum()):+.3f}, {parts}")
    if found.split:
        lines.append(f"  layers: {', '.join(f'{name} {value:+.3f}' for name, value in found.split.items())}")
    lines.append(f"  page    {page}")
    for line in lines:
        output.console.print(printable(line), soft_wrap=True)
