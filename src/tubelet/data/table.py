"""A data set as a table: samples with labels and splits, and the names of the classes."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tubelet.config.split_names import split_name
from tubelet.errors import DataError
from tubelet.text import count, did_you_mean
from tubelet.video.file_part import FilePart


@dataclass(frozen=True)
class Sample:
    """A video, or the part of it from `start` to `end`, with what it shows.

    Attributes:
        path: of the file or the folder of frames.
        labels: head name to class index. Empty without labels.
        label_sets: multi-label heads: head name to the indices of all classes that are shown, ascending; () for none.
        start: seconds from the start of the file, as players count them; None is the beginning.
        end: seconds; None is the end.
        split: `train`, `val`, `test` or another name (`validation` and the like become `val`); None is not decided yet.
        group: a person, a source video: what must not be divided between splits that are made.
        content: fingerprint of the video that it was made from (`tubelet.data.content_key`), where the file is another
            encoding of it, as in shards; None if the file is the video itself.
    """

    path: str
    labels: dict[str, int]
    start: float | None = None
    end: float | None = None
    split: str | None = None
    group: str | None = None
    content: str | None = dataclasses.field(default=None, compare=False)
    label_sets: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.split is not None:
            object.__setattr__(self, "split", split_name(self.split))

    @property
    def shown(self) -> dict[str, tuple[int, ...]]:
        """Head name to all classes that are shown: one, or those of a multi-label head."""
        return {**{head: (index,) for head, index in self.labels.items()}, **self.label_sets}


@dataclass(frozen=True, repr=False)
class Table:
    """A data set.

    Attributes:
        samples: in the order of the source.
        classes: head name to class names, in the order of their indices. A single head is called `label`.
        root: folder that sample keys are relative to.
        notes: what reading decided or left out, one sentence each, to be shown to the user.
        multi_label: heads whose samples may show several classes, or none (`Sample.label_sets`).
    """

    samples: tuple[Sample, ...]
    classes: dict[str, list[str]]
    root: str
    notes: tuple[str, ...] = ()
    multi_label: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        return f"Table({self.describe()})"

    @property
    def heads(self) -> dict[str, int]:
        """Number of classes by head, as `ModelConfig.num_classes` takes it."""
        return {head: len(names) for head, names in self.classes.items()}

    @property
    def splits(self) -> dict[str, int]:
        """Number of samples by split; those that have none are counted under ''."""
        return dict(Counter(sample.split or "" for sample in self.samples))

    def key(self, sample: Sample) -> str:
        """The lasting name of a sample: its path from the root, with / between folders, and the seconds of a part.

        In shards the path is that of the video before it was put there.
        """
        part = FilePart.parse(sample.path)
        path = os.path.relpath(sample.path, self.root).replace(os.sep, "/") if part is None else part.name
        if sample.start is None and sample.end is None:
            return path
        start, end = ("" if time is None else f"{time:.3f}" for time in (sample.start, sample.end))
        return f"{path}[{start}-{end}]"

    def class_names(self, sample: Sample) -> list[str]:
        """The class names of a sample, by head; those of a multi-label head as a list in JSON."""
        shown = {head: [names[index] for index in sample.shown[head]] for head, names in self.classes.items()}
        return [
            json.dumps(names, ensure_ascii=False) if head in self.multi_label else names[0]
            for head, names in shown.items()
        ]

    def split(self, name: str) -> Table:
        """The samples of one split; `validation` and the like are understood.

        Raises:
            DataError: it has no sample.
        """
        wanted = split_name(name)
        chosen = [sample for sample in self.samples if sample.split == wanted]
        if not chosen:
            there = ", ".join(f"{split or 'no split'} ({count})" for split, count in sorted(self.splits.items()))
            raise DataError(f"no sample in the split {name!r}; there are: {there}")
        return dataclasses.replace(self, samples=tuple(chosen))

    def select(self, indices: Iterable[int]) -> Table:
        """These samples, in this order."""
        return dataclasses.replace(self, samples=tuple(self.samples[index] for index in indices))

    def with_splits(self, split_of: Callable[[Sample], str | None]) -> Table:
        """The same samples in other splits."""
        changed = tuple(dataclasses.replace(sample, split=split_of(sample)) for sample in self.samples)
        return dataclasses.replace(self, samples=changed)

    def with_classes(self, classes: Mapping[str, Sequence[str]], multi_label: Sequence[str] | None = None) -> Table:
        """The same samples with the class indices of another table or of a model (`model.labels`).

        Args:
            classes: head to class names.
            multi_label: heads of these that are multi-label; None leaves them as they are here. One class becomes a set
                of one.

        Raises:
            DataError: a head or a class of a sample that is not among `classes`; or several classes for a head that
                gives one.
        """
        if multi_label is not None:
            return self._with_sets(multi_label).with_classes(classes)
        if set(classes) != set(self.classes):
            raise DataError(
                f"the data has labels for {', '.join(self.classes) or 'nothing'}, "
                f"expected {', '.join(classes) or 'nothing'}"
            )
        maps: dict[str, list[int]] = {}
        for head, names in self.classes.items():
            known = {name: index for index, name in enumerate(classes[head])}
            used = {index for sample in self.samples for index in sample.shown[head]}
            for index in used:
                if names[index] not in known:
                    raise DataError(
                        f"class {names[index]!r} is not among the expected ones{did_you_mean(names[index], known)}"
                        + ("; label_separator says what stands between labels" if head in self.multi_label else "")
                    )
            maps[head] = [known.get(name, -1) for name in names]
        samples = tuple(
            dataclasses.replace(
                sample,
                labels={head: maps[head][index] for head, index in sample.labels.items()},
                label_sets={
                    head: tuple(sorted(maps[head][index] for index in shown))
                    for head, shown in sample.label_sets.items()
                },
            )
            for sample in self.samples
        )
        return dataclasses.replace(self, samples=samples, classes={head: list(classes[head]) for head in self.classes})

    def counts(self, head: str) -> list[int]:
        """Samples of each class of a head."""
        found = Counter(index for sample in self.samples for index in sample.shown[head])
        return [found[index] for index in range(len(self.classes[head]))]

    def _with_sets(self, multi_label: Sequence[str]) -> Table:
        for head in self.multi_label:
            if head not in multi_label:
                raise DataError(
                    f"the data has several labels for a video ({head}), and one class was expected; label_separator="
                    f"'none' takes every cell for one class"
                )
        new = [head for head in multi_label if head in self.classes and head not in self.multi_label]
        samples = tuple(
            dataclasses.replace(
                sample,
                labels={head: index for head, index in sample.labels.items() if head not in new},
                label_sets={**sample.label_sets, **{head: (sample.labels[head],) for head in new}},
            )
            for sample in self.samples
        )
        return dataclasses.replace(self, samples=samples, multi_label=(*self.multi_label, *new))

    def describe(self) -> str:
        """One line: how many samples, classes and splits."""
        heads = [
            (count(len(names), "class", "classes") if head == "label" else f"{len(names)} {head} classes")
            + (" (multi-label)" if head in self.multi_label else "")
            for head, names in self.classes.items()
        ]
        parts = [count(len(self), "sample"), *(heads or ["no labels"])]
        named = {split: count for split, count in self.splits.items() if split}
        if named:
            order = {"train": 0, "val": 1, "test": 2}
            ordered = sorted(named.items(), key=lambda item: (order.get(item[0], 3), item[0]))
            parts.append(" / ".join(f"{count} {split}" for split, count in ordered))
        return ", ".join(parts)
