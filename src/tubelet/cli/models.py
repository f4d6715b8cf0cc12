"""`tubelet models`: the presets and what they cost, and public weights. Needs no torch."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Annotated, Any

import tyro

from tubelet.cli.arguments import CommonOptions
from tubelet.cli.output import Output
from tubelet.config import ModelConfig, cost
from tubelet.config.public_weights import PUBLIC_WEIGHTS
from tubelet.errors import ConfigError
from tubelet.presets import preset, presets


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """List the presets with their parameters, tokens and multiply-adds of one clip (what the paper calls FLOPs).

    Attributes:
        names: show only these; `*` stands for anything, as in 'vivit_base_*'.
        num_frames: count for clips of so many frames.
        image_size: count for frames of so many pixels, one side of a square.
        num_classes: count with so many classes.
        public: list weights that others published instead: how to load each, its licence and its accuracy. Nothing is
            downloaded.
    """

    names: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[NAME ...]")] = ()
    num_frames: int = 32
    image_size: int | None = None
    num_classes: int = 400
    public: bool = False


def run(options: Options, output: Output) -> int:
    """Print the table."""
    if options.public:
        return _public(options, output)
    from rich.table import Table

    rows = {name: _described(name, config) for name, config in _chosen(options).items()}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("name", "variant"):
        table.add_column(title, no_wrap=True)
    for title in ("frames", "size", "tokens", "parameters", "multiply-adds (G)"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, row in rows.items():
        table.add_row(
            name,
            str(row["variant"]),
            str(row["num_frames"]),
            "x".join(map(str, row["image_size"])),
            f"{row['tokens']:,}",
            f"{row['parameters']:,}",
            f"{row['multiply_adds'] / 1e9:,.1f}",
        )
    if not output.as_json:
        output.console.print(table)
    output.data({"models": list(rows.values())})
    return 0


def _public(options: Options, output: Output) -> int:
    """Print the public weights whose names hold one of the words, one paragraph each."""
    words = [pattern.strip("*") for pattern in options.names]
    chosen = [one for one in PUBLIC_WEIGHTS if not words or any(word in one.name for word in words)]
    if not chosen:
        raise ConfigError(f"no public weights have {' or '.join(words)} in their name; leave it out for all of them")
    if not output.as_json:
        for one in chosen:
            said = [one.model, one.preprocessing, f"licence {one.licence}", *([one.accuracy] if one.accuracy else [])]
            lines = [one.name, *(f"  {line}" for line in said), f"  ({one.source})", f"  {one.load}"]
            lines.append(f"  tubelet train DATA {one.train}")
            output.console.print("\n".join(lines) + "\n", markup=False, highlight=False, soft_wrap=True)
    output.data({"public": [dataclasses.asdict(one) for one in chosen]})
    return 0


def _chosen(options: Options) -> dict[str, ModelConfig]:
    table = presets()
    for pattern in options.names:
        if not any(fnmatch(name, pattern) for name in table):
            near = difflib.get_close_matches(pattern, table, n=1)
            meant = f"did you mean {near[0]!r}?" if near else "`tubelet models` lists them, 'vivit_base_*' some"
            raise ConfigError(f"no preset is called {pattern!r}; {meant}")
    names = [name for name in table if not options.names or any(fnmatch(name, pattern) for pattern in options.names)]
    chosen = {}
    for name in names:
        size = {} if options.image_size is None else {"image_size": options.image_size}
        chosen[name] = preset(name, num_frames=options.num_frames, num_classes=options.num_classes, **size)
    return chosen


def _described(name: str, config: ModelConfig) -> dict[str, Any]:
    counted = cost(config)
    return {
        "name": name,
        "variant": config.variant,
        "num_frames": config.num_frames,
        "image_size": list(config.image_size),
        "tokens": counted.tokens,
        "parameters": counted.parameters,
        "multiply_adds": counted.multiply_adds,
    }
