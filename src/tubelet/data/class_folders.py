"""A folder for each class, or a folder for each split with a folder for each class."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tubelet.config.split_names import SPLIT_NAMES, split_name
from tubelet.data.records import Record
from tubelet.errors import DataError
from tubelet.video.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES

BESIDE_SPLITS = frozenset(
    ["set", "data", "dataset", "video", "videos", "clip", "clips", "frame", "frames", "rgb", "split", "list"]
)
"""Words that may stand beside a split's name in that of its folder, as in `train_256` and `videos_train`."""

KINDS_OF_FRAMES = frozenset(
    ["rgb", "flow", "flow_x", "flow_y", "optical_flow", "u", "v", "depth", "ir", "infrared", "thermal", "mask", "masks"]
)
"""Folders that hold one video's frames in several kinds."""

SIZE = re.compile(r"\d+(?:p|x\d+|px|fps)?")


@dataclass
class Found:
    """What a walk through a folder comes across.

    Attributes:
        records: one for each video.
        ignored: suffix to number of files that are neither video nor frame.
        notes: for the user.
    """

    records: list[Record] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def read_folder(root: Path, *, nested: bool = False, labelled: bool = True) -> tuple[list[Record], list[str]]:
    """Records of all videos below a folder, and notes for the user.

    A class is a folder of the first level, and everything below it belongs to it. Where the first level is called
    train, val, test (or validation, valid, dev and so on; or train_256, videos_val, testset, which a note then says),
    the classes are the folders below that. Hidden files and folders are left out; so are files that are not videos,
    counted in a note.

    Args:
        root: the folder.
        nested: every folder that holds videos is a class, named by its path: `sports/running`.
        labelled: False takes every video below the folder, without a class.

    Raises:
        DataError: no video, or videos that belong to no class.
    """
    found = Found()
    if not labelled:
        found.records += [Record(path) for path in _videos(root, found)]
    else:
        for split, folder in _split_folders(root, found.notes):
            _read_classes(folder, split, nested, found)
    if not found.records:
        raise DataError(f"no video in {root}; expected a folder for each class with files such as {root}/waving/1.mp4")
    if found.ignored:
        kinds = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in found.ignored.most_common(5))
        found.notes.append(f"ignored {sum(found.ignored.values())} files that are not videos ({kinds})")
    return found.records, found.notes


def _split_folders(root: Path, notes: list[str]) -> list[tuple[str | None, Path]]:
    """(split, folder) of each split; (None, root) where there are none."""
    folders = [entry for entry in _entries(root) if _is_folder(entry)]
    splits = {entry.name: split for entry in folders if (split := folder_split(entry.name)) is not None}
    others = [entry.name for entry in folders if entry.name not in splits]
    if not splits:
        return [(None, root)]
    if others:
        _require_class(root, splits, others, notes)
        return [(None, root)]
    unusual = [name for name in splits if name.lower() not in SPLIT_NAMES]
    if unusual:
        if len(set(splits.values())) < len(splits):
            raise DataError(
                f"{root} holds several folders for one split ({', '.join(splits)}); leave one for each of train, val "
                "and test, or list the videos in a CSV"
            )
        notes.append(
            "folders are taken for splits: " + ", ".join(f"{name!r} for {split}" for name, split in splits.items())
        )
    return [(splits[entry.name], Path(entry.path)) for entry in folders]


def folder_split(name: str) -> str | None:
    """The split that a folder's name says: `Validation`, `train_256`, `videos_train`, `testset`; None if it is none."""
    if name.lower() in SPLIT_NAMES:
        return split_name(name)
    words = [word for word in re.split(r"[\W_]+|(?<=\D)(?=\d)", name.lower()) if word]
    words = [_without_beside(word) for word in words]
    splits = [word for word in words if word in SPLIT_NAMES]
    others = [word for word in words if word not in {*SPLIT_NAMES, *BESIDE_SPLITS} and not SIZE.fullmatch(word)]
    return split_name(splits[0]) if len(splits) == 1 and not others else None


def _without_beside(word: str) -> str:
    """`train` out of `trainset`, `trainlist`, `videostrain`."""
    for other in sorted(BESIDE_SPLITS, key=len, reverse=True):
        for shorter in (word.removesuffix(other), word.removeprefix(other)):
            if shorter in SPLIT_NAMES:
                return shorter
    return word


