"""A look at a whole data set before anything is trained on it: what is broken, what leaks, what is in it."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

from tubelet.config import PreprocessingConfig
from tubelet.data.check_report import CheckReport, Problem, Spread
from tubelet.data.class_weights import SKEWED
from tubelet.data.content import copies
from tubelet.data.given_splits import groups_in_several_splits, overlaps
from tubelet.data.table import Sample, Table
from tubelet.data.train_classes import untrained_classes
from tubelet.device import usable_cores
from tubelet.errors import VideoError
from tubelet.video import open_video, window
from tubelet.video.clip import damage_in_words, why_unreadable
from tubelet.video.decoder_log import decoder_log
from tubelet.video.protocol import VisitingDecoder, until_settled

"""How many times as many samples the most frequent class has as the rarest, from which on a report says so."""

Balance = dict[str, dict[str, dict[str, int]]]
"""Head, split, class name: samples."""


@dataclass(frozen=True)
class _Look:
    """What is known about one file."""

    problem: str | None = None
    frames: int = 0
    duration: float = 0.0
    frame_rate: float = 0.0
    size: str = ""
    codec: str = ""
    variable: bool = False
    windows: tuple[tuple[int, float], ...] = ()
    outside: tuple[str, ...] = ()
    damage: str | None = None
    logged: str | None = None


def check(
    table: Table,
    *,
    thorough: bool = False,
    preprocessing: PreprocessingConfig | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Look at every video of a table.

    Args:
        table: as read, with its splits.
        thorough: decode every frame, and read FFmpeg's log. Otherwise the list of frames is read, and the first and the
            last decoded, which finds what is cut off or no video, but not every damage in between.
        preprocessing: to count the samples that are shorter than one clip.
        threads: that look at videos; None is one for each core.
        progress: called with (videos done, videos in all).

    Returns:
        the report; an unreadable video is an entry in it, never an exception.
    """
    by_path: dict[str, list[Sample]] = defaultdict(list)
    for sample in table.samples:
        by_path[sample.path].append(sample)
    looks: dict[str, _Look] = {}
    with ThreadPoolExecutor(threads or usable_cores()) as pool:
        jobs = pool.map(lambda path: _look(path, by_path[path], thorough), by_path)
        for path, look in zip(by_path, jobs, strict=True):
            looks[path] = look
            if progress is not None:
                progress(len(looks), len(by_path))
    same = copies(by_path, whole=True)
    of_content = _by_content(by_path, same)
    unreadable = [Problem(path, look.problem) for path, look in looks.items() if look.problem is not None]
    unreadable += [Problem(path, reason) for path, look in looks.items() for reason in look.outside]
    good = [look for look in looks.values() if look.problem is None]
    windows = [part for look in good for part in look.windows]
    balance = _balance(table)
    span = 0
    if preprocessing is not None:
        span = preprocessing.span if preprocessing.sampling == "dense" else preprocessing.num_frames
    return CheckReport(
        samples=len(table),
        videos=len(by_path),
        unreadable=tuple(unreadable),
        damaged=tuple(Problem(path, look.damage) for path, look in looks.items() if look.damage),
        reported=tuple(Problem(path, look.logged) for path, look in looks.items() if look.logged),
        duplicates=tuple(tuple(group) for group in same),
        leaks=_leaks(of_content),
        conflicts=_conflicts(table, of_content),
        shared_groups=tuple(groups_in_several_splits(table.samples)),
        overlaps=_overlapping(table, of_content),
        untrained=_untrained(table),
        single=tuple(head for head, names in table.classes.items() if len(names) < 2),
        unequal=_unequal(balance),
        balance=balance,
        seconds=_spread([duration for _, duration in windows]),
        frames=_spread([float(frames) for frames, _ in windows]),
        too_short=sum(frames < span for frames, _ in windows),
        frame_rates=_counted(f"{look.frame_rate:.2f}".rstrip("0").rstrip(".") for look in good),
        sizes=_counted(look.size for look in good),
        codecs=_counted(look.codec for look in good),
        variable_frame_rate=sum(look.variable for look in good),
    )


