"""Several runs of one training as one result: mean and spread over their seeds.

    python -m benchmarks.seeds runs/seed0 runs/seed1 runs/seed2 --apart sit_to_stand stand_to_sit

Reads the `evaluation.json` that `tubelet evaluate` leaves in each run, and prints a Markdown table: top-1 of every head
with the standard deviation over the runs, and, where classes are named, their recall and the top-1 without them.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any


def main() -> None:
    """Read, compute, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="run folders that were evaluated")
    parser.add_argument("--apart", nargs="*", default=[], metavar="CLASS", help="classes to report apart")
    given = parser.parse_args()
    evaluations = [json.loads((run / "evaluation.json").read_text(encoding="utf-8")) for run in given.runs]
    print(f"| {len(given.runs)} runs | mean | spread | each |\n|---|---|---|---|")
    for head in evaluations[0]["metrics"]:
        name = "top-1" if head == "label" else f"{head}, top-1"
        print(_row(name, [evaluation["metrics"][head]["top1"] for evaluation in evaluations]))
        for wanted in given.apart:
            print(_row(wanted, [_recall(evaluation["metrics"][head], wanted) for evaluation in evaluations]))
        if given.apart:
            print(_row("top-1 of the others", [_without(each["metrics"][head], given.apart) for each in evaluations]))


def _row(name: str, shares: list[float]) -> str:
    spread = f"{statistics.stdev(shares):.1%}" if len(shares) > 1 else ""
    each = ", ".join(f"{share:.1%}" for share in shares)
    return f"| {name} | {statistics.mean(shares):.1%} | {spread} | {each} |"


def _recall(metrics: dict[str, Any], wanted: str) -> float:
    return next(float(row["recall"]) for row in metrics["per_class"] if row["name"] == wanted)


def _without(metrics: dict[str, Any], apart: list[str]) -> float:
    """Top-1 over the videos of all other classes."""
    others = [row for row in metrics["per_class"] if row["name"] not in apart and row["support"]]
    return sum(row["recall"] * row["support"] for row in others) / sum(row["support"] for row in others)


if __name__ == "__main__":
    main()
