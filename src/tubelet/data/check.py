"""A look at a whole data set before anything is trained on it: what is broken, what leaks, what is in it."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tubelet.config import PreprocessingConfig, to_dict
from tubelet.data.content import copies
from tubelet.data.splits import untrained_classes
from tubelet.data.table import Sample, Table
from tubelet.data.units import groups_in_several_splits, overlaps
from tubelet.device import usable_cores
from tubelet.errors import VideoError
from tubelet.video import open_video, window
from tubelet.video.clip import damage_in_words, why_unreadable
from tubelet.video.decoder_log import decoder_log
from tubelet.video.protocol import VisitingDecoder, until_settled

UNEQUAL = 10
"""How many times as many samples the most frequent class has as the rarest, from which on a report says so."""


@dataclass(frozen=True)
class Problem:
    """Something about one video.

    Attributes:
        path: of the video.
        reason: in words.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class Spread:
    """Smallest, middle and largest of some numbers."""

    smallest: float
    median: float
    largest: float

    def __str__(self) -> str:
        return f"{self.smallest:.4g} to {self.largest:.4g}, median {self.median:.4g}"


@dataclass(frozen=True)
class CheckReport:
    """What `check` found.

    Attributes:
        samples: rows of the table.
        videos: different files.
        unreadable: videos that cannot be decoded, and samples whose start and end hold no frame.
        damaged: videos that can be decoded, and have frames that are known to be damaged. Training leaves these out.
        reported: videos of which FFmpeg logged errors, if every frame was decoded. Frames that it does not name may be
            damaged.
        duplicates: groups of files with the same content.
        leaks: groups of samples of the same content that lie in different splits, as `split: path`.
        overlaps: parts of one file or of its copies that share frames and lie in different splits, as pairs of `split:
            path[start-end]`. Each of them is of a group in `leaks` as well.
        conflicts: groups of samples of the same content and time with different labels, as `label: path`.
        shared_groups: groups (people, source videos) with samples in several splits. Some data sets mean it so.
        untrained: classes that the splits besides train have and train has not, as `class (split: samples)`.
        single: heads with one class alone, which nothing can be learned for.
        unequal: heads whose most frequent class has at least ten times the samples of the rarest, among those to learn
            from, with both in words.
        balance: head, split ('' for none), class name: samples.
        seconds: length of the samples.
        frames: number of frames of the samples.
        too_short: samples with fewer frames than one clip of the preprocessing that was given.
        frame_rates: frames per second, rounded to 0.01: videos.
        sizes: width x height: videos.
        codecs: name: videos.
        variable_frame_rate: videos whose frames are shown for different times.
    """

    samples: int
    videos: int
    unreadable: tuple[Problem, ...] = ()
    damaged: tuple[Problem, ...] = ()
    reported: tuple[Problem, ...] = ()
    duplicates: tuple[tuple[str, ...], ...] = ()
    leaks: tuple[tuple[str, ...], ...] = ()
    conflicts: tuple[tuple[str, ...], ...] = ()
    shared_groups: tuple[str, ...] = ()
    overlaps: tuple[tuple[str, str], ...] = ()
    untrained: tuple[str, ...] = ()
    single: tuple[str, ...] = ()
    unequal: tuple[str, ...] = ()
    balance: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    seconds: Spread | None = None
    frames: Spread | None = None
    too_short: int = 0
    frame_rates: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    codecs: dict[str, int] = field(default_factory=dict)
    variable_frame_rate: int = 0

    @property
    def ok(self) -> bool:
        """Nothing unreadable or damaged, nothing leaking, nothing labelled twice, and every class can be learned."""
        broken = self.unreadable or self.damaged or self.reported
        return not (broken or self.leaks or self.conflicts or self.untrained or self.single)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"ok": self.ok, **to_dict(self)}

    def __str__(self) -> str:
        lines = [f"{self.samples} samples of {self.videos} videos"]
        for title, problems in (
            ("unreadable", self.unreadable),
            ("with damaged frames", self.damaged),
            ("errors in FFmpeg's log", self.reported),
        ):
            lines += _section(title, [f"{problem.path}: {problem.reason}" for problem in problems])
        lines += _section("in two splits", ["  =  ".join(group) for group in self.leaks])
        lines += _section("parts that overlap, in two splits", ["  =  ".join(pair) for pair in self.overlaps])
        lines += _section("with two labels", ["  =  ".join(group) for group in self.conflicts])
        lines += _section("the same content under several names", ["  =  ".join(group) for group in self.duplicates])
        if self.shared_groups:
            lines.append(f"groups in several splits: {len(self.shared_groups)} ({', '.join(self.shared_groups[:10])})")
        for head, splits in self.balance.items():
            for split, counts in splits.items():
                rarest, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
                lines.append(
                    f"{head}{f', {split}' if split else ''}: {len(counts)} classes, {counts[rarest]} ({rarest}) to "
                    f"{counts[most]} ({most}) samples each"
                )
        if self.seconds and self.frames:
            lines.append(f"length: {self.seconds} s; {self.frames} frames")
        if self.too_short:
            lines.append(f"{self.too_short} samples have fewer frames than a clip")
        lines += _section("classes without a training video", self.untrained)
        lines += [f"{head}: one class alone; a classifier needs two at least" for head in self.single]
        lines += [
            f"{line}; class_weights='balanced' or balanced=True make up for it in training" for line in self.unequal
        ]
        for title, found in (("frames/s", self.frame_rates), ("size", self.sizes), ("codec", self.codecs)):
            lines.append(f"{title}: " + ", ".join(f"{name} ({count})" for name, count in list(found.items())[:6]))
        if self.variable_frame_rate:
            lines.append(f"{self.variable_frame_rate} videos have a variable frame rate")
        return "\n".join(lines)


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
    paths = list(by_path)
    looks: dict[str, _Look] = {}
    with ThreadPoolExecutor(threads or usable_cores()) as pool:
        jobs = pool.map(lambda path: _look(path, by_path[path], thorough), paths)
        for path, look in zip(paths, jobs, strict=True):
            looks[path] = look
            if progress is not None:
                progress(len(looks), len(paths))
    same = copies(paths, whole=True)
    unreadable = [Problem(path, look.problem) for path, look in looks.items() if look.problem is not None]
    unreadable += [Problem(path, reason) for path, look in looks.items() for reason in look.outside]
    good = [look for look in looks.values() if look.problem is None]
    windows = [piece for look in good for piece in look.windows]
    span = 0
    if preprocessing is not None:
        span = preprocessing.span if preprocessing.sampling == "dense" else preprocessing.num_frames
    return CheckReport(
        samples=len(table),
        videos=len(paths),
        unreadable=tuple(unreadable),
        damaged=tuple(Problem(path, look.damage) for path, look in looks.items() if look.damage),
        reported=tuple(Problem(path, look.logged) for path, look in looks.items() if look.logged),
        duplicates=tuple(tuple(group) for group in same),
        leaks=_leaks(by_path, same),
        conflicts=_conflicts(table, by_path, same),
        shared_groups=tuple(groups_in_several_splits(table.samples)),
        overlaps=_overlapping(table, by_path, same),
        untrained=_untrained(table),
        single=tuple(head for head, names in table.classes.items() if len(names) < 2),
        unequal=_unequal(table),
        balance=_balance(table),
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


def _groups(by_path: dict[str, list[Sample]], same: Sequence[Sequence[str]]) -> list[list[Sample]]:
    """Samples of each different content: files that are the same are one."""
    grouped = {path for group in same for path in group}
    return [
        *([sample for path in group for sample in by_path[path]] for group in same),
        *(samples for path, samples in by_path.items() if path not in grouped),
    ]


def _leaks(by_path: dict[str, list[Sample]], same: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """One video in two splits, whether as two files or as two parts of one."""
    found = []
    for group in _groups(by_path, same):
        if len({sample.split for sample in group if sample.split}) > 1:
            found.append(tuple(dict.fromkeys(f"{sample.split}: {sample.path}" for sample in group)))
    return tuple(found)


def _conflicts(
    table: Table, by_path: dict[str, list[Sample]], same: Sequence[Sequence[str]]
) -> tuple[tuple[str, ...], ...]:
    """The same frames under different labels."""
    found = []
    for group in _groups(by_path, same):
        by_time: dict[tuple[float | None, float | None], list[Sample]] = defaultdict(list)
        for sample in group:
            by_time[sample.start, sample.end].append(sample)
        for samples in by_time.values():
            named = {"/".join(table.class_names(sample)) + f": {sample.path}": sample.labels for sample in samples}
            if any(labels != samples[0].labels for labels in named.values()):
                found.append(tuple(named))
    return tuple(found)


def _overlapping(
    table: Table, by_path: dict[str, list[Sample]], same: Sequence[Sequence[str]]
) -> tuple[tuple[str, str], ...]:
    """Frames that are in two splits, where the parts of the files are not the same to the digit."""
    return tuple(
        (f"{one.split}: {table.key(one)}", f"{other.split}: {table.key(other)}")
        for group in _groups(by_path, same)
        if any(sample.start is not None or sample.end is not None for sample in group)
        for one, other in overlaps([sample for sample in group if sample.split])
    )


def _untrained(table: Table) -> tuple[str, ...]:
    """Classes of other splits that train lacks; nothing if there is no train yet, or none else."""
    if "train" not in table.splits:
        return ()
    found = []
    for head, names in untrained_classes(table).items():
        for name in names:
            index = table.classes[head].index(name)
            counts = Counter(sample.split or "no split" for sample in table.samples if sample.labels[head] == index)
            told = ", ".join(f"{split}: {count}" for split, count in sorted(counts.items()))
            found.append(f"{name if head == 'label' else f'{head} {name}'} ({told})")
    return tuple(found)


def _unequal(table: Table) -> tuple[str, ...]:
    found = []
    for head, splits in _balance(table).items():
        counts = {name: count for name, count in splits.get("train", splits.get("", {})).items() if count}
        if counts and max(counts.values()) >= UNEQUAL * min(counts.values()):
            most, rarest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
            found.append(f"{head}: {counts[most]} samples of {most!r} and {counts[rarest]} of {rarest!r} to learn from")
    return tuple(found)


def _balance(table: Table) -> dict[str, dict[str, dict[str, int]]]:
    balance: dict[str, dict[str, dict[str, int]]] = {}
    for head, names in table.classes.items():
        splits = sorted({sample.split or "" for sample in table.samples})
        balance[head] = {split: dict.fromkeys(names, 0) for split in splits}
        for sample in table.samples:
            balance[head][sample.split or ""][names[sample.labels[head]]] += 1
    return balance


def _spread(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    return Spread(min(values), statistics.median(values), max(values))


def _counted(values: Any) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _section(title: str, lines: Sequence[str], at_most: int = 10) -> list[str]:
    if not lines:
        return []
    more = [f"  and {len(lines) - at_most} more"] if len(lines) > at_most else []
    return [f"{title}: {len(lines)}", *(f"  {line}" for line in lines[:at_most]), *more]