def _look(path: str, samples: Sequence[Sample], thorough: bool) -> _Look:
    try:
        with decoder_log() if thorough else nullcontext(Counter[str]()) as log, open_video(path, threads=1) as decoder:
            assert isinstance(decoder, VisitingDecoder)
            until_settled(decoder, partial(_decode, decoder, thorough))
            metadata, times = decoder.metadata, decoder.timestamps.tolist()
            damaged = sorted(decoder.damaged)
    except (VideoError, OSError, MemoryError) as error:
        return _Look(problem=why_unreadable(error))
    windows, outside = [], []
    stop = metadata.start + metadata.duration
    for sample in samples:
        first, last = window(times, sample.start, sample.end)
        if first == last:
            outside.append(f"no frame from {sample.start} s to {sample.end} s; it runs to {stop:.3f} s")
            continue
        end = times[last] if last < len(times) else stop
        windows.append((last - first, end - times[first]))
    return _Look(
        None,
        metadata.num_frames,
        metadata.duration,
        metadata.frame_rate,
        f"{metadata.width}x{metadata.height}",
        metadata.codec,
        metadata.variable_frame_rate,
        tuple(windows),
        tuple(outside),
        damage_in_words(damaged, metadata.num_frames) if damaged else None,
        "; ".join(f"{message!r} ({count} times)" for message, count in log.most_common(3)) or None,
    )


def _decode(decoder: VisitingDecoder, thorough: bool) -> None:
    """Every frame, or the last one; none is kept."""
    total = decoder.metadata.num_frames
    decoder.visit(range(total) if thorough else (total - 1,), lambda number, frame: None)


def _by_content(by_path: dict[str, list[Sample]], same: Sequence[Sequence[str]]) -> list[list[Sample]]:
    """Samples of each different content: files that are the same are one."""
    copied = {path for group in same for path in group}
    return [
        *([sample for path in group for sample in by_path[path]] for group in same),
        *(samples for path, samples in by_path.items() if path not in copied),
    ]


def _leaks(of_content: Iterable[Sequence[Sample]]) -> tuple[tuple[str, ...], ...]:
    """One video in two splits, whether as two files or as two parts of one."""
    return tuple(
        tuple(dict.fromkeys(f"{sample.split}: {sample.path}" for sample in samples))
        for samples in of_content
        if len({sample.split for sample in samples if sample.split}) > 1
    )


def _conflicts(table: Table, of_content: Iterable[Sequence[Sample]]) -> tuple[tuple[str, ...], ...]:
    """The same frames under different labels."""
    found = []
    for group in of_content:
        by_time: dict[tuple[float | None, float | None], list[Sample]] = defaultdict(list)
        for sample in group:
            by_time[sample.start, sample.end].append(sample)
        for samples in by_time.values():
            named = {"/".join(table.class_names(sample)) + f": {sample.path}": sample.shown for sample in samples}
            if any(shown != samples[0].shown for shown in named.values()):
                found.append(tuple(named))
    return tuple(found)


def _overlapping(table: Table, of_content: Iterable[Sequence[Sample]]) -> tuple[tuple[str, str], ...]:
    """Frames that are in two splits, where the parts of the files are not the same to the digit."""
    return tuple(
        (f"{one.split}: {table.key(one)}", f"{other.split}: {table.key(other)}")
        for samples in of_content
        if any(sample.start is not None or sample.end is not None for sample in samples)
        for one, other in overlaps([sample for sample in samples if sample.split])
    )


def _untrained(table: Table) -> tuple[str, ...]:
    """Classes of other splits that train lacks; nothing if there is no train yet, or none else."""
    if "train" not in table.splits:
        return ()
    found = []
    for head, names in untrained_classes(table).items():
        for name in names:
            index = table.classes[head].index(name)
            counts = Counter(sample.split or "no split" for sample in table.samples if index in sample.shown[head])
            listed = ", ".join(f"{split}: {count}" for split, count in sorted(counts.items()))
            found.append(f"{name if head == 'label' else f'{head} {name}'} ({listed})")
    return tuple(found)


def _unequal(balance: Balance) -> tuple[str, ...]:
    found = []
    for head, splits in balance.items():
        counts = {name: count for name, count in splits.get("train", splits.get("", {})).items() if count}
        if counts and max(counts.values()) >= SKEWED * min(counts.values()):
            most, rarest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
            found.append(f"{head}: {counts[most]} samples of {most!r} and {counts[rarest]} of {rarest!r} to learn from")
    return tuple(found)


def _balance(table: Table) -> Balance:
    splits = sorted({sample.split or "" for sample in table.samples})
    balance = {head: {split: dict.fromkeys(names, 0) for split in splits} for head, names in table.classes.items()}
    for sample in table.samples:
        for head, names in table.classes.items():
            for index in sample.shown[head]:
                balance[head][sample.split or ""][names[index]] += 1
    return balance


def _spread(values: Sequence[float]) -> Spread | None:
    return Spread(min(values), statistics.median(values), max(values)) if values else None


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())
