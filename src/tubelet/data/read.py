"""`read_table`: whatever describes a data set, made a `Table`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tubelet.config import DataConfig
from tubelet.data.annotations import FORMATS, detect_folder, detect_format
from tubelet.data.columns import (
    columns_for,
    find_column,
    frames_per_second,
    label_columns,
    name_in,
    named_column,
    unread_note,
    window_columns,
    window_of,
)
from tubelet.data.folder import read_folder
from tubelet.data.records import Record, build_table
from tubelet.data.rows import Rows, read_rows
from tubelet.data.shards import is_shards, read_shards
from tubelet.data.table import Table, split_name
from tubelet.errors import DataError

MANIFESTS = ("manifest.csv", "manifest.tsv", "manifest.jsonl")
"""A folder that holds one of these is read through it."""


def read_table(
    source: str | Path,
    *,
    labels: Sequence[str] | Mapping[str, str] | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    format: str = "auto",
    video_root: str | Path | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
    nested: bool = False,
    allow_missing: bool = False,
    allow_leaks: bool = False,
) -> Table:
    """Read the description of a data set.

    Args:
        source: a folder with a folder for each class (below `train`, `val`, `test`, if there are splits); a CSV, TSV or
            JSONL file with `path`, `label` and perhaps `start`, `end`, `split`, `group`; a folder that holds such a
            file as `manifest.csv`; or the annotation file of a known data set, or the folder of its files (see
            `format`); or shards.
        labels: columns that hold labels. One makes the head `label`, several make heads of their own names; a mapping
            gives head names to columns. None looks for a column called label, class or similar. Empty: no labels at
            all.
        split_column: column that says which split a row belongs to. None looks for one called split or similar.
        group_column: column that says what must not be divided between splits that are made later. None looks for
            `group`.
        format: `auto`, `folder`, `table`, or a known data set's annotations: `kinetics`, `something`, `epic`,
            `moments`; or `shards`, a folder that `tubelet data prepare` wrote.
        video_root: folder that paths start from; None is the folder that the file lies in.
        classes: class names by head in a settled order, a model's `labels` for example.
        nested: for folders: every folder with videos is a class, named by its path.
        allow_missing: leave out videos that do not exist and say so, instead of an error that names them.
        allow_leaks: keep videos whose frames are in two of the given splits and say so, instead of an error that names
            them: to look at the data, not to learn from it.

    Returns:
        the table; its `notes` say what was decided and left out.

    Raises:
        DataError: the source cannot be read, or says too little or too much; the error names the line.
    """
    path = Path(os.path.abspath(Path(source).expanduser()))
    if not path.exists():
        raise DataError(f"{source} does not exist; expected a folder of videos or a CSV, TSV or JSONL file")
    if format not in ("auto", "folder", "table", "shards", *FORMATS):
        raise DataError(f"unknown format {format!r}; use auto, folder, table, shards, {', '.join(FORMATS)}")
    if format == "shards" or (format == "auto" and is_shards(path)):
        if split_column or group_column or video_root:
            raise DataError(f"{source} holds shards, which know splits and places themselves; leave the columns out")
        return read_shards(path, labels, classes, allow_leaks=allow_leaks)
    notes: list[str] = []
    if path.is_dir() and format in ("auto", "table"):
        manifest = next((path / name for name in MANIFESTS if (path / name).is_file()), None)
        if manifest is not None:
            notes.append(f"read {manifest.name} of the folder; format 'folder' takes classes from folder names instead")
            path = manifest
    known = format
    if format == "auto":
        known = detect_folder(path) if path.is_dir() else detect_format(path)
    if path.is_dir() and known not in FORMATS:
        if format == "table":
            raise DataError(f"{source} is a folder without {MANIFESTS[0]}; name the CSV, TSV or JSONL file")
        if labels or split_column or group_column:
            raise DataError(
                f"{source} is a folder of class folders and has no columns; list the videos in a CSV for that"
            )
        records, more = read_folder(path, nested=nested, labelled=labels is None)
        return build_table(
            records,
            str(path),
            [*notes, *more],
            classes=classes,
            allow_missing=allow_missing,
            allow_leaks=allow_leaks,
        )
    if format == "folder":
        raise DataError(f"{source} is a file; the format 'folder' is a folder with a folder for each class")
    beside = path if path.is_dir() else path.parent
    root = Path(os.path.abspath(Path(video_root).expanduser())) if video_root is not None else beside
    if known in FORMATS:
        if labels or split_column or group_column:
            raise DataError(f"the format {known!r} settles the columns itself; leave them out, or use format='table'")
        if format == "auto":
            plain = "folder" if path.is_dir() else "table"
            notes.append(
                f"{path.name} looks like the annotations of {FORMATS[known].title}; "
                f"format='{plain}' reads it as a {plain}"
            )
        read = FORMATS[known].read(path, root)
        return build_table(
            read.records,
            str(root),
            [*notes, *read.notes],
            classes=classes if classes is not None else read.classes,
            allow_missing=allow_missing,
            allow_conflicts=True,
            allow_leaks=allow_leaks,
        )
    rows = read_rows(path)
    records, more = _records(rows, root, labels, split_column, group_column)
    return build_table(
        records, str(root), [*notes, *more], classes=classes, allow_missing=allow_missing, allow_leaks=allow_leaks
    )


def read_configured(config: DataConfig, *, classes: Mapping[str, Sequence[str]] | None = None) -> Table:
    """`read_table` with the settings of a configuration.

    Raises:
        DataError: no source is named, or as `read_table`.
    """
    if config.source is None:
        raise DataError("no data was named; give a folder with a folder of videos for each class, or a CSV file")
    return read_table(
        config.source,
        labels=config.labels,
        split_column=config.split_column,
        group_column=config.group_column,
        format=config.format,
        video_root=config.video_root,
        classes=classes,
        nested=config.nested,
        allow_missing=config.allow_missing,
    )


def _records(
    rows: Rows,
    root: Path,
    labels: Sequence[str] | Mapping[str, str] | None,
    split_column: str | None,
    group_column: str | None,
) -> tuple[list[Record], list[str]]:
    header, notes = rows.header, []
    if not rows.rows:
        raise DataError(f"{rows.name}: no rows below the header")
    path_column = find_column(header, "path")
    if path_column is None:
        raise DataError(f"{rows.name}: no column is called path, video or file; the columns are: {', '.join(header)}")
    heads = {} if labels is not None and not labels else label_columns(header, labels, rows.name)
    if labels is None:
        others = [column for column in header if find_column([column], "label") and column not in heads.values()]
        if others:
            notes.append(
                f"labels are taken from the column {heads['label']!r}; {', '.join(others)} could be meant as well"
            )
    split = named_column(header, split_column, rows.name) if split_column else find_column(header, "split")
    group = named_column(header, group_column, rows.name) if group_column else find_column(header, "group")
    start, end = window_columns(header)
    rate = find_column(header, "frame rate") if start or end else None
    named = set()
    for meaning, column in (("path", path_column), ("start", start), ("end", end)):
        others = [other for other in columns_for(header, meaning) if other != column]
        named |= set(others)
        if others:
            notes.append(f"{meaning} is taken from the column {column!r}; {', '.join(others)} could be meant as well")
    records = []
    for line, row in rows.rows:
        where = rows.where(line)
        if not row[path_column]:
            raise DataError(f"{where}: the path is empty")
        names = {head: name_in(row[column], column, where) for head, column in heads.items()}
        for head, name in names.items():
            if not name:
                raise DataError(
                    f"{where}: the label in column {heads[head]!r} is empty; fill it in or leave the row out"
                )
        times = window_of(row[start] if start else "", row[end] if end else "", where)
        records.append(
            Record(
                os.path.normpath(root / row[path_column]),
                names,
                *times,
                split=(split_name(name_in(row[split], split, where)) or None) if split else None,
                group=(name_in(row[group], group, where) or None) if group else None,
                line=where,
                frame_rate=frames_per_second(row[rate], where) if rate else None,
            )
        )
    if rate and not any(os.path.isdir(record.path) for record in records):
        rate = None
    read = {path_column, *heads.values(), split, group, start, end, rate, *named}
    return records, [*notes, *unread_note(header, read, group)]
