"""`tubelet corpus check`: the proof that nothing was lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from tubelet.cli.arguments import CommonOptions
from tubelet.cli.output import Output
from tubelet.text import count


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Prove that every video of the plan has exactly one row, and that every file is the plan's.

    Writes summary.json and index.html to the folder, and _SUCCESS if all is right; the exit code is 1 if not.

    Attributes:
        out: the --out of `tubelet corpus run`.
        page: write index.html: videos of each class, the least certain, the failures. Their files are opened for it.
    """

    out: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OUT")]
    page: bool = True


def run(options: Options, output: Output) -> int:
    """Check and print."""
    from tubelet.corpus import check

    with output.progress("checking") as progress:
        summary = check(options.out, page=options.page, progress=progress)
    output.data(summary.to_dict())
    if not output.as_json:
        lines = [f"wrong: {problem}" for problem in summary.problems]
        lines += [f"{status:<10} {number:>9,}" for status, number in summary.to_dict()["statuses"].items()]
        lines += [f"  {number:,} x {reason}" for reason, number in summary.reasons.most_common(20)]
        told = "every one has its row" if summary.ok else f"not proven: {count(len(summary.problems), 'problem')}"
        output.console.print("\n".join([*lines, f"{count(summary.videos, 'video')}: {told}"]), soft_wrap=True)
    return 0 if summary.ok else 1
