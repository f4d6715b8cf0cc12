"""A data set in shards: tar files of bounded size, and an index that says where in them each video lies.

    out/train-000000.tar      00000012.mp4 and 00000012.json, and so on: what the package webdataset reads
    out/index.jsonl           a line for each sample, in the order of the data set
    out/shards.json           classes, settings, the size of every shard; written last
    out/failures.jsonl        videos that could not be read and are left out

Through the index a video is a part of a file (`FilePart`), so the samples are a table like any other: shuffling,
splits, workers and exact resume are those of loose files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tubelet.data.given_splits import check_given_splits
from tubelet.data.table import Sample, Table
from tubelet.errors import DataError
from tubelet.json_files import iterate_json_lines, read_json_object
from tubelet.text import did_you_mean
from tubelet.video import FilePart

DESCRIPTION, INDEX, FAILURES = "shards.json", "index.jsonl", "failures.jsonl"
PREPARING = ".preparing"
"""Folder in which a preparation keeps what it needs to go on; gone when all is done."""

FORMAT = 1
DAMAGED = "prepare the data again"
"""What to do where a file beside the shards is damaged."""


def is_shards(folder: Path) -> bool:
    """Whether a folder holds shards, finished or not."""
    return (folder / DESCRIPTION).is_file() or (folder / PREPARING).is_dir()


def read_shards(
    folder: Path,
    labels: Sequence[str] | Mapping[str, str] | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
    *,
    allow_leaks: bool = False,
) -> Table:
    """The table of a folder that `tubelet data prepare` wrote; the arguments are those of `read_table`.

    Raises:
        DataError: the folder is not finished, a shard is missing or cut off, or the same frames are in two splits.
    """
    if not (folder / DESCRIPTION).is_file():
        raise DataError(
            f"{folder} holds no finished shards; go on with the `tubelet data prepare` that was stopped, "
            "with the same words"
        )
    description = read_description(folder)
    _require_whole(folder, description["shards"])
    heads = _heads(labels, description["classes"])
    names = {head: description["classes"][stored] for head, stored in heads.items()}
    index = {head: {name: number for number, name in enumerate(known)} for head, known in names.items()}
    several = tuple(head for head, stored in heads.items() if stored in description.get("multi_label", ()))
    samples = []
    for number, row in iterate_json_lines(folder / INDEX, DAMAGED):
        try:
            part = FilePart(str(folder / row["shard"]), row["offset"], row["length"], row["path"])
            named = row["labels"]
            single = {head: index[head][named[stored]] for head, stored in heads.items() if head not in several}
            sets = {head: tuple(sorted(index[head][name] for name in named[heads[head]])) for head in several}
            content = row.get("content")  # shards of older versions have none
            times = row["start"], row["end"]
            samples.append(Sample(str(part), single, *times, row["split"], row["group"], content, sets))
        except (KeyError, TypeError) as error:
            raise DataError(f"{folder / INDEX} line {number} is damaged ({error!r}); {DAMAGED}") from error
    if len(samples) != description["samples"]:
        raise DataError(
            f"{folder / INDEX} has {len(samples)} lines, expected {description['samples']}: cut off; copy it again"
        )
    notes = check_given_splits(samples, lambda sample: f"{sample.path}: {sample.split}", refuse=not allow_leaks)
    table = Table(tuple(samples), names, str(folder), (*_notes(description), *notes), several)
    return table if classes is None else table.with_classes(classes)


def read_description(folder: Path) -> dict[str, Any]:
    """Read `shards.json`; a DataError if it is damaged, or of another version."""
    path = folder / DESCRIPTION
    description = read_json_object(path, DAMAGED)
    if description.get("format") != FORMAT:
        raise DataError(f"{path} is not of format {FORMAT}, which this version reads; {DAMAGED}")
    return description


def _heads(labels: Sequence[str] | Mapping[str, str] | None, stored: Mapping[str, Any]) -> dict[str, str]:
    """Names of heads here, to the names they were stored under."""
    if labels is None:
        return {head: head for head in stored}
    wanted = dict(labels) if isinstance(labels, Mapping) else {head: head for head in labels}
    if not isinstance(labels, Mapping) and len(wanted) == 1:
        wanted = {"label": labels[0]}
    for head in wanted.values():
        if head not in stored:
            raise DataError(f"the shards have no labels {head!r}{did_you_mean(head, stored)}")
    return wanted


def _require_whole(folder: Path, shards: Mapping[str, Any]) -> None:
    for name, facts in shards.items():
        path = folder / name
        if not path.is_file():
            raise DataError(f"the shard {path} is missing; copy it again, or prepare the data again")
        if path.stat().st_size != facts["bytes"]:
            raise DataError(
                f"the shard {path} has {path.stat().st_size} bytes, expected {facts['bytes']}; copy it again"
            )


def _notes(description: Mapping[str, Any]) -> tuple[str, ...]:
    left_out = description["left_out"]
    if not left_out:
        return ()
    return (f"{left_out} videos could not be read when the shards were prepared and are not in them ({FAILURES})",)
