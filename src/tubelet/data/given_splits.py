"""The splits that data come with: whether they share frames, files or groups."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from tubelet.data.units import Files, Grouped, copies_note, independent_units
from tubelet.errors import DataError
from tubelet.text import listing

MORE = 10
"""Names in a note."""

ROUNDING = 1e-3
"""Seconds by which two parts of a file may overlap for no other reason than that their times were rounded."""


@runtime_checkable
class Placed(Grouped, Protocol):
    """A part of a video that may have a split."""

    @property
    def start(self) -> float | None:
        """Seconds; None is the beginning."""

    @property
    def end(self) -> float | None:
        """Seconds; None is the end."""

    @property
    def split(self) -> str | None:
        """See `Sample`."""


P = TypeVar("P", bound=Placed)


def check_given_splits(samples: Sequence[P], describe: Callable[[P], str], *, refuse: bool = True) -> list[str]:
    """Hold that the splits that the data came with do not share frames.

    Args:
        samples: with the splits that were given; those without one are passed over.
        describe: how a message names a sample.
        refuse: False makes a note of what would be an error.

    Returns:
        notes: copies, files whose parts are in several splits, groups that are in several splits.

    Raises:
        DataError: the same frames are in two splits: parts of a file that overlap, a file under two names, or copies.
    """
    placed = [sample for sample in samples if sample.split]
    by_file = independent_units(placed, groups=False)
    notes, leaking, apart = copies_note(by_file), [], 0
    for unit in by_file:
        for same in _certain(unit):
            shared = list(overlaps(same))
            leaking += [f"{describe(one)} and {describe(other)}" for one, other in shared]
            apart += not shared and len({sample.split for sample in same}) > 1
    if leaking:
        message = (
            f"{len(leaking)} videos are in two splits: {listing(leaking, between='; ')}; a video that was trained on "
            "cannot test anything, nor can a copy of it or a part that overlaps"
        )
        if refuse:
            raise DataError(f"{message}: keep one of each")
        notes.append(message)
    if apart:
        notes.append(
            f"{apart} files have parts in several splits; the parts do not overlap, but parts of one recording are not "
            "independent, and a model may know the file instead of the class"
        )
    divided = groups_in_several_splits(placed)
    if divided:
        notes.append(
            f"{len(divided)} groups are in several of the splits that the data came with ({listing(divided, MORE)}): "
            "what is measured holds for these groups, and says less about new ones"
        )
    return notes


def _certain(unit: list[P]) -> list[list[P]]:
    """A unit of files; where it lies in several splits by their keys alone, every byte is compared first."""
    files = Files()
    by_file: dict[str, list[P]] = defaultdict(list)
    for sample in unit:
        by_file[files.of(sample.path)].append(sample)
    if len(by_file) == 1 or len({sample.split for sample in unit}) == 1:
        return [unit]
    groups = [[files.of(path) for path in same] for same in files.copies((s.path for s in unit), whole=True)]
    copied = {file for group in groups for file in group}
    groups += [[file] for file in by_file if file not in copied]
    return [[sample for file in group for sample in by_file[file]] for group in groups]


def overlaps(samples: Sequence[P]) -> Iterator[tuple[P, P]]:
    """Pairs of parts of one file that share frames and are in different splits, each part once as the second."""
    latest: dict[str | None, P] = {}
    for sample in sorted(samples, key=_window):
        start, end = _window(sample)
        for split, other in latest.items():
            if split != sample.split and _window(other)[1] > start + ROUNDING:
                yield other, sample
                break
        if sample.split not in latest or _window(latest[sample.split])[1] < end:
            latest[sample.split] = sample


def _window(sample: Placed) -> tuple[float, float]:
    start = -math.inf if sample.start is None else sample.start
    return start, math.inf if sample.end is None else sample.end


def groups_in_several_splits(samples: Iterable[Placed]) -> list[str]:
    """Names of the groups that have samples in more than one split, sorted."""
    splits: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        if sample.group is not None and sample.split:
            splits[sample.group].add(sample.split)
    return sorted(group for group, names in splits.items() if len(names) > 1)
