"""The plan of a corpus: which videos, by which model, with which options, in which tasks.

    videos.parquet   id, path, path_bytes, start, end; one row group for each task
    plan.json        what decides the result, and the hash of all that; written last

It says nothing of time, machines and workers, so that every machine that makes it makes the same.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import pyarrow
import torch
from pyarrow import parquet

from tubelet.config import to_dict
from tubelet.corpus.sources import Video
from tubelet.corpus.store import Store
from tubelet.device import Precision
from tubelet.errors import ConfigError, DataError
from tubelet.exported import ExportedViViT
from tubelet.json_files import as_object, dump_json, parse_json
from tubelet.model import ViViT
from tubelet.prediction.result import class_names
from tubelet.text import count, listing

FORMAT = 1
PLAN_FILE, VIDEOS_FILE = "plan.json", "videos.parquet"
TASK_SIZE = 64

VIDEOS_SCHEMA = pyarrow.schema(
    [
        pyarrow.field("id", pyarrow.int64(), nullable=False),
        pyarrow.field("path", pyarrow.string(), nullable=False),
        pyarrow.field("path_bytes", pyarrow.binary()),
        pyarrow.field("start", pyarrow.float64()),
        pyarrow.field("end", pyarrow.float64()),
    ]
)


@dataclass(frozen=True)
class Options:
    """What changes the rows.

    Attributes:
        views: CLIPSxCROPS of each video.
        embed: whether rows hold the normalised embedding.
        logits: whether rows hold the logits of all classes.
        precision: of matrix products.
        resample: see `tubelet.predict`.
        seconds: that decoding a video may take.
    """

    views: str = "1x1"
    embed: bool = False
    logits: bool = False
    precision: Precision = "float32"
    resample: bool = True
    seconds: float = 60.0


@dataclass(frozen=True)
class Plan:
    """A plan.

    Attributes:
        videos: how many.
        videos_hash: of the list.
        task_size: videos of a task; the last one may have less.
        model: where it was loaded from.
        model_hash: of its weights and configuration.
        heads: class names by head; numbers where the model has no names.
        width: of an embedding.
        options: see `Options`.
        format: of the files.
    """

    videos: int
    videos_hash: str
    task_size: int
    model: str
    model_hash: str
    heads: dict[str, list[str]]
    width: int
    options: Options
    format: int = FORMAT

    @property
    def tasks(self) -> int:
        """How many."""
        return -(-self.videos // self.task_size)

    def ids(self, task: int) -> range:
        """Of the videos of a task."""
        return range(task * self.task_size, min((task + 1) * self.task_size, self.videos))

    @cached_property
    def hash(self) -> str:
        """Of everything but where the model was loaded from."""
        facts = {name: value for name, value in asdict(self).items() if name != "model"}
        return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16).hexdigest()


def make_plan(videos: Sequence[Video], model: ViViT, source: str, options: Options, task_size: int = TASK_SIZE) -> Plan:
    """The plan of these videos and this model.

    Args:
        videos: in order; not empty.
        model: with a head.
        source: where it was loaded from.
        options: of the rows.
        task_size: videos of a task.
    """
    if task_size < 1:
        raise ConfigError(f"task_size={task_size} must be at least 1")
    if model.config.multi_label:
        raise ConfigError(
            f"a corpus has one class for each video, and several may be shown at once in "
            f"{', '.join(model.config.multi_label)}; `tubelet predict --out FILE` writes all labels"
        )
    heads = class_names(model.labels, model.config.heads)
    place = os.path.abspath(source) if os.path.exists(source) else source
    size = model.config.hidden_size
    return Plan(len(videos), videos_hash(videos), task_size, place, model_hash(model), heads, size, options)


def videos_hash(videos: Iterable[Video]) -> str:
    """Of a list of videos."""
    hashed = hashlib.blake2b(digest_size=16)
    for video in videos:
        hashed.update(b"%d\0%s\0%r\0%r\n" % (video.id, os.fsencode(video.path), video.start, video.end))
    return hashed.hexdigest()


def model_hash(model: ViViT) -> str:
    """Of the weights (an exported model's files), the configuration, the preprocessing and the class names."""
    seen = None if model.preprocessing is None else to_dict(model.preprocessing)
    files = dict(model.contract.files or {}) if isinstance(model, ExportedViViT) else {}
    config = {name: value for name, value in to_dict(model.config).items() if name != "multi_label"}  # always none
    described = [config, seen, model.labels, files]
    hashed = hashlib.blake2b(json.dumps(described, sort_keys=True).encode(), digest_size=16)
    for name, value in sorted(model.state_dict().items()):
        hashed.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        hashed.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return hashed.hexdigest()


def settle(store: Store, plan: Plan, videos: Sequence[Video]) -> None:
    """Write the plan, or hold that the one that is there is the same.

    Raises:
        ConfigError: another plan is there; the error says what differs.
        StorageError: it cannot be written.
    """
    there = read_plan(store) if PLAN_FILE in store.names() else None
    if there is None:
        store.write(VIDEOS_FILE, _as_parquet(videos, plan.task_size))
        store.write(PLAN_FILE, f"{dump_json({**asdict(plan), 'hash': plan.hash}, indent=1)}\n".encode())
        there = read_plan(store)  # of two machines that begin at once, one may have written another
    if there.hash != plan.hash:
        raise ConfigError(
            f"{store.address} has another plan: {'; '.join(_differences(store, there, plan, videos))}; name another "
            "folder, or what that plan was made of; videos that were added or removed since are left as they were "
            "planned with keep_plan=True (--keep-plan)"
        )


def read_plan(store: Store) -> Plan:
    """The plan of a folder.

    Raises:
        DataError: there is none, or it was changed.
    """
    where = f"{store.address}/{PLAN_FILE}"
    try:
        with store.open(PLAN_FILE) as file:
            text = file.read()
    except FileNotFoundError:
        raise DataError(f"{store.address}: no {PLAN_FILE}; expected the --out of `tubelet corpus run`") from None
    data = as_object(parse_json(text, where), where)
    if data.get("format") != FORMAT:
        raise DataError(f"{where}: format {data.get('format')}, expected {FORMAT}; it is of another version of tubelet")
    try:
        stated = data.pop("hash")
        plan = Plan(**{**data, "options": Options(**data["options"])})
        is_as_written = plan.hash == stated
    except (KeyError, TypeError) as error:
        raise DataError(f"{where}: was changed, or is no plan ({error})") from error
    if not is_as_written:
        raise DataError(f"{where}: was changed since it was written: its hash is {plan.hash}, and it says {stated}")
    return plan


class Videos:
    """The list of a plan, read a task at a time."""

    def __init__(self, store: Store) -> None:
        try:
            self._file = store.open(VIDEOS_FILE)
            self._opened = parquet.ParquetFile(self._file)
        except (OSError, pyarrow.ArrowException) as error:
            raise DataError(f"{store.address}/{VIDEOS_FILE} cannot be read: {error}") from error

    def of_task(self, task: int) -> list[Video]:
        """The videos of a task."""
        columns = self._opened.read_row_group(task).to_pydict()
        paths = [
            path if exact is None else os.fsdecode(exact)
            for path, exact in zip(columns["path"], columns["path_bytes"], strict=True)
        ]
        return list(map(Video, columns["id"], paths, columns["start"], columns["end"]))

    def __iter__(self) -> Any:
        for task in range(self._opened.num_row_groups):
            yield from self.of_task(task)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def shown_path(path: str) -> str:
    """A path as valid Unicode: bytes that are not UTF-8 are written out, `\\xff` for example."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _as_parquet(videos: Sequence[Video], task_size: int) -> bytes:
    exact = [None if path.isascii() or shown_path(path) == path else os.fsencode(path) for _, path, _, _ in videos]
    shown = [path if odd is None else shown_path(path) for (_, path, _, _), odd in zip(videos, exact, strict=True)]
    ids, starts, ends = ([video[place] for video in videos] for place in (0, 2, 3))
    columns = (ids, shown, exact, starts, ends)
    table = pyarrow.Table.from_arrays(
        [pyarrow.array(values, one.type) for values, one in zip(columns, VIDEOS_SCHEMA, strict=True)],
        schema=VIDEOS_SCHEMA,
    )
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, row_group_size=task_size, compression="zstd", use_dictionary=False)
    return buffer.getvalue()


def _differences(store: Store, there: Plan, plan: Plan, videos: Sequence[Video]) -> list[str]:
    """What tells two plans apart, in words."""
    found = []
    if there.videos_hash != plan.videos_hash:
        opened = Videos(store)
        old, new = {video[1:] for video in opened}, {video[1:] for video in videos}
        opened.close()
        gone, added = (sorted(shown_path(path) for path, _, _ in some) for some in (old - new, new - old))
        found.append(f"its list has {count(there.videos, 'video')}, and the source now {plan.videos:,}")
        found += [f"{len(gone):,} are gone ({listing(gone, 2)})"] if gone else []
        found += [f"{len(added):,} are new ({listing(added, 2)})"] if added else []
        found += [] if gone or added else ["the order is another, or some are there more or less often"]
    if there.model_hash != plan.model_hash:
        found.append(f"its model is {there.model} ({there.model_hash[:8]}), not {plan.model} ({plan.model_hash[:8]})")
    if there.task_size != plan.task_size:
        found.append(f"its tasks have {there.task_size} videos, not {plan.task_size}")
    ours, theirs = asdict(plan.options), asdict(there.options)
    found += [
        f"{name} is {theirs[name]!r} there, and here {ours[name]!r}" for name in ours if ours[name] != theirs[name]
    ]
    return found
