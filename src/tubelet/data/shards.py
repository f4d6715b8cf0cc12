"""A data set in shards: tar files of bounded size, and an index that says where in them each video lies.

    out/train-000000.tar      00000012.mp4 and 00000012.json, and so on: what the package webdataset reads
    out/index.jsonl           a line for each sample, in the order of the data set
    out/shards.json           classes, settings, the size of every shard; written last
    out/failures.jsonl        videos that could not be read and are left out

Through the index a video is a part of a file (`FilePart`), so the samples are a table like any other: shuffling,
splits, workers and exact resume are those of loose files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tubelet.data.table import Sample, Table
from tubelet.data.units import check_given_splits
from tubelet.errors import DataError
from tubelet.text import did_you_mean
from tubelet.video import FilePart

DESCRIPTION, INDEX, FAILURES = "shards.json", "index.jsonl", "failures.jsonl"
PREPARING = ".preparing"
"""Folder in which a preparation keeps what it needs to go on; gone when all is done."""

FORMAT = 1


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
    """The table of a folder that `tubelet data prepare` wrote.

    Args:
        folder: with `shards.json`.
        labels: heads to keep; a mapping gives them other names. None keeps all.
        classes: class names by head in a settled order.
        allow_leaks: see `read_table`.

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
    samples = []
    for number, line in enumerate((folder / INDEX).read_text(encoding="utf-8").removesuffix("\n").split("\n"), 1):
        try:
            row = json.loads(line)
            part = FilePart(str(folder / row["shard"]), row["offset"], row["length"], row["path"])
            found = {head: index[head][row["labels"][stored]] for head, stored in heads.items()}
            times = row["start"], row["end"]
            content = row.get("content")  # shards of older versions have none
            samples.append(Sample(str(part), found, *times, row["split"], row["group"], content))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise DataError(f"{folder / INDEX} line {number} is damaged ({error!r}); prepare the data again") from error
    if len(samples) != description["samples"]:
        raise DataError(
            f"{folder / INDEX} has {len(samples)} lines, expected {description['samples']}: cut off; copy it again"
        )
    notes = check_given_splits(samples, lambda sample: f"{sample.path}: {sample.split}", refuse=not allow_leaks)
    table = Table(tuple(samples), names, str(folder), (*_notes(description), *notes))
    return table if classes is None else table.with_classes(classes)


def read_description(folder: Path) -> dict[str, Any]:
    """What `shards.json` says.

    Raises:
        DataError: it cannot be read, or is of another version.
    """
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise DataError(f"{path} is not of format {FORMAT}, which this version reads; prepare the data again")
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
