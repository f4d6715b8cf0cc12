"""Records, which every source is read into first, and the table that is built of them."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tubelet.config.split_names import SPLIT_NAMES, split_name
from tubelet.data.class_names import doubtful_names, require_names_apart, sort_names
from tubelet.data.given_splits import check_given_splits
from tubelet.data.table import Sample, Table
from tubelet.errors import DataError
from tubelet.text import did_you_mean, listing
from tubelet.video import video_exists
from tubelet.video.frame_folder import FRAME_RATE

OWN_CLASSES = 5
"""Samples from which on it is odd that each of them is of another class."""


@dataclass(frozen=True)
class Record:
    """One row of a source.

    Attributes:
        path: as it can be opened.
        labels: head to class name.
        label_sets: multi-label heads: head to the names of all classes that are shown.
        start: seconds.
        end: seconds.
        split: as it is called here.
        group: see `Sample`.
        line: where it stands in the source ("train.csv line 7"), for errors.
        frame_rate: frames per second of a folder of frames, by which `start` and `end` become frames.
    """

    path: str
    labels: dict[str, str] = field(default_factory=dict)
    start: float | None = None
    end: float | None = None
    split: str | None = None
    group: str | None = None
    line: str = ""
    frame_rate: float | None = None
    label_sets: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def shown(self) -> dict[str, tuple[str, ...]]:
        """Head to the names of all classes that are shown."""
        return {**{head: (name,) for head, name in self.labels.items()}, **self.label_sets}


def build_table(
    records: Sequence[Record],
    root: str,
    notes: Sequence[str] = (),
    *,
    classes: Mapping[str, Sequence[str]] | None = None,
    allow_missing: bool = False,
    allow_conflicts: bool = False,
    allow_leaks: bool = False,
) -> Table:
    """Put records together: files looked for, repeats found, class names given their indices.

    Args:
        records: all with the same heads.
        root: folder that sample keys are relative to.
        notes: so far.
        classes: the order of the classes, if it is settled already (by a model, by the data set); names that are not
            among them are errors. Otherwise names are sorted, numbers by value.
        allow_missing: leave out videos that do not exist and say so in a note.
        allow_conflicts: keep a video that is listed twice in a split with different labels, and say so in a note;
            large published data sets have some.
        allow_leaks: keep videos whose frames are in two splits, and say so in a note; to look at them.

    Raises:
        DataError: files that do not exist, one video with two labels, the same frames in two splits, an unknown class.
    """
    notes = list(notes)
    records = _existing(records, allow_missing, notes)
    records = _on_frame_clock(records, notes)
    records = _distinct(records, allow_conflicts, notes)
    notes += check_given_splits(records, _placed, refuse=not allow_leaks)
    notes += [*_unknown_splits(records), *_without_split(records)]
    heads = list(records[0].shown) if records else []
    several = tuple(records[0].label_sets) if records else ()
    found = {head: sort_names({name for record in records for name in record.shown[head]}) for head in heads}
    if classes is not None:
        if set(classes) != set(heads):
            raise DataError(f"the data has labels for {', '.join(heads) or 'nothing'}, expected {', '.join(classes)}")
        for record in records:
            for head, name in ((head, name) for head, names in record.shown.items() for name in names):
                if name not in classes[head]:
                    where = f"{record.line}: " if record.line else ""
                    raise DataError(
                        f"{where}class {name!r} is not among the expected ones{did_you_mean(name, classes[head])}"
                    )
        found = {head: list(classes[head]) for head in heads}
    else:
        require_names_apart(found)
        single = {head: names for head, names in found.items() if head not in several}
        notes += [*doubtful_names(found), *_own_classes(records, single)]
    index = {head: {name: number for number, name in enumerate(names)} for head, names in found.items()}
    samples = tuple(
        Sample(
            record.path,
            {head: index[head][name] for head, name in record.labels.items()},
            record.start,
            record.end,
            record.split,
            record.group,
            label_sets={
                head: tuple(sorted({index[head][name] for name in names})) for head, names in record.label_sets.items()
            },
        )
        for record in records
    )
    return Table(samples, found, root, tuple(notes), several)


def _existing(records: Sequence[Record], allow_missing: bool, notes: list[str]) -> list[Record]:
    there = {path: video_exists(path) for path in dict.fromkeys(record.path for record in records)}
    missing = [record for record in records if not there[record.path]]
    if not missing:
        return list(records)
    names = listing([f"{record.path}{f' ({record.line})' if record.line else ''}" for record in missing], between="; ")
    if not allow_missing or len(missing) == len(records):
        advice = (
            "" if allow_missing else "; correct the paths (or name the folder they start from), or allow missing files"
        )
        raise DataError(f"{len(missing)} of {len(records)} videos do not exist: {names}{advice}")
    notes.append(f"left out {len(missing)} of {len(records)} samples whose file does not exist: {names}")
    return [record for record in records if there[record.path]]


def _on_frame_clock(records: Sequence[Record], notes: list[str]) -> list[Record]:
    """Times in folders of frames as `FrameFolder` counts them, whatever the rate that their frames were taken at."""
    placed, unknown = [], 0
    for record in records:
        timed = record.start is not None or record.end is not None
        if timed and os.path.isdir(record.path):
            unknown += record.frame_rate is None
            factor = (record.frame_rate or FRAME_RATE) / FRAME_RATE
            start, end = (None if time is None else time * factor for time in (record.start, record.end))
            record = dataclasses.replace(record, start=start, end=end)
        placed.append(record)
    if unknown:
        notes.append(
            f"the frames of {unknown} samples in folders of images are counted at {FRAME_RATE:g} a second, since no "
            "column fps says otherwise: with another rate, start and end name other frames"
        )
    return placed


def _distinct(records: Sequence[Record], allow_conflicts: bool, notes: list[str]) -> list[Record]:
    """Without repeats. The same video (or part of one) with another label is an error."""
    first: dict[tuple[str, float | None, float | None, str | None], Record] = {}
    kept: list[Record] = []
    repeats = 0
    relabelled: list[str] = []
    for record in records:
        other = first.setdefault((os.path.normpath(record.path), record.start, record.end, record.split), record)
        if other is not record and other.shown == record.shown:
            repeats += 1
            continue
        kept.append(record)
        if other is not record:
            relabelled.append(f"{record.path}: {_what(other)} and {_what(record)}")
    if relabelled:
        which = listing(relabelled, between="; ")
        if not allow_conflicts:
            raise DataError(f"{len(relabelled)} videos are listed with two labels: {which}; keep one of each")
        notes.append(f"{len(relabelled)} videos are listed with two labels, and were kept with both: {which}")
    if repeats:
        notes.append(f"left out {repeats} rows that repeat an earlier one")
    return kept


def _what(record: Record) -> str:
    names = [", ".join(shown) or "none" for shown in record.shown.values()]
    what = "/".join([*names, *([record.split] if record.split else [])])
    return f"{what} ({record.line})" if record.line else what


def _placed(record: Record) -> str:
    """A record in a message about splits."""
    part = ""
    if record.start is not None or record.end is not None:
        part = f" from {record.start or 0:g} s to {'the end' if record.end is None else f'{record.end:g} s'}"
    return f"{record.path}{part}: {record.split}{f' ({record.line})' if record.line else ''}"


def _unknown_splits(records: Sequence[Record]) -> list[str]:
    """A note on each split that no verb looks for by itself."""
    counts = Counter(split_name(record.split) for record in records if record.split)
    return [
        f"{count} samples are in the split {name!r}, which nothing uses unless it is named"
        f"{did_you_mean(name, ('train', 'val', 'test', 'validation'))}"
        for name, count in sorted(counts.items())
        if name not in SPLIT_NAMES
    ]


def _without_split(records: Sequence[Record]) -> list[str]:
    """A note where some samples have a split and others have none."""
    without = sum(not record.split for record in records)
    if without in (0, len(records)):
        return []
    return [f"{without} of {len(records)} samples have no split: it is made for them where a training needs it"]


def _own_classes(records: Sequence[Record], classes: Mapping[str, Sequence[str]]) -> list[str]:
    """A note on heads where no class has two samples: numbers, names, sentences."""
    return [
        f"each of the {len(records)} samples is of a class of its own ({head}: {listing(names, 3)}); a classifier "
        "needs several videos of each class. Is another column meant (labels)?"
        for head, names in classes.items()
        if len(names) == len(records) >= OWN_CLASSES
    ]
