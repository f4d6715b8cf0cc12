"""From the outcomes of runs to a table, and from the table to verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tubelet.studies.folder import Outcome
from tubelet.studies.statistics import Interval, difference, mean_interval
from tubelet.studies.study import Cell, Claim
from tubelet.video.views import parse_views

Verdict = Literal["agrees", "contradicts", "open"]

CLOSE = 0.02
"""Shares of the training videos that differ by less say nothing about how well two cells learned them."""


@dataclass(frozen=True)
class Row:
    """A cell with one way of looking at the test videos.

    Attributes:
        key: of the row.
        label: of the cell, in the table, where columns tell cells of one label apart.
        title: of the cell, in sentences and pictures: with its facts where other cells have its label, too.
        views: CLIPSxCROPS.
        top1: over seeds, share of the test videos; None if no run is done.
        by_seed: the same for each seed that is done.
        right: by seed, how right each test video was.
        train_top1: over seeds, share of the training videos, seen as in a test.
        parameters: of the model.
        multiply_adds: of all views of one video.
        clip_milliseconds: of one clip, the fastest over seeds.
        seconds: of one run, mean over seeds.
        waiting: seeds that have not ended.
        failures: by seed, why a run failed.
        paper: what the paper found, by the name of the figure.
        facts: columns of the study's own.
    """

    key: str
    label: str
    title: str
    views: str
    top1: Interval | None
    by_seed: dict[int, float]
    right: dict[int, list[float]] = field(repr=False)
    train_top1: float | None
    parameters: int
    multiply_adds: int
    clip_milliseconds: float
    seconds: float
    waiting: tuple[int, ...]
    failures: dict[int, str]
    paper: dict[str, float]
    facts: dict[str, str]

    @property
    def gap(self) -> float | None:
        """How much more of the training videos than of the test videos it gets right: who overfits."""
        return None if self.train_top1 is None or self.top1 is None else self.train_top1 - self.top1.mean


@dataclass(frozen=True)
class Judgement:
    """A claim, held against the runs.

    Attributes:
        claim: what was claimed.
        verdict: `agrees`, the difference is there; `contradicts`, it is there with the other sign; `open`, the runs
            cannot tell.
        difference: in top-1, with its interval; None without runs of both.
        reason: what the runs say about why.
    """

    claim: Claim
    verdict: Verdict
    difference: Interval | None
    reason: str


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


def judge(claim: Claim, rows: Mapping[str, Row]) -> Judgement:
    """Hold a claim against the runs that both of its rows have."""
    better, worse = rows[claim.better], rows[claim.worse]
    seeds = sorted(better.right.keys() & worse.right.keys())
    if not seeds:
        return Judgement(claim, "open", None, "there are no runs of both")
    interval = difference([better.right[seed] for seed in seeds], [worse.right[seed] for seed in seeds])
    if interval.half is None:
        few = "a single seed says" if interval.count == 1 else "so few test videos say"
        return Judgement(claim, "open", interval, f"{few} nothing about chance")
    if not interval.excludes_zero:
        return Judgement(claim, "open", interval, _why_open(better, worse))
    if interval.mean > 0:
        return Judgement(claim, "agrees", interval, "")
    return Judgement(claim, "contradicts", interval, _why(better, worse))


def _why_open(better: Row, worse: Row) -> str:
    """What stands in the way of telling two rows apart."""
    scores = [row.top1.mean for row in (better, worse) if row.top1 is not None]
    if scores and min(scores) > 0.97:
        return "both get nearly every video right, so these videos are too easy to tell them apart"
    learned = [row.train_top1 for row in (better, worse) if row.train_top1 is not None]
    if learned and max(learned) < 0.3:
        return "neither has learned its training videos yet; both need more epochs or another learning rate"
    return "the interval reaches over 0: more seeds or more test videos would tell"


def _why(better: Row, worse: Row) -> str:
    """Where a claim fails: what the training videos say about the row that should have been the better one."""
    if better.title == worse.title:
        return f"it is one training: the places of the video that {better.views} views add tell less about its class"
    if better.train_top1 is None or worse.train_top1 is None:
        return ""
    ours, theirs = f"{better.train_top1:.0%}", f"{worse.train_top1:.0%}"
    gain = better.train_top1 - worse.train_top1
    lost, less = better.gap or 0.0, worse.gap or 0.0
    if gain < -CLOSE and lost - less > CLOSE:
        return (
            f"“{better.title}” gets fewer of its own training videos right ({ours} against {theirs}) and loses more of "
            f"that on the test videos ({100 * lost:.0f} against {100 * less:.0f} points): it generalises worse"
        )
    if gain < -CLOSE:
        return (
            f"“{better.title}” gets fewer of its own training videos right ({ours} against {theirs}): it has not "
            "learned enough in these epochs, rather than generalised badly"
        )
    if gain > CLOSE:
        return (
            f"“{better.title}” gets more of its training videos right ({ours} against {theirs}) and fewer of the test "
            "videos: it overfits"
        )
    return (
        f"both get about the same share of their training videos right ({ours} and {theirs}), so it generalises worse"
    )


def verdict_in_words(rows: Sequence[Row], judgements: Sequence[Judgement]) -> list[str]:
    """The study's answer, a few sentences."""
    scored = [row for row in rows if row.top1 is not None]
    if not scored:
        return ["No run has come to its end."]
    best = max(scored, key=lambda row: row.top1.mean if row.top1 else 0.0)
    rest = [judge(Claim("", best.key, row.key), {best.key: best, row.key: row}) for row in scored if row is not best]
    beaten = sum(judgement.verdict == "agrees" for judgement in rest)
    sentences = [f"Best is “{best.title}”{_views(best, rows)} with {percent(best.top1)}."]
    if rest and beaten == len(rest):
        sentences.append("It is significantly better than every other row.")
    elif rest:
        equal = [
            row.title
            for row, judgement in zip((r for r in scored if r is not best), rest, strict=True)
            if judgement.verdict != "agrees"
        ]
        if beaten:
            others = ", ".join(dict.fromkeys(equal))
            sentences.append(f"It is significantly better than {beaten} of {len(rest)} other rows; not than: {others}.")
        else:
            why = " (there is one seed, which says nothing about chance)" if best.top1 and best.top1.count == 1 else ""
            sentences.append(f"It is not significantly better than any other row{why}.")
    papers = [judgement for judgement in judgements if judgement.claim.paper]
    if papers:
        counts = {name: sum(judgement.verdict == name for judgement in papers) for name in ("agrees", "contradicts")}
        sentences.append(
            f"Of {len(papers)} findings of the paper {counts['agrees']} {_show(counts['agrees'])} here too, "
            f"{counts['contradicts']} {_show(counts['contradicts'])} the other way round, and "
            f"{len(papers) - sum(counts.values())} cannot be told by these runs."
        )
    failed = sum(len(row.failures) for row in rows)
    if failed:
        sentences.append(f"{failed} runs failed; the table says which.")
    return sentences


