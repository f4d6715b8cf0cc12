"""`tubelet corpus search`: the videos of a corpus that are most like one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tubelet.cli.arguments import CommonOptions
from tubelet.cli.output import Output
from tubelet.errors import ConfigError
from tubelet.paths import require_free


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Find the videos of a corpus that are most like one, by the cosine of embeddings, exactly.

    Attributes:
        out: the --out of `tubelet corpus run ... --embed`.
        like: a video file.
        id: of a video of the corpus, in place of --like.
        top: how many to find.
        page: write a page of thumbnails to this file.
        overwrite: replace the page if it exists.
    """

    out: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OUT")]
    like: Annotated[str | None, tyro.conf.arg(metavar="VIDEO")] = None
    id: int | None = None
    top: int = 20
    page: Path | None = None
    overwrite: bool = False


def run(options: Options, output: Output) -> int:
    """Search and print."""
    query = options.like if options.id is None else options.id
    if query is None or (options.id is not None and options.like is not None):
        raise ConfigError("name one video to search for: --like clip.mp4, or --id 17 of the corpus")
    if options.page is not None:
        require_free(options.page, overwrite=options.overwrite)
    from tubelet.corpus import search
    from tubelet.corpus.match_page import write_matches

    found = search(options.out, query, top=options.top)
    for match in found:
        output.data(match.to_dict())
        if not output.as_json:
            labels = ", ".join(match.labels.values())
            output.console.print(f"{match.similarity:.4f}  {match.to_dict()['path']}  {labels}", soft_wrap=True)
    if options.page is not None:
        write_matches(options.page, f"Like {query}", [found])
    return 0
