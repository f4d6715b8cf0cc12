"""`tubelet demo`: a first minute."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from tubelet.cli.arguments import CommonOptions
from tubelet.cli.output import Output

if TYPE_CHECKING:
    from tubelet.demo import DemoResult


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """A first minute: make clips, train, evaluate, predict, explain, export, and a page. Needs no network.

    Renders small videos whose classes only time can tell apart, trains a small factorised encoder on them, and shows
    that the average-pool baseline, which does not see the order of frames, cannot learn them. Takes some minutes on two
    cores; a call that was stopped is gone on with by the next.

    Attributes:
        out: folder to make. Nothing that is not of a demonstration is overwritten.
        seed: of the clips and the training.
        train_clips: videos of each class to learn from.
        test_clips: videos of each class to measure on.
        epochs: passes over the training clips.
        open: open the page in a browser.
    """

    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("demo")
    seed: int = 0
    train_clips: int = 60
    test_clips: int = 15
    epochs: int = 10
    open: bool = False


def run(options: Options, output: Output) -> int:
    """Run the demonstration and say what came out."""
    from tubelet.demo import DemoConfig, run_demo

    config = DemoConfig(
        seed=options.seed,
        train_clips=options.train_clips,
        test_clips=options.test_clips,
        epochs=options.epochs,
    )
    done = run_demo(options.out, config)
    if not output.as_json:
        _show(done, output)
    output.data(done.to_dict())
    if options.open:
        output.open_page(done.report)
    return 0


def _show(done: DemoResult, output: Output) -> None:
    console, scores = output.console, done.scores
    chance = done.to_dict()["chance"]
    console.print(f"\nheld-out videos called right (chance {chance:.1%})")
    for name, model in (
        ("encoder", "factorised encoder"),
        ("encoder_shuffled", "the same, frames shuffled"),
        ("baseline", "average-pool baseline, frames shuffled"),
    ):
        console.print(f"  {scores[name].top1:6.1%}  {model}")
    console.print(
        f"{done.result.path}: {done.result.label} {done.result.probability:.1%}", markup=False, soft_wrap=True
    )
    console.print(f"explained: {done.explained.page} ({done.explained.score})", markup=False, soft_wrap=True)
    if done.exported.folder is None:
        console.print(f"not exported: {done.exported.note}", markup=False, soft_wrap=True)
    else:
        shares = f"logits differ by {done.exported.difference:.0e} of the largest"
        console.print(f"exported: {done.exported.folder} ({shares})", markup=False, soft_wrap=True)
    console.print(f"{sum(done.seconds.values()):.0f} s; the page: {done.report}", markup=False, soft_wrap=True)
    console.print(
        "\n".join(["\nnext:", *(f"  {command}" for command in done.next_commands())]), markup=False, soft_wrap=True
    )
