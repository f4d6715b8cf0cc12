"""`tubelet corpus convert`: the rows of a corpus in another format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from tubelet.cli.arguments import CommonOptions
from tubelet.cli.output import Output
from tubelet.text import count


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Write the rows of a proven corpus in the format of a vector database. Everything else reads its Parquet files.

    Attributes:
        out: the --out of `tubelet corpus run`, after `tubelet corpus check`.
        result: folder to write; it must not be there yet.
        to: the format: lance, which LanceDB opens.
    """

    out: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OUT")]
    result: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RESULT")]
    to: Literal["lance"] = "lance"


def run(options: Options, output: Output) -> int:
    """Convert and print."""
    from tubelet.corpus import convert

    rows = convert(options.out, options.result, options.to)
    output.data({"rows": rows, "result": options.result})
    output.note(f"{options.result}: {count(rows, 'row')}")
    return 0
