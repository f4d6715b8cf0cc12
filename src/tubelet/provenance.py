"""The videos that a model was trained on, listed beside its weights, so that it is not evaluated on them.

provenance.csv   run, use, split, start, end, content, path: one row for each video of each run in the chain
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from tubelet.errors import DataError

PROVENANCE_FILE = "provenance.csv"
COLUMNS = ("run", "use", "split", "start", "end", "content", "path")

Use = Literal["learned", "chose", "held_out"]
"""Of a video in a run: trained on, used to choose the weights (validation), or neither."""

USES: tuple[Use, ...] = get_args(Use)
"""The weightiest first."""

UNKNOWN = "unknown"
"""In the column `use`: the row names weights that the chain started from and that do not list their videos."""


@dataclass(frozen=True)
class KnownVideo:
    """A video, or the part of it from `start` to `end`, in one run.

    Attributes:
        run: name of the run; different for every run of a chain.
        use: what that run did with it.
        split: its split there; None without splits.
        path: where it was, absolute, links resolved; empty where only its content is known.
        content: fingerprint of its bytes (`tubelet.data.content_key`); None if it could not be read.
        start: seconds; None is the beginning.
        end: seconds; None is the end.
    """

    run: str
    use: Use
    split: str | None
    path: str
    content: str | None
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class Provenance:
    """The videos of a run and of the runs that it was started from.

    Attributes:
        videos: of all runs, the earliest run first.
        unknown: weights in the chain that do not list their videos (a Hub id, an image model).
    """

    videos: tuple[KnownVideo, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def run(self) -> str | None:
        """The last run of the chain, which gave the weights; None without any."""
        return self.videos[-1].run if self.videos else None

    def __deepcopy__(self, memo: dict[int, Any]) -> Provenance:
        return self  # nothing in it changes, and a copied model has the same

    def followed_by(self, run: str, videos: Iterable[KnownVideo]) -> Provenance:
        """The chain with one more run at its end, named `run` or, if that name is taken, `run-2`, `run-3`, ..."""
        taken = {video.run for video in self.videos}
        name, number = run, 1
        while name in taken:
            number += 1
            name = f"{run}-{number}"
        return replace(self, videos=(*self.videos, *(replace(video, run=name) for video in videos)))

    def without_paths(self) -> Provenance:
        """The same for publication: videos by their content alone, weights by the last part of their name."""
        known = (replace(video, path="") for video in self.videos if video.content is not None)
        return replace(self, videos=tuple(known), unknown=tuple(Path(source).name for source in self.unknown))

    def write(self, path: Path) -> None:
        """Write the list as CSV."""
        with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(COLUMNS)
            rows.writerows([source, UNKNOWN, *[""] * (len(COLUMNS) - 2)] for source in self.unknown)
            for video in self.videos:
                values = (getattr(video, name) for name in COLUMNS)
                rows.writerow(["" if value is None else value for value in values])

    @classmethod
    def read(cls, path: Path) -> Provenance:
        """Read the list; a DataError if it is damaged."""
        try:
            with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
                reader = csv.DictReader(file, strict=True)
                rows = list(reader)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise ValueError(f"its columns are not {', '.join(COLUMNS)}")
            for number, row in enumerate(rows, start=1):
                if None in row or None in row.values():
                    raise ValueError(f"row {number} has not {len(COLUMNS)} values")
            unknown = tuple(row["run"] for row in rows if row["use"] == UNKNOWN)
            return cls(tuple(_video(row) for row in rows if row["use"] != UNKNOWN), unknown)
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise DataError(
                f"{path} cannot be read ({error!r}); it lists the videos that the model learned from: restore it, or "
                "remove it and have all videos count as unknown"
            ) from error


def _video(row: dict[str, Any]) -> KnownVideo:
    if row["use"] not in USES:
        raise ValueError(f"use {row['use']!r} is none of {', '.join(USES)}")
    start, end = (float(row[name]) if row[name] else None for name in ("start", "end"))
    if not all(math.isfinite(time) for time in (start, end) if time is not None):
        raise ValueError(f"a part from {start} to {end} seconds")
    return KnownVideo(
        row["run"],
        row["use"],
        row["split"] or None,
        row["path"],
        row["content"] or None,
        start,
        end,
    )