def _require_class(root: Path, splits: Mapping[str, str], others: Sequence[str], notes: list[str]) -> None:
    """Hold that a folder named like a split, beside folders of classes, is a class itself."""
    if len(set(splits.values())) > 1:
        raise DataError(
            f"{root} holds folders of splits ({', '.join(splits)}) and others "
            f"({', '.join(others[:5])}); is {others[0]!r} a class or a split? Move it, or list the videos in a CSV"
        )
    name, split = next(iter(splits.items()))
    inside = {entry.name for entry in _entries(root / name) if _is_folder(entry)}
    if split != "train" or inside & set(others):
        raise DataError(
            f"{root} holds a folder {name!r} beside others ({', '.join(others[:5])}); is {name!r} a class, or the "
            "videos of a split? Move it out of the folder, or list the videos in a CSV with the split in a column"
        )
    notes.append(
        f"the folder {name!r} is taken for a class, as the others beside it; a split stands beside other splits"
    )


def _read_classes(root: Path, split: str | None, nested: bool, found: Found) -> None:
    loose = []
    deep: set[str] = set()
    for entry in _entries(root):
        if not _is_folder(entry):
            suffix = Path(entry.name).suffix.lower()
            if suffix in VIDEO_SUFFIXES:
                loose.append(entry.name)
            else:
                found.ignored[suffix] += 1
            continue
        videos = list(_videos(Path(entry.path), found))
        if not videos:
            found.notes.append(f"the folder {entry.name!r} of {root} holds no video and is not a class")
        for path in videos:
            parent = os.path.relpath(os.path.dirname(path), root).replace(os.sep, "/")
            if parent != entry.name:
                deep.add(parent)
            found.records.append(Record(path, {"label": parent if nested else entry.name}, split=split))
        _require_one_kind(videos)
    if loose:
        raise DataError(
            f"{len(loose)} videos lie in {root} itself and belong to no class ({loose[0]}); move them into class "
            "folders, or list them with their labels in a CSV"
        )
    if deep and not nested:
        found.notes.append(
            f"{len(deep)} folders lie inside class folders ({sorted(deep)[0]}); their videos count to the class of the "
            "first level (nested makes each folder a class)"
        )


def _require_one_kind(videos: Sequence[str]) -> None:
    """Hold that no video is there several times, as pictures and as optical flow or depth."""
    beside: dict[str, list[str]] = defaultdict(list)
    for path in videos:
        folder, name = os.path.split(path)
        beside[folder].append(name)
    for folder, names in beside.items():
        kinds = [name for name in names if name.lower() in KINDS_OF_FRAMES]
        if kinds and len(names) > 1 and all(os.path.isdir(os.path.join(folder, name)) for name in kinds):
            raise DataError(
                f"{folder} holds the frames of a video in several kinds ({', '.join(names[:5])}), each of which would "
                "count as a video; list those that are meant in a CSV (path,label), or move the others out of the data"
            )


def _videos(folder: Path, found: Found, above: frozenset[str] = frozenset()) -> Iterator[str]:
    """Paths of videos, and of folders of frames, below a folder, sorted. Links are followed, circles are not."""
    real = os.path.realpath(folder)
    if real in above:
        return
    entries = _entries(folder)
    folders = [entry for entry in entries if _is_folder(entry)]
    suffixes = {entry.path: Path(entry.name).suffix.lower() for entry in entries if not _is_folder(entry)}
    videos = [path for path, suffix in suffixes.items() if suffix in VIDEO_SUFFIXES]
    images = [path for path, suffix in suffixes.items() if suffix in IMAGE_SUFFIXES]
    frames = bool(images) and not videos and not folders
    if frames and not above:
        raise DataError(
            f"{folder} holds images directly; a video given as frames is a folder of its own below it: "
            f"{folder}/clip1/{Path(images[0]).name}"
        )
    found.ignored.update(
        suffix
        for suffix in suffixes.values()
        if suffix not in VIDEO_SUFFIXES and not (frames and suffix in IMAGE_SUFFIXES)
    )
    if frames:
        yield str(folder)
    yield from videos
    for entry in folders:
        yield from _videos(Path(entry.path), found, above | {real})


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, sorted by name, without what is hidden."""
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