def _show(count: int) -> str:
    return "shows" if count == 1 else "show"


def _views(row: Row, rows: Sequence[Row]) -> str:
    return f" with {row.views} views" if sum(other.title == row.title for other in rows) > 1 else ""


def percent(interval: Interval | None) -> str:
    """ "71.2 ± 3.4 %"."""
    if interval is None:
        return "–"
    if interval.half is None:
        alike = f" ({interval.count} seeds alike)" if interval.count > 1 else ""
        return f"{100 * interval.mean:.1f} %{alike}"
    return f"{100 * interval.mean:.1f} ± {100 * interval.half:.1f} %"


def points(interval: Interval | None) -> str:
    """ "+3.1 ± 2.0": a difference in percentage points."""
    if interval is None:
        return "–"
    half = "" if interval.half is None else f" ± {100 * interval.half:.1f}"
    return f"{100 * interval.mean:+.1f}{half}"


def results_dict(rows: Sequence[Row], judgements: Sequence[Judgement]) -> dict[str, Any]:
    """JSON-ready."""

    def interval(value: Interval | None) -> dict[str, Any] | None:
        return None if value is None else {"mean": value.mean, "half": value.half, "count": value.count}

    return {
        "rows": [
            {
                "key": row.key,
                "label": row.label,
                "views": row.views,
                "top1": interval(row.top1),
                "by_seed": {str(seed): top1 for seed, top1 in row.by_seed.items()},
                "train_top1": row.train_top1,
                "gap": row.gap,
                "parameters": row.parameters,
                "multiply_adds": row.multiply_adds,
                "clip_milliseconds": row.clip_milliseconds,
                "seconds": row.seconds,
                "waiting": list(row.waiting),
                "failures": {str(seed): error for seed, error in row.failures.items()},
                "paper": row.paper,
                "facts": row.facts,
            }
            for row in rows
        ],
        "claims": [
            {
                "text": judgement.claim.text,
                "better": judgement.claim.better,
                "worse": judgement.claim.worse,
                "paper": judgement.claim.paper,
                "verdict": judgement.verdict,
                "difference": interval(judgement.difference),
                "reason": judgement.reason,
            }
            for judgement in judgements
        ],
    }
