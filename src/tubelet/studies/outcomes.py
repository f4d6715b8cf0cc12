"""From the outcomes of runs to the rows of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tubelet.evaluation import parse_views
from tubelet.studies.folder import Outcome
from tubelet.studies.rows import Row
from tubelet.studies.statistics import mean_interval
from tubelet.studies.study import Cell


def rows_of(cells: Sequence[Cell], outcomes: Mapping[str, Mapping[int, Outcome]]) -> list[Row]:
    """The table.

    Args:
        cells: in its order.
        outcomes: by cell and seed.
    """
    labels = [cell.label for cell in cells]
    titles = [
        cell.label if labels.count(cell.label) == 1 else ", ".join([cell.label, *cell.facts.values()]) for cell in cells
    ]
    return [
        _row(cell, title, views, outcomes[cell.name])
        for cell, title in zip(cells, titles, strict=True)
        for views in cell.views
    ]


def _row(cell: Cell, title: str, views: str, outcomes: Mapping[int, Outcome]) -> Row:
    done = {seed: outcome for seed, outcome in outcomes.items() if outcome.status == "done"}
    first = next(iter(done.values()), None)
    clips, crops = parse_views(views)
    by_seed = {seed: outcome.top1[views] for seed, outcome in done.items()}
    trained = [outcome.train_top1 for outcome in done.values() if outcome.train_top1 is not None]
    return Row(
        key=cell.row(views),
        label=cell.label,
        title=title,
        views=views,
        top1=mean_interval(list(by_seed.values())) if by_seed else None,
        by_seed=by_seed,
        right={seed: outcome.right[views] for seed, outcome in done.items()},
        train_top1=sum(trained) / len(trained) if trained else None,
        parameters=first.parameters if first else 0,
        multiply_adds=first.multiply_adds * clips * crops if first else 0,
        clip_milliseconds=min((outcome.clip_milliseconds for outcome in done.values()), default=0.0),
        seconds=sum(outcome.seconds for outcome in done.values()) / max(1, len(done)),
        waiting=tuple(seed for seed, outcome in outcomes.items() if outcome.status == "waiting"),
        failures={seed: outcome.error for seed, outcome in outcomes.items() if outcome.status == "failed"},
        paper=cell.paper,
        facts=cell.facts,
    )
