"""What `check` found, as data and as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tubelet.config import to_dict
from tubelet.text import listing

SHOWN = 10
"""Entries of a list in the text."""


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
            lines.append(f"groups in several splits: {len(self.shared_groups)} ({listing(self.shared_groups, SHOWN)})")
        lines += self._balance_lines()
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

    def _balance_lines(self) -> Iterator[str]:
        for head, splits in self.balance.items():
            for split, counts in splits.items():
                rarest, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
                yield (
                    f"{head}{f', {split}' if split else ''}: {len(counts)} classes, {counts[rarest]} ({rarest}) to "
                    f"{counts[most]} ({most}) samples each"
                )


def _section(title: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    more = [f"  and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [f"{title}: {len(lines)}", *(f"  {line}" for line in lines[:SHOWN]), *more]
