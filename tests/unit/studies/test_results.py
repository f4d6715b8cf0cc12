"""From outcomes to a table and to verdicts in words."""

from __future__ import annotations

from typing import Any

from tubelet.config import TrainConfig
from tubelet.studies.folder import Outcome
from tubelet.studies.outcomes import rows_of
from tubelet.studies.results import judge, summarise
from tubelet.studies.rows import Row
from tubelet.studies.study import Cell, Hypothesis
from tubelet.studies.variants import remarks

VIDEOS = 100


def outcome(score: float, train: float = 0.9, views: str = "1x1") -> Outcome:
    right = [1.0] * round(score * VIDEOS) + [0.0] * round((1 - score) * VIDEOS)
    return Outcome("done", top1={views: score}, right={views: right}, train_top1=train, multiply_adds=10)


def table(scores: dict[str, list[float]], train: dict[str, float] | None = None) -> list[Row]:
    cells = [Cell(name=name, label=name, config=TrainConfig(preset="vivit_tiny_16x2")) for name in scores]
    train = train or {}
    outcomes = {
        name: {seed: outcome(score, train.get(name, 0.9)) for seed, score in enumerate(values)}
        for name, values in scores.items()
    }
    return rows_of(cells, outcomes)


def judged(scores: dict[str, list[float]], train: dict[str, float] | None = None, **fields: Any) -> Any:
    rows = {row.key: row for row in table(scores, train)}
    return judge(Hypothesis("a is better", "a", "b", **fields), rows)


def test_a_clear_difference_agrees_or_contradicts() -> None:
    assert judged({"a": [0.8, 0.82, 0.81], "b": [0.5, 0.52, 0.51]}).conclusion == "agrees"
    assert judged({"a": [0.5, 0.52, 0.51], "b": [0.8, 0.82, 0.81]}).conclusion == "contradicts"


def test_a_difference_within_chance_stays_open() -> None:
    verdict = judged({"a": [0.8, 0.5, 0.65], "b": [0.6, 0.62, 0.61]})
    assert verdict.conclusion == "open"
    assert verdict.difference is not None
    assert verdict.difference.mean > 0


def test_a_contradiction_is_explained_by_the_training_videos() -> None:
    scores = {"a": [0.5, 0.5, 0.5], "b": [0.8, 0.8, 0.8]}
    assert "not learned enough" in judged(scores, {"a": 0.5, "b": 0.9}).reason
    assert "generalises worse" in judged(scores, {"a": 0.8, "b": 0.9}).reason
    assert [round(row.gap or 0.0, 9) for row in table(scores, {"a": 0.8, "b": 0.9})] == [0.3, 0.1]
    assert "overfits" in judged(scores, {"a": 1.0, "b": 0.9}).reason
    assert "generalises worse" in judged(scores, {"a": 0.9, "b": 0.9}).reason


def test_views_of_one_training_are_not_said_to_generalise_worse() -> None:
    cell = Cell(name="a", label="a", config=TrainConfig(preset="vivit_tiny_16x2"), views=("1x1", "2x1"))
    right = {views: [1.0] * count + [0.0] * (VIDEOS - count) for views, count in (("1x1", 80), ("2x1", 50))}
    done = {seed: Outcome("done", top1={"1x1": 0.8, "2x1": 0.5}, right=right, train_top1=0.9) for seed in range(3)}
    rows = {row.views: row for row in rows_of([cell], {"a": done})}
    verdict = judge(
        Hypothesis("more views are better", rows["2x1"].key, rows["1x1"].key), {row.key: row for row in rows.values()}
    )
    assert verdict.conclusion == "contradicts"
    assert "one training" in verdict.reason
    assert "2x1" in verdict.reason


def test_who_overfits_most_is_said_where_it_is_more_than_chance() -> None:
    steady = {"a": [0.8, 0.8, 0.8], "b": [0.79, 0.79, 0.79], "c": [0.5, 0.5, 0.5]}
    assert remarks(table(steady)) == ["“c” overfits most: 40.0 points between training and test videos."]
    alike = {"a": [0.8, 0.8, 0.8], "b": [0.79, 0.79, 0.79]}
    assert remarks(table(alike)) == ["All overfit alike: 10.0 to 11.0 points between training and test videos."]
    assert remarks(table({**steady, "d": [0.51, 0.51, 0.51]})) == [], "c and d cannot be told apart"


def test_cells_of_one_label_are_told_apart_in_sentences_and_each_failure_counts() -> None:
    cells = [
        Cell(name=f"a-{share}", label="a", config=TrainConfig(preset="vivit_tiny_16x2"), facts={"videos": share})
        for share in ("25%", "100%")
    ]
    failed = Outcome("failed", error="out of memory")
    rows = rows_of(cells, {"a-25%": {0: outcome(0.5), 1: failed}, "a-100%": {0: outcome(0.9), 1: failed}})
    assert [row.title for row in rows] == ["a, 25%", "a, 100%"]
    words = " ".join(summarise(rows, []))
    assert "“a, 100%”" in words
    assert "2 runs failed" in words


def test_videos_that_are_too_easy_are_said_to_be() -> None:
    assert "too easy" in judged({"a": [1.0, 1.0, 0.99], "b": [0.99, 1.0, 1.0]}).reason


def test_only_seeds_that_both_have_are_compared() -> None:
    rows = {row.key: row for row in table({"a": [0.9, 0.9, 0.1], "b": [0.5, 0.5]})}
    verdict = judge(Hypothesis("", "a", "b"), rows)
    assert verdict.difference is not None
    assert verdict.difference.count == 2
    assert verdict.difference.mean == 0.4


def test_the_verdict_names_the_best_what_it_beats_and_the_papers_findings() -> None:
    rows = table({"a": [0.8, 0.82, 0.81], "b": [0.5, 0.52, 0.51], "c": [0.8, 0.83, 0.79]})
    by_key = {row.key: row for row in rows}
    verdicts = [
        judge(Hypothesis("", "a", "b", "80 against 70"), by_key),
        judge(Hypothesis("", "b", "a", "2 to 1"), by_key),
    ]
    text = " ".join(summarise(rows, verdicts))
    assert "Best is “a”" in text
    assert "better than 1 of 2 other rows" in text
    assert "not than: c" in text
    assert "Of 2 findings of the paper 1 shows here too, 1 shows the other way round, and 0 cannot be told" in text


def test_a_best_row_that_beats_nothing_is_said_to_beat_nothing() -> None:
    alike = summarise(table({"a": [0.8, 0.5, 0.65], "b": [0.6, 0.62, 0.61]}), [])
    assert alike[1] == "It is not significantly better than any other row."
    single = summarise(table({"a": [0.8], "b": [0.3]}), [])
    assert "one seed, which says nothing about chance" in single[1]


def test_views_multiply_the_cost_and_a_failed_seed_is_left_out_of_the_mean() -> None:
    cell = Cell(name="x", label="x", config=TrainConfig(preset="vivit_tiny_16x2"), views=("4x3",))
    rows = rows_of([cell], {"x": {0: outcome(0.5, views="4x3"), 1: Outcome("failed", "DivergedError: oh")}})
    assert rows[0].multiply_adds == 120
    assert rows[0].failures == {1: "DivergedError: oh"}
    assert rows[0].top1 is not None
    assert rows[0].top1.count == 1
