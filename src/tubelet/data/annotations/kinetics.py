"""Kinetics-400, -600, -700: CSV files with label, youtube_id, time_start, time_end, split."""

from __future__ import annotations

from pathlib import Path

from tubelet.config.split_names import split_name
from tubelet.data.annotations.common import Annotations, Videos, split_files
from tubelet.data.columns import missing_columns, window_of
from tubelet.data.records import Record
from tubelet.data.rows import read_rows
from tubelet.errors import DataError

FILES = {"train": ["*train*.csv"], "val": ["*val*.csv"], "test": ["*test*.csv"]}


def read(path: Path, root: Path) -> Annotations:
    """Read one annotation file, or a folder with those of the splits.

    A video is looked for as `ID_000010_000020` (cut out already, as the usual download scripts name it), then as `ID`
    (the whole video, of which the seconds from start to end are used), anywhere below `root`.
    """
    videos = Videos(root)
    records = []
    for split, file in split_files(path, FILES, "Kinetics"):
        rows = read_rows(file)
        lacking = missing_columns(rows.header, ["label", "youtube_id", "time_start", "time_end"])
        if lacking:
            raise DataError(
                f"{file.name}: no column {', '.join(lacking)}; Kinetics has label, youtube_id, time_start, time_end"
            )
        for line, row in rows.rows:
            start, end = window_of(row["time_start"], row["time_end"], rows.where(line))
            if start is None or end is None:
                raise DataError(f"{rows.where(line)}: time_start and time_end are empty")
            if not row["label"] or not row["youtube_id"]:
                raise DataError(f"{rows.where(line)}: label or youtube_id is empty")
            cut = f"{row['youtube_id']}_{int(start):06d}_{int(end):06d}"
            trimmed, whole = videos.find(cut), videos.find(row["youtube_id"])
            named = row.get("split", "")
            records.append(
                Record(
                    trimmed or whole or videos.expected(f"{cut}.mp4"),
                    {"label": row["label"]},
                    start if whole and not trimmed else None,
                    end if whole and not trimmed else None,
                    split=split_name(named) if named else split,
                    group=row["youtube_id"],
                    line=rows.where(line),
                )
            )
    return Annotations(records)
