"""EPIC-Kitchens-100 (and -55): CSV files of segments with a verb class and a noun class each."""

from __future__ import annotations

from pathlib import Path

from tubelet.data.annotations.common import LONGEST, Annotations, Videos, in_order, split_files
from tubelet.data.columns import missing_columns, window_of
from tubelet.data.records import Record
from tubelet.data.rows import read_rows
from tubelet.errors import DataError

FILES = {"train": ["EPIC_*train.csv", "*train_action_labels.csv"], "val": ["EPIC_*validation.csv"]}
CLASS_FILES = {"verb": ["EPIC_*verb_classes*.csv"], "noun": ["EPIC_*noun_classes*.csv"]}
COLUMNS = ["video_id", "start_timestamp", "stop_timestamp", "verb_class", "noun_class"]


def read(path: Path, root: Path) -> Annotations:
    """Read one annotation file, or a folder with those of the splits; heads `verb` and `noun`.

    Class names come from EPIC_100_verb_classes.csv and EPIC_100_noun_classes.csv beside it. Videos are `P01_01` with
    any suffix below `root`, or folders of their frames. The group of a segment is its participant.
    """
    videos = Videos(root)
    folder = path if path.is_dir() else path.parent
    classes = {head: _classes(folder, patterns) for head, patterns in CLASS_FILES.items()}
    records = []
    for split, file in split_files(path, FILES, "EPIC-Kitchens"):
        rows = read_rows(file)
        lacking = missing_columns(rows.header, COLUMNS)
        if lacking:
            raise DataError(f"{file.name}: no column {', '.join(lacking)}; the test splits have no labels")
        for line, row in rows.rows:
            where = rows.where(line)
            start, end = window_of(row["start_timestamp"], row["stop_timestamp"], where)
            labels = {head: _name(row[f"{head}_class"], names, where) for head, names in classes.items()}
            found = videos.find(row["video_id"]) or videos.expected(f"{row['video_id']}.MP4")
            group = row.get("participant_id") or row["video_id"].partition("_")[0]
            rate = _frame_rate(row.get("stop_frame", ""), end)
            if rate is None and Path(found).is_dir():
                raise DataError(
                    f"{where}: {row['video_id']} is a folder of frames, and nothing says how many of them are a "
                    "second; the column stop_frame does, as EPIC-Kitchens has it"
                )
            records.append(Record(found, labels, start, end, split=split, group=group, line=where, frame_rate=rate))
    known = {head: names for head, names in classes.items() if names is not None}
    if len(known) == len(classes):
        return Annotations(records, known)
    return Annotations(
        records,
        None,
        [f"no EPIC_100_verb_classes.csv and EPIC_100_noun_classes.csv in {folder}: classes are called by number"],
    )


def _classes(folder: Path, patterns: list[str]) -> list[str] | None:
    """Names in the order of their numbers; None without a file."""
    file = next((file for pattern in patterns for file in sorted(folder.glob(pattern))), None)
    if file is None:
        return None
    rows = read_rows(file)
    number = "id" if "id" in rows.header else rows.header[0]
    name = "key" if "key" in rows.header else "class_key"
    if name not in rows.header:
        raise DataError(f"{file.name}: no column key; EPIC-Kitchens has id, key, instances")
    return in_order({row[name]: row[number] for _, row in rows.rows}, file.name)


def _frame_rate(frame: str, seconds: float | None) -> float | None:
    """Frames per second of a video's frames, by the number of a segment's last one. They differ from video to video."""
    return int(frame) / seconds if seconds and frame.isdecimal() and 0 < len(frame) < LONGEST and int(frame) else None


def _name(number: str, names: list[str] | None, where: str) -> str:
    if not (number.isdecimal() and len(number) < LONGEST) or (names is not None and int(number) >= len(names)):
        raise DataError(f"{where}: {number!r} is not the number of a class")
    return number if names is None else names[int(number)]
