"""What the preparation of shards has to do, and whether a folder holds the beginning of the same preparation."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tubelet.config import ShardConfig, to_dict
from tubelet.data.known import content_keys
from tubelet.data.shard_reader import DESCRIPTION, PREPARING, read_description
from tubelet.data.table import Table
from tubelet.errors import ConfigError, DataError
from tubelet.files import write_text
from tubelet.folder_lock import FolderLock
from tubelet.json_files import dump_json, read_json_object
from tubelet.video import FilePart

PLAN = "plan.json"
NO_SPLIT = "all"
"""Name of the shards of samples that belong to no split."""


@dataclass(frozen=True)
class PlannedVideo:
    """A file of the table: `key` of its files in a shard, `name` from the root of the table, `rows` of its samples."""

    key: str
    path: str
    name: str
    rows: tuple[int, ...]


@dataclass(frozen=True)
class ShardPlan:
    """Everything that the shards depend on.

    Attributes:
        table: the samples.
        config: how videos are stored.
        videos: each file of the table once.
        contents: of each sample, the fingerprint of its file; None where it cannot be read.
    """

    table: Table
    config: ShardConfig
    videos: tuple[PlannedVideo, ...]
    contents: Sequence[str | None]

    @classmethod
    def of(cls, table: Table, config: ShardConfig) -> ShardPlan:
        """The plan for a table. Every file is opened for its content; what is to be copied has to be a file."""
        rows: dict[str, list[int]] = {}
        for row, sample in enumerate(table.samples):
            rows.setdefault(sample.path, []).append(row)
        videos = []
        for number, (path, own) in enumerate(rows.items()):
            if config.copy and (os.path.isdir(path) or FilePart.parse(path) is not None):
                kind = "a folder of images" if os.path.isdir(path) else "in a shard already"
                raise DataError(f"{path} is {kind} and no file that could be copied; leave out copy")
            whole = dataclasses.replace(table.samples[own[0]], start=None, end=None)
            videos.append(PlannedVideo(f"{number:08d}", path, table.key(whole), tuple(own)))
        return cls(table, config, tuple(videos), content_keys(table.samples))

    def by_split(self) -> dict[str, list[PlannedVideo]]:
        """The videos of each split, in an order that the seed and their names settle."""

        def order(video: PlannedVideo) -> bytes:
            name = os.fsencode(f"{self.config.seed}/{video.name}")
            return hashlib.blake2b(name, digest_size=8).digest()

        found: dict[str, list[PlannedVideo]] = {}
        for video in sorted(self.videos, key=order):
            found.setdefault(self.table.samples[video.rows[0]].split or NO_SPLIT, []).append(video)
        return dict(sorted(found.items()))

    def describe_sample(self, row: int, shift: float = 0.0) -> dict[str, Any]:
        """Labels, split, group and times of a sample, `shift` seconds earlier than in its file."""
        sample = self.table.samples[row]
        labels = {
            head: [names[index] for index in sample.shown[head]]
            if head in self.table.multi_label
            else names[sample.labels[head]]
            for head, names in self.table.classes.items()
        }
        start, end = (None if time is None else time - shift for time in (sample.start, sample.end))
        return {"labels": labels, "split": sample.split, "group": sample.group, "start": start, "end": end}

    @functools.cached_property
    def summary(self) -> dict[str, Any]:
        """Different for every other plan."""
        digest = hashlib.blake2b(digest_size=16)
        for video in self.videos:
            samples = [self.describe_sample(row) for row in video.rows]
            digest.update(json.dumps([video.name, self.contents[video.rows[0]], samples]).encode())
        return {
            "settings": to_dict(self.config),
            "classes": self.table.classes,
            "videos": len(self.videos),
            "digest": digest.hexdigest(),
        }

    @property
    def digest(self) -> str:
        """Of the summary."""
        return hashlib.blake2b(json.dumps(self.summary, sort_keys=True).encode(), digest_size=16).hexdigest()

    def take_up(self, folder: Path, lock: FolderLock) -> bool:
        """Make the folder ready to be filled, or hold that it is the beginning of this preparation.

        Returns:
            whether all is in it already, and the process was killed just before it was done.
        """
        preparing, plan = folder / PREPARING, folder / PREPARING / PLAN
        while True:
            finished, begun = (folder / DESCRIPTION).exists(), plan.is_file()
            if finished and not preparing.is_dir():
                raise ConfigError(f"{folder} holds shards already; name another folder. Shards are never overwritten")
            others = folder.exists() and (
                not folder.is_dir() or any(entry.name != PREPARING for entry in folder.iterdir())
            )
            if others and not begun and not finished:
                raise ConfigError(f"{folder} exists and holds no shards; name a folder that is new or empty")
            preparing.mkdir(parents=True, exist_ok=True)
            try:
                lock.hold(preparing)
                break
            except FileNotFoundError:  # the process that held it has just ended
                continue
        if finished:
            same = read_description(folder).get("plan") == self.digest
        elif plan.is_file():
            same = read_json_object(plan) == self.summary
        else:
            same = True
            write_text(plan, dump_json(self.summary))
        if not same:
            raise ConfigError(
                f"{folder} holds the beginning of a preparation of other videos, of videos that have changed since, or "
                "with other settings; go on with those, or name another folder"
            )
        return finished
