"""Something-Something v2: JSON lists of id, label and template; labels.json gives the order of the 174 classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tubelet.data.annotations.common import Annotations, Videos, in_order, split_files
from tubelet.data.records import Record
from tubelet.data.rows import read_text
from tubelet.errors import DataError
from tubelet.json_files import parse_json

FILES = {"train": ["*train.json"], "val": ["*validation.json", "*val.json"]}
LABELS = ("labels.json", "something-something-v2-labels.json")


def read(path: Path, root: Path) -> Annotations:
    """Read one annotation file, or a folder with those of the splits. Videos are `ID` with any suffix below `root`.

    The class is the template without its brackets: `Holding [something] next to [something]` becomes `Holding something
    next to something`, as in labels.json.
    """
    videos = Videos(root)
    folder = path if path.is_dir() else path.parent
    classes = _classes(folder)
    records = []
    for split, file in split_files(path, FILES, "Something-Something v2"):
        for number, item in enumerate(_load(file, list)):
            where = f"{file.name} entry {number}"
            if not isinstance(item, dict) or not isinstance(item.get("template"), str) or not item.get("id"):
                raise DataError(f"{where}: expected id, label and template; the test split has no labels")
            name = item["template"].replace("[", "").replace("]", "").strip()
            if not name:
                raise DataError(f"{where}: the template is empty")
            found = videos.find(str(item["id"])) or videos.expected(f"{item['id']}.webm")
            records.append(Record(found, {"label": name}, split=split, line=where))
    notes = [] if classes else [f"no labels.json in {folder}: classes are numbered in the order of their names"]
    return Annotations(records, {"label": classes} if classes else None, notes)


def _classes(folder: Path) -> list[str] | None:
    file = next((folder / name for name in LABELS if (folder / name).is_file()), None)
    return None if file is None else in_order(_load(file, dict), file.name)


def _load(file: Path, kind: type) -> Any:
    value = parse_json(read_text(file), file.name, strict=True)
    if not isinstance(value, kind):
        raise DataError(f"{file.name}: expected a JSON {kind.__name__}, got {type(value).__name__}")
    return value
