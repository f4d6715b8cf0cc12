"""`tubelet.convert`: from anything that `load` reads to a format of your choice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from tubelet.errors import ConfigError
from tubelet.given_model import unwrapped
from tubelet.model import ViViT
from tubelet.weights.adapt import adapt
from tubelet.weights.hf_vivit import save_hf_vivit
from tubelet.weights.load import load
from tubelet.weights.native import save, save_provenance
from tubelet.weights.report import LoadReport
from tubelet.weights.sample_clips import save_sample_clips
from tubelet.weights.saveable import saveable
from tubelet.weights.scenic import save_scenic

LAYOUTS: dict[str, tuple[str, ...]] = {
    "native": (),
    "transformers": ("transformers_4", "transformers_5"),
    "scenic": ("optimizer", "params"),
}
"""The formats, and the layouts that each has; the first is the default."""


def convert(
    source: str | Path | nn.Module,
    out: str | Path,
    format: str = "native",
    *,
    layout: str | None = None,
    overwrite: bool = False,
    **fields: Any,
) -> LoadReport:
    """Write a model in another format.

    Args:
        source: anything that `tubelet.load` takes, or a model.
        out: a folder; with `format="scenic"` a file.
        format: `native`; `transformers`, a folder that `VivitForVideoClassification.from_pretrained` loads (model 1
            alone); or `scenic`, a checkpoint of Scenic.
        layout: of `transformers`: the names of `transformers_4` (which 5 reads too) or `transformers_5`. Of `scenic`:
            parameters under `optimizer`/target, as in the published checkpoints, or under `params`.
        overwrite: replace a model of the same format that is there.
        fields: for `tubelet.load`; a model is adapted to them.

    Returns:
        what was loaded, with notes on what the new format cannot say. (For a model that was not loaded from anything,
        the report has notes alone.)

    Raises:
        WeightsError: the source cannot be read, the format has no such model, or `out` is taken.
        ConfigError: an unknown format or layout, or fields that do not fit.
    """
    if format not in LAYOUTS:
        raise ConfigError(f"format={format!r} is not one of {', '.join(map(repr, LAYOUTS))}")
    if layout is not None and layout not in LAYOUTS[format]:
        known = ", ".join(map(repr, LAYOUTS[format]))
        raise ConfigError(
            f"format={format!r} has no layout {layout!r}; " + (f"use {known}" if known else "leave it out")
        )
    source = unwrapped(source)
    if isinstance(source, ViViT):
        model = adapt(source, **fields) if fields else source
    else:
        model = load(source, **fields)
    model = saveable(model)
    notes = _write(model, out, format, layout, overwrite)
    report = model.load_report
    if not isinstance(report, LoadReport):
        report = LoadReport("a model", "model")
    return LoadReport(report.source, report.format, report.entries, (*report.notes, *notes))


def _write(model: ViViT, out: str | Path, format: str, layout: str | None, overwrite: bool) -> tuple[str, ...]:
    chosen: Any = layout or next(iter(LAYOUTS[format]), None)
    if format == "scenic":
        return save_scenic(model, out, layout=chosen, overwrite=overwrite)
    if format == "transformers":
        notes = save_hf_vivit(model, out, key_layout=chosen, overwrite=overwrite)
        save_provenance(model, Path(out))
        save_sample_clips(model, Path(out))
        return notes
    save(model, out, overwrite=overwrite)
    return ()
