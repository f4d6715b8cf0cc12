"""Which videos of a data set a model was trained on, by the list that is kept with its weights."""

from __future__ import annotations

import dataclasses
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tubelet.config.split_names import split_name
from tubelet.data.content import content_key
from tubelet.data.table import Sample, Table
from tubelet.errors import DataError
from tubelet.provenance import USES, KnownVideo, Provenance, Use

THREADS = 16
"""Files that are read at once for their content; each is a few blocks, so the disk is waited for."""

NO_PROVENANCE = "the model does not say which videos it was trained on"


class LearnedFromAllError(DataError):
    """The model learned from every video that it was to be measured on."""


@dataclass(frozen=True)
class Selection:
    """The videos that a figure is measured on.

    Attributes:
        table: these videos.
        uses: of each, what the model, or one that it was started from, did with it; None for a new video.
        left_out: how many were left out because the model learned from them.
        unknown: why it is not known of all videos whether the model learned from them; None if it is.
    """

    table: Table
    uses: tuple[Use | None, ...]
    left_out: int
    unknown: str | None


def known_videos(
    table: Table, *, run: str, chooses: str | None, learns: Sequence[str] = ("train",)
) -> list[KnownVideo]:
    """What a run notes of its videos when it begins. Every file is opened for its content.

    Args:
        table: all videos that the run was given.
        run: its name.
        chooses: the split that chooses the weights; None if none does.
        learns: the splits that it learns from; a sample without a split counts as learned from.
    """
    learned = {split_name(name) for name in learns}

    def use(sample: Sample) -> Use:
        if sample.split is None or sample.split in learned:
            return "learned"
        return "chose" if chooses is not None and sample.split == split_name(chooses) else "held_out"

    contents = content_keys(table.samples)
    return [
        KnownVideo(run, use(sample), sample.split, os.path.realpath(sample.path), content, sample.start, sample.end)
        for sample, content in zip(table.samples, contents, strict=True)
    ]


def content_keys(samples: Sequence[Sample]) -> list[str | None]:
    """The fingerprint of each sample's file; None where it cannot be read. Each file is read once."""
    paths = list(dict.fromkeys(sample.path for sample in samples if sample.content is None))
    with ThreadPoolExecutor(THREADS, thread_name_prefix="tubelet-content") as pool:
        keys = dict(zip(paths, pool.map(content_key, paths), strict=True))
    return [sample.content or keys[sample.path] for sample in samples]


class KnownVideos:
    """The videos of some runs, to look up others in: by path, or by content under any path.

    Args:
        videos: of the runs.
        contents: fingerprints of samples by their paths, as far as they have been read; those that are read are added.
    """

    def __init__(self, videos: Iterable[KnownVideo], contents: dict[str, str | None] | None = None) -> None:
        self._contents = {} if contents is None else contents
        self._by_path: dict[str, list[KnownVideo]] = defaultdict(list)
        self._by_content: dict[str, list[KnownVideo]] = defaultdict(list)
        for video in videos:
            if video.path:
                self._by_path[video.path].append(video)
            if video.content is not None:
                self._by_content[video.content].append(video)

    def rows_of(self, samples: Sequence[Sample]) -> list[list[KnownVideo]]:
        """Of each sample the rows of the same file. Only files at unknown paths are opened."""
        paths = [os.path.realpath(sample.path) for sample in samples]
        unknown_paths = [
            sample
            for sample, path in zip(samples, paths, strict=True)
            if path not in self._by_path and sample.path not in self._contents
        ]
        self._contents.update(zip((sample.path for sample in unknown_paths), content_keys(unknown_paths), strict=True))
        found = []
        for sample, path in zip(samples, paths, strict=True):
            here = self._by_path.get(path, [])
            keys = {row.content for row in here} if here else {self._contents[sample.path]}
            copies = (row for key in keys if key for row in self._by_content.get(key, ()))
            found.append(list(dict.fromkeys([*here, *copies])))
        return found

    def uses_of(self, samples: Sequence[Sample]) -> list[Use | None]:
        """What the runs did with each sample; of several uses the one that weighs most, None for a new video.

        Within a run, the row of the same part of the file decides, unless another part of the file that overlaps it was
        learned from; where no row is of this part, all parts of the file count, since neighbouring seconds of a video
        are no new video.
        """
        found = []
        for sample, rows in zip(samples, self.rows_of(samples), strict=True):
            runs: dict[str, list[KnownVideo]] = defaultdict(list)
            for row in rows:
                runs[row.run].append(row)
            found.append(_heaviest(_use_in(run, sample) for run in runs.values()))
        return found


