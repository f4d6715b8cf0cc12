"""`tubelet convert`: a model in another format."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from tubelet.cli.arguments import CommonOptions, require_source
from tubelet.cli.arguments import parse as parse_options
from tubelet.cli.flags import given, model_flags
from tubelet.cli.output import Output
from tubelet.text import printable


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Rewrite a model in another format.

    SOURCE is anything that tubelet loads: a run, a model folder, a folder or Hub id of the transformers library, a
    checkpoint of the original code. What a checkpoint does not say about the model is given by the model's flags; for
    everything else they ask for a model that is adapted (--num-frames 48).

    Attributes:
        source: what to convert.
        out: folder to write; with the format scenic, a file.
        to: the format: native (ours), transformers, or scenic (the original code's).
        overwrite: replace a model of the same format that is there.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    out: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OUT")]
    to: Annotated[Literal["native", "transformers", "scenic"], tyro.conf.arg(name="format")] = "native"
    overwrite: bool = False


def parse(words: Sequence[str], prog: str) -> Any:
    """Options with a flag for every field of the model."""
    model = model_flags()
    flags = [
        ("model", model, dataclasses.field(default_factory=model)),
        ("num_classes", Annotated[int | None, tyro.conf.arg(help="classes; another number means a new head.")], None),
    ]
    made = dataclasses.make_dataclass("Options", flags, bases=(Options,), frozen=True, kw_only=True)
    made.__doc__ = Options.__doc__
    return parse_options(made, words, prog=prog)


def run(options: Any, output: Output) -> int:
    """Convert, and say what became of each tensor."""
    require_source(options.source)
    from tubelet.weights import convert

    fields = given(options.model)
    if options.num_classes is not None:
        fields["num_classes"] = options.num_classes
    report = convert(options.source, options.out, options.to, overwrite=options.overwrite, **fields)
    if not output.as_json:
        output.console.print(str(report), markup=False, soft_wrap=True)
        output.console.print(f"written  {printable(options.out)}", soft_wrap=True)
    output.data({"out": options.out, "format": options.to, "report": report.to_dict()})
    return 0
