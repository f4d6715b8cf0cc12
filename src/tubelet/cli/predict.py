"""`tubelet predict`: what is in a video, or in many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from tubelet.cli.arguments import CommonOptions
from tubelet.cli.output import Output

if TYPE_CHECKING:
    from tubelet.predict import Result


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Say what is in a video, or in many.

    A video that cannot be read is named on standard error and does not stop the rest; the exit code is then 1.
    With --json there is one line for each video, as soon as it is done.

    Attributes:
        model: a run, a model folder, a checkpoint or a Hub id.
        videos: files; a folder or a quoted pattern ('clips/*.mp4') stands for all its videos.
        views: CLIPSxCROPS: clips spread over each video, times 1 crop (centre) or 3 along its longer side.
        top: how many classes to show.
        device: auto (the first GPU, else the CPU), cpu, cuda, cuda:1, mps.
        precision: of matrix products; auto is bfloat16 on GPUs that are made for it.
        batch_size: views of a video that go through the model at once.
        out: write the lines of --json to this file too.
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    videos: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="VIDEO [VIDEO ...]")]
    views: str = "1x1"
    top: int = 5
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    batch_size: int = 4
    out: Path | None = None


def run(options: Options, output: Output) -> int:
    """Predict and print."""
    from tubelet.errors import ConfigError
    from tubelet.evaluate import parse_views
    from tubelet.predict import Predictor, find_videos

    if not options.videos:
        raise ConfigError("no video was named: tubelet predict MODEL VIDEO [VIDEO ...]")
    parse_views(options.views)  # before the model is loaded, which takes seconds
    videos: list[str] = []
    for name in options.videos:
        found = find_videos(name)
        videos.extend([name] if found is None else found)
    predictor = Predictor(options.model, device=options.device, precision=options.precision)
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
