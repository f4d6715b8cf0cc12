"""`tubelet corpus label`: predictions against labels that are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tubelet.cli.arguments import CommonOptions
from tubelet.cli.output import Output
from tubelet.paths import require_free
from tubelet.text import count

SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Compare the predictions of a corpus with labels that are known.

    Attributes:
        out: the --out of `tubelet corpus run`.
        against: a CSV, TSV or JSONL file with the columns path and label.
        head: of the model; needed if it has several.
        retrieval: measure the embeddings too: how well a video finds the others of its label.
        disagreements: write the videos where they differ to this CSV, the most certain first.
        overwrite: replace that file if it exists.
    """

    out: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OUT")]
    against: Annotated[str, tyro.conf.arg(metavar="TABLE")]
    head: str | None = None
    retrieval: bool = False
    disagreements: Annotated[Path | None, tyro.conf.arg(metavar="CSV")] = None
    overwrite: bool = False


def run(options: Options, output: Output) -> int:
    """Compare and print."""
    if options.disagreements is not None:
        require_free(options.disagreements, overwrite=options.overwrite, inputs=[options.against])
    from tubelet.corpus import compare_labels, retrieval
    from tubelet.corpus.labels import write_rows

    found = compare_labels(options.out, options.against, head=options.head)
    by_embedding = retrieval(options.out, options.against, head=options.head) if options.retrieval else None
    data = found.to_dict() | ({} if by_embedding is None else {"retrieval": by_embedding.to_dict()})
    output.data(data)
    if not output.as_json:
        lines = []
        if found.compared:
            lines.append(f"{found.right:,} of {count(found.compared, 'video')} right, {data['accuracy']:.1%}")
        if found.learned and data["accuracy_unseen"] is not None:
            lines.append(f"{data['accuracy_unseen']:.1%} of those that the model did not learn from")
        lines += [f"{found.failed:,} without a prediction"] if found.failed else []
        lines += [f"{count(found.unknown, 'label')} of videos that are not in the corpus"] if found.unknown else []
        if by_embedding is not None:
            lines.append(
                f"by embeddings {by_embedding.queries:,} videos find their label with a mean average precision of "
                f"{by_embedding.mean_average_precision:.1%}; the nearest is one for {by_embedding.nearest_right:.1%}"
            )
        pairs = found.confusions.most_common(SHOWN)
        lines += [f"  {number:,} x {known} called {predicted}" for (known, predicted), number in pairs]
        output.console.print("\n".join(lines), soft_wrap=True)
    if options.disagreements is not None:
        write_rows(found.disagreements, options.disagreements)
    return 0