def uses_of(table: Table, provenance: Provenance, contents: dict[str, str | None] | None = None) -> list[Use | None]:
    """What the runs of a chain did with each sample of a table (`KnownVideos.uses_of`)."""
    return KnownVideos(provenance.videos, contents).uses_of(table.samples)


def with_known_splits(table: Table, provenance: Provenance, contents: dict[str, str | None] | None = None) -> Table:
    """A table without splits gets those that its samples had in the run; new samples get none. Others stay as they are.

    So a data set that was moved, or that is read again without its splits, is divided as it was in training.
    """
    if provenance.run is None or any(sample.split is not None for sample in table.samples):
        return table
    own = [video for video in provenance.videos if video.run == provenance.run]
    samples = []
    for sample, rows in zip(table.samples, KnownVideos(own, contents).rows_of(table.samples), strict=True):
        same = [row for row in rows if (row.start, row.end) == (sample.start, sample.end)] or rows
        splits = {row.split for row in same}
        samples.append(dataclasses.replace(sample, split=splits.pop() if len(splits) == 1 else None))
    return dataclasses.replace(table, samples=tuple(samples))


def select_unlearned(
    table: Table, provenance: Provenance | None, *, split: str | None = None, include_learned: bool = False
) -> Selection:
    """The videos of a split, without those that the model or one that it was started from learned from.

    Args:
        table: with splits, or without (see `with_known_splits`).
        provenance: of the model; None if it has none, which `Selection.unknown` then says.
        split: of these samples alone. The split `train` is asked for by its name, and nothing of it is left out.
        include_learned: leave nothing out; `Selection.uses` says what was learned from.

    Raises:
        DataError: no such split.
        LearnedFromAllError: nothing is left.
    """
    contents: dict[str, str | None] = {}
    if provenance is not None:
        table = with_known_splits(table, provenance, contents)
    table = table.split(split) if split is not None else table
    if provenance is None:
        return Selection(table, (None,) * len(table), 0, NO_PROVENANCE)
    uses = uses_of(table, provenance, contents)
    unknown = None
    if provenance.unknown:
        unknown = f"{', '.join(provenance.unknown)}, which the weights come from, does not list its training videos"
    if include_learned or (split is not None and split_name(split) == "train"):
        return Selection(table, tuple(uses), 0, unknown)
    kept = [number for number, use in enumerate(uses) if use != "learned"]
    if not kept:
        where = f"all {len(table)} videos" + (f" of {split!r}" if split is not None else "")
        raise LearnedFromAllError(
            f"the model, or one that it was started from, learned from {where}, so nothing can be measured on them: "
            "name other videos; include_learned=True (--include-learned) measures on them all the same"
        )
    return Selection(table.select(kept), tuple(uses[number] for number in kept), len(table) - len(kept), unknown)


def _use_in(rows: Sequence[KnownVideo], sample: Sample) -> Use | None:
    """What one run did with a sample, from its rows of the same file."""
    same = [row for row in rows if (row.start, row.end) == (sample.start, sample.end)]
    overlapping = [row for row in rows if _overlap(row, sample)]
    return _heaviest(row.use for row in ([*same, *overlapping] if same else rows))


def _overlap(row: KnownVideo, sample: Sample) -> bool:
    """Whether two parts of one file share time; a missing bound is that of the file."""
    first, second = (row.start or 0.0, row.end), (sample.start or 0.0, sample.end)
    return (first[1] is None or first[1] > second[0]) and (second[1] is None or second[1] > first[0])


def _heaviest(uses: Iterable[Use | None]) -> Use | None:
    there = set(uses)
    return next((use for use in USES if use in there), None)
