"""Names of classes: their order, and names that look like mistakes: two spellings of one class, numbers, lists."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from tubelet.errors import DataError
from tubelet.text import listing

WHOLE = re.compile(r"-?\d+")
LONGEST = 18
"""Digits of the longest number that is sorted by its value."""

SEPARATORS = ("|", ";", ",")
"""What stands between several labels in one cell."""


def sort_names(names: Collection[str]) -> list[str]:
    """Sorted; by value if all are whole numbers, so that '10' comes after '9'."""
    if all(WHOLE.fullmatch(name) and len(name) <= LONGEST for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def require_names_apart(classes: Mapping[str, Sequence[str]]) -> None:
    """Hold that no two classes of a head differ in invisible characters, or in the encoding of accents, alone."""
    for head, names in classes.items():
        for same in _equal_by(_appearance, names):
            shown = " and ".join(name.encode("ascii", "backslashreplace").decode() for name in same)
            raise DataError(
                f"two classes of {head!r} look the same, and their characters differ ({shown}); write them alike"
            )


def doubtful_names(classes: Mapping[str, Sequence[str]]) -> list[str]:
    """Notes on names that may be mistakes, although each is a class of its own."""
    notes = []
    for head, names in classes.items():
        what = "classes" if head == "label" else f"{head} classes"
        alike = _equal_by(_pronunciation, names)
        if alike:
            pairs = listing([" / ".join(map(repr, same)) for same in alike], 3, "; ")
            notes.append(f"{what} that differ in their spelling alone: {pairs}; each is a class of its own")
        numbers = [_number(name) for name in names]
        if len(names) > 1 and all(number is not None for number in numbers) and any(n % 1 for n in numbers if n):
            notes.append(
                f"all {len(names)} {what} are numbers with decimals ({listing(names, 3)}); each number is a class "
                "of its own: numbers are not predicted as such. Put them into ranges, or name another column (labels)"
            )
        several = _several_in_one(names)
        if several:
            notes.append(
                f"{what} that look like several labels in one cell: {listing(map(repr, several), 3)}; each "
                "combination is a class of its own. What stands between labels is named by label_separator (';')"
            )
    return notes


def _equal_by(key: Callable[[str], str], names: Iterable[str]) -> list[list[str]]:
    """Groups of names with the same key, each sorted."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        groups[key(name)].append(name)
    return [same for same in groups.values() if len(same) > 1]


def _appearance(name: str) -> str:
    """Accents composed, without invisible characters."""
    return "".join(c for c in unicodedata.normalize("NFC", name) if unicodedata.category(c) not in ("Cf", "Cc")).strip()


def _pronunciation(name: str) -> str:
    """Without case, width, spaces, - and _; a number by its value."""
    number = _number(name)
    if number is not None:
        return f"{number:g}" if abs(number) < 1e5 else name
    folded = unicodedata.normalize("NFKC", _appearance(name)).casefold()
    return re.sub(r"[\s_\-]+", " ", folded).strip() or name


def _number(name: str) -> float | None:
    if len(name) > 40 or not re.fullmatch(
        r"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?|[-+]?\.\d+", name, re.ASCII | re.IGNORECASE
    ):
        return None
    value = float(name)
    return value if math.isfinite(value) else None


def _several_in_one(names: Sequence[str]) -> list[str]:
    """Names that are several others, joined."""
    known = set(names)
    found = []
    for separator in SEPARATORS:
        joined = {name: [part.strip() for part in name.split(separator)] for name in names if separator in name}
        times = Counter(part for one in joined.values() for part in set(one))
        found += [name for name, own in joined.items() if all(own) and all(p in known or times[p] > 1 for p in own)]
    return found
