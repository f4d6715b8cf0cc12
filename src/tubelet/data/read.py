"""`read_table`: whatever describes a data set, made a `Table`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tubelet.config import DataConfig
from tubelet.config.data import TableFormat
from tubelet.data.annotations import FORMATS, detect_folder, detect_format
from tubelet.data.class_folders import read_folder
from tubelet.data.manifest import manifest_records
from tubelet.data.records import build_table
from tubelet.data.rows import read_rows
from tubelet.data.shard_reader import is_shards, read_shards
from tubelet.data.table import Table
from tubelet.errors import DataError
from tubelet.text import did_you_mean

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
    label_separator: str | None = None,
    one_hot: bool = False,
    background: str | None = None,
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
        label_separator, one_hot, background: several labels for a video, and the label that means none of the classes;
            see `tubelet.config.DataConfig`.

    Returns:
        the table; its `notes` say what was decided and left out.

    Raises:
        DataError: the source cannot be read, or says too little or too much; the error names the line.
    """
    options = TableFormat(
        format=format,
        labels=labels,
        split_column=split_column,
        group_column=group_column,
        video_root=video_root,
        nested=nested,
        allow_missing=allow_missing,
        label_separator=label_separator,
        one_hot=one_hot,
        background=background,
    )
    return read_source(source, options, classes=classes, allow_leaks=allow_leaks)


def read_configured(config: DataConfig, *, classes: Mapping[str, Sequence[str]] | None = None) -> Table:
    """`read_table` with the settings of a configuration.

    Raises:
        DataError: no source is named, or as `read_table`.
    """
    if config.source is None:
        raise DataError("no data was named; give a folder with a folder of videos for each class, or a CSV file")
    return read_source(config.source, config, classes=classes)


def read_source(
    source: str | Path,
    options: TableFormat,
    *,
    classes: Mapping[str, Sequence[str]] | None = None,
    allow_leaks: bool = False,
) -> Table:
    """`read_table` with its options as one object."""
    table = _read(source, options, classes, allow_leaks)
    if options.background is not None and not table.multi_label:
        names = [name for of_head in table.classes.values() for name in of_head]
        if options.background not in names:
            raise DataError(
                f"background={options.background!r} is no class of the data{did_you_mean(options.background, names)}"
            )
    return table


def _read(
    source: str | Path, options: TableFormat, classes: Mapping[str, Sequence[str]] | None, allow_leaks: bool
) -> Table:
    path = Path(os.path.abspath(Path(source).expanduser()))
    if not path.exists():
        raise DataError(f"{source} does not exist; expected a folder of videos or a CSV, TSV or JSONL file")
    known = options.format
    if known not in ("auto", "folder", "table", "shards", *FORMATS):
        raise DataError(f"unknown format {known!r}; use auto, folder, table, shards, {', '.join(FORMATS)}")
    columns = options.split_column or options.group_column or options.splits_cells or options.one_hot
    if known == "shards" or (known == "auto" and is_shards(path)):
        if columns or options.video_root:
            raise DataError(f"{source} holds shards, which know splits and places themselves; leave the columns out")
        return read_shards(path, options.labels, classes, allow_leaks=allow_leaks)
    notes: list[str] = []
    if path.is_dir() and known in ("auto", "table"):
        manifest = next((path / name for name in MANIFESTS if (path / name).is_file()), None)
        if manifest is not None:
            notes.append(f"read {manifest.name} of the folder; format 'folder' takes classes from folder names instead")
            path = manifest
    if known == "auto":
        known = detect_folder(path) if path.is_dir() else detect_format(path)
    root = path if path.is_dir() else path.parent
    conflicts = False
    if known in FORMATS:
        if options.labels or columns:
            raise DataError(f"the format {known!r} settles the columns itself; leave them out, or use format='table'")
        if options.format == "auto":
            plain = "folder" if path.is_dir() else "table"
            notes.append(
                f"{path.name} looks like the annotations of {FORMATS[known].title}; "
                f"format='{plain}' reads it as a {plain}"
            )
        root, conflicts = _video_root(options, root), True
        read = FORMATS[known].read(path, root)
        records, more = read.records, read.notes
        classes = classes if classes is not None else read.classes
    elif path.is_dir():
        if options.format == "table":
            raise DataError(f"{source} is a folder without {MANIFESTS[0]}; name the CSV, TSV or JSONL file")
        if options.labels or columns:
            raise DataError(
                f"{source} is a folder of class folders and has no columns; list the videos in a CSV for that"
            )
        records, more = read_folder(path, nested=options.nested, labelled=options.labels is None)
    else:
        if options.format == "folder":
            raise DataError(f"{source} is a file; the format 'folder' is a folder with a folder for each class")
        root = _video_root(options, root)
        records, more = manifest_records(read_rows(path), root, options)
    return build_table(
        records,
        str(root),
        [*notes, *more],
        classes=classes,
        allow_missing=options.allow_missing,
        allow_conflicts=conflicts,
        allow_leaks=allow_leaks,
    )


def _video_root(options: TableFormat, beside: Path) -> Path:
    return beside if options.video_root is None else Path(os.path.abspath(Path(options.video_root).expanduser()))
