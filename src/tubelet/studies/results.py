"""Whether the rows of a study agree with its hypotheses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tubelet.config import to_dict
from tubelet.studies.rows import CLOSE, Row, percent
from tubelet.studies.statistics import Interval, difference
from tubelet.studies.study import Hypothesis

Conclusion = Literal["agrees", "contradicts", "open"]

TOO_EASY, UNTRAINED = 0.97, 0.3
"""Two rows with a higher top-1 on the test videos, or a lower one on the training videos, cannot be told apart."""


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a hypothesis.

    Attributes:
        hypothesis: of the paper, or of the question.
        conclusion: `agrees`, the difference is there; `contradicts`, it is there with the other sign; `open`, the runs
            cannot tell.
        difference: in top-1, with its interval; None without runs of both.
        reason: why it is open or contradicted, in a few words; the rows have the figures.
    """

    hypothesis: Hypothesis
    conclusion: Conclusion
    difference: Interval | None
    reason: str


def judge(hypothesis: Hypothesis, rows: Mapping[str, Row]) -> Verdict:
    """Test a hypothesis on the runs that both of its rows have."""
    better, worse = rows[hypothesis.better], rows[hypothesis.worse]
    seeds = sorted(better.right.keys() & worse.right.keys())
    if not seeds:
        return Verdict(hypothesis, "open", None, "no runs of both")
    interval = difference([better.right[seed] for seed in seeds], [worse.right[seed] for seed in seeds])
    if interval.half is None:
        few = "a single seed" if interval.count == 1 else "too few test videos"
        return Verdict(hypothesis, "open", interval, few)
    if not interval.excludes_zero:
        return Verdict(hypothesis, "open", interval, _reason_open((better, worse)))
    if interval.mean > 0:
        return Verdict(hypothesis, "agrees", interval, "")
    return Verdict(hypothesis, "contradicts", interval, _reason_against(better, worse))


def _reason_open(rows: Sequence[Row]) -> str:
    """Why two rows cannot be told apart."""
    if min(row.top1.mean for row in rows if row.top1 is not None) > TOO_EASY:
        return "these videos are too easy"
    trained = [row.train_top1 for row in rows if row.train_top1 is not None]
    if trained and max(trained) < UNTRAINED:
        return "neither has learned its training videos"
    return "the interval holds 0"


def _reason_against(better: Row, worse: Row) -> str:
    """What the training videos show of the row that was expected to be better."""
    if better.title == worse.title:
        return f"one training; {better.views} views add nothing"
    if better.train_top1 is None or worse.train_top1 is None:
        return ""
    gain = better.train_top1 - worse.train_top1
    if gain > CLOSE:
        return "it overfits"
    if gain >= -CLOSE or (better.gap or 0.0) - (worse.gap or 0.0) > CLOSE:
        return "it generalises worse"
    return "it has not learned enough"


def summarise(rows: Sequence[Row], verdicts: Sequence[Verdict]) -> list[str]:
    """The study's answer, a few sentences."""
    scored = [row for row in rows if row.top1 is not None]
    if not scored:
        return ["No run has come to its end."]
    best = max(scored, key=lambda row: row.top1.mean if row.top1 else 0.0)
    rest = [
        judge(Hypothesis("", best.key, row.key), {best.key: best, row.key: row}) for row in scored if row is not best
    ]
    beaten = sum(verdict.conclusion == "agrees" for verdict in rest)
    sentences = [f"Best is “{best.title}”{_views(best, rows)} with {percent(best.top1)}."]
    if rest and beaten == len(rest):
        sentences.append("It is significantly better than every other row.")
    elif rest:
        equal = [
            row.title
            for row, verdict in zip((r for r in scored if r is not best), rest, strict=True)
            if verdict.conclusion != "agrees"
        ]
        if beaten:
            others = ", ".join(dict.fromkeys(equal))
            sentences.append(f"It is significantly better than {beaten} of {len(rest)} other rows; not than: {others}.")
        else:
            why = " (there is one seed, which says nothing about chance)" if best.top1 and best.top1.count == 1 else ""
            sentences.append(f"It is not significantly better than any other row{why}.")
    papers = [verdict for verdict in verdicts if verdict.hypothesis.paper]
    if papers:
        counts = {name: sum(verdict.conclusion == name for verdict in papers) for name in ("agrees", "contradicts")}
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


def results_dict(rows: Sequence[Row], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """JSON-ready."""
    left_out = ("right", "title")
    return {
        "rows": [
            {name: value for name, value in {**to_dict(row), "gap": row.gap}.items() if name not in left_out}
            for row in rows
        ],
        "claims": [
            {
                **to_dict(verdict.hypothesis),
                "verdict": verdict.conclusion,
                "difference": None if verdict.difference is None else to_dict(verdict.difference),
                "reason": verdict.reason,
            }
            for verdict in verdicts
        ],
    }
