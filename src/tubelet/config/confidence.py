"""When data support a confidence interval, and the words for it on pages, in files and in the terminal."""

from __future__ import annotations

from collections.abc import Iterable

FEWEST_UNITS = 8
"""With fewer people, groups or videos than this there is no interval."""

SIGNIFICANT = 0.05
"""A p-value below this counts."""

METHOD_NAMES = {"bootstrap": "bootstrap", "binomial": "exact binomial (Clopper-Pearson)"}


def interval_words(unit: str, units: int, methods: Iterable[str], level: float = 0.95) -> str:
    """How intervals were made (`methods`, keys of `METHOD_NAMES`) over so many units, or why there are none."""
    counted = f"{units:,} {unit}{'' if units == 1 else 's'}"
    if units < FEWEST_UNITS:
        return f"{counted}: too few for an interval"
    there = set(methods)
    used = [name for method, name in METHOD_NAMES.items() if method in there]
    if not used:
        return f"no interval: the {counted} agree"
    return f"{level:.0%} {' and '.join(used)} over {counted}"
