"""`tubelet corpus duplicates`: videos of a corpus that show nearly the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tubelet.cli.arguments import CommonOptions
from tubelet.cli.output import Output
from tubelet.paths import require_free
from tubelet.text import count


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Find groups of videos that show nearly the same. Every pair is compared.

    Attributes:
        out: the --out of `tubelet corpus run ... --embed`.
        threshold: the least cosine of two embeddings that count as the same.
        page: write a page of thumbnails to this file.
        overwrite: replace the page if it exists.
    """

    out: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OUT")]
    threshold: float = 0.99
    page: Path | None = None
    overwrite: bool = False


def run(options: Options, output: Output) -> int:
    """Search and print."""
    if options.page is not None:
        require_free(options.page, overwrite=options.overwrite)
    from tubelet.corpus import duplicates
    from tubelet.corpus.match_page import write_matches

    with output.progress("comparing") as progress:
        groups = duplicates(options.out, threshold=options.threshold, progress=progress)
    for group in groups:
        output.data({"videos": [match.to_dict() for match in group]})
        if not output.as_json:
            lines = [f"{match.similarity:.4f}  {match.to_dict()['path']}" for match in group]
            output.console.print("\n".join([count(len(group), "video"), *lines]), soft_wrap=True)
    if options.page is not None:
        write_matches(options.page, "Near-duplicates", groups)
    output.note(f"{count(len(groups), 'group')} with a cosine of {options.threshold:g} or more")
    return 0
