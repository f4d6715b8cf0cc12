"""A part: the rows of one task, in one Parquet file under a name that the task's number decides.

It has exactly one row for every id of its task. A video that failed is a row that says so. Its metadata has the plan's
hash, the model's hash and the task's number, so that no other file is taken for it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy
import pyarrow
from numpy.typing import NDArray
from pyarrow import parquet

from tubelet.corpus.plan import Plan, shown_path
from tubelet.corpus.sources import Video
from tubelet.corpus.store import Store
from tubelet.errors import DataError
from tubelet.version import __version__

Status = Literal["ok", "unreadable", "crashed", "timed_out"]
STATUSES: tuple[str, ...] = get_args(Status)
NAME = re.compile(r"part-(\d{6,})\.parquet")


@dataclass(frozen=True, eq=False)
class Row:
    """What became of one video.

    Attributes:
        video: of the plan.
        status: `ok`; `unreadable`; `crashed`: it killed the process that decoded it twice; `timed_out`.
        reason: why there is no prediction; None if there is one.
        logits: {head: float64 [K]}; empty without a prediction.
        embedding: float32 [D], of length 1; None without a prediction.
        use: what the model did with the video in training; see `tubelet.prediction.Result`.
        seconds: of decoding and predicting.
        waited: seconds that the model waited for the decoder.
    """

    video: Video
    status: Status
    reason: str | None = None
    logits: dict[str, NDArray[numpy.float64]] = field(default_factory=dict)
    embedding: NDArray[numpy.float32] | None = None
    use: str | None = None
    seconds: float = 0.0
    waited: float = 0.0


def name_of(task: int) -> str:
    """The file of a task."""
    return f"part-{task:06d}.parquet"


def task_of(name: str) -> int | None:
    """The task of a file; None if it is no part."""
    found = NAME.fullmatch(name)
    return int(found[1]) if found and name == name_of(int(found[1])) else None


def columns_of(head: str, plan: Plan) -> tuple[str, str, str]:
    """The columns of a head's label, probability and logits."""
    prefix = "" if len(plan.heads) == 1 else f"{head}_"
    return f"{prefix}label", f"{prefix}probability", f"{prefix}logits"


def schema_of(plan: Plan) -> pyarrow.Schema:
    """The columns of the plan's parts."""
    fields = [
        pyarrow.field("id", pyarrow.int64(), nullable=False),
        pyarrow.field("path", pyarrow.string(), nullable=False),
        pyarrow.field("start", pyarrow.float64()),
        pyarrow.field("end", pyarrow.float64()),
        pyarrow.field("status", pyarrow.string(), nullable=False),
        pyarrow.field("reason", pyarrow.string()),
    ]
    for head, classes in plan.heads.items():
        label, probability, logits = columns_of(head, plan)
        fields += [pyarrow.field(label, pyarrow.string()), pyarrow.field(probability, pyarrow.float64())]
        if plan.options.logits:
            fields.append(pyarrow.field(logits, pyarrow.list_(pyarrow.float32(), len(classes))))
    if plan.options.embed:
        fields.append(pyarrow.field("embedding", pyarrow.list_(pyarrow.float16(), plan.width)))
    fields += [
        pyarrow.field("use", pyarrow.string()),
        pyarrow.field("seconds", pyarrow.float32()),
        pyarrow.field("waited", pyarrow.float32()),
    ]
    return pyarrow.schema(fields)


def metadata_of(plan: Plan, task: int) -> dict[str, str]:
    """What the metadata of a part says."""
    return {"tubelet.plan": plan.hash, "tubelet.model": plan.model_hash, "tubelet.task": str(task)}


def part_bytes(plan: Plan, task: int, rows: Sequence[Row]) -> bytes:
    """A part as a Parquet file. Its pages have checksums."""
    columns: dict[str, list[Any]] = {
        "id": [row.video.id for row in rows],
        "path": [shown_path(row.video.path) for row in rows],
        "start": [row.video.start for row in rows],
        "end": [row.video.end for row in rows],
        "status": [row.status for row in rows],
        "reason": [None if row.reason is None else shown_path(row.reason) for row in rows],
        "embedding": [None if row.embedding is None else row.embedding.astype(numpy.float16) for row in rows],
        "use": [row.use for row in rows],
        "seconds": [row.seconds for row in rows],
        "waited": [row.waited for row in rows],
    }
    for head, classes in plan.heads.items():
        label, probability, logits = columns_of(head, plan)
        found = [row.logits.get(head) for row in rows]
        columns[label] = [None if values is None else classes[int(values.argmax())] for values in found]
        columns[probability] = [None if values is None else _probability(values) for values in found]
        columns[logits] = [None if values is None else values.astype(numpy.float32) for values in found]
    schema = schema_of(plan).with_metadata({**metadata_of(plan, task), "tubelet.version": __version__})
    arrays = [pyarrow.array(columns[one.name], one.type) for one in schema]
    buffer = io.BytesIO()
    parquet.write_table(
        pyarrow.Table.from_arrays(arrays, schema=schema), buffer, compression="zstd", write_page_checksum=True
    )
    return buffer.getvalue()


def read_parts(store: Store, plan: Plan, columns: list[str] | None = None) -> Iterator[pyarrow.Table]:
    """The parts that are there, in order; of those that are not, nothing.

    Raises:
        DataError: one cannot be read.
    """
    for task in sorted(task for name in store.names() if (task := task_of(name)) is not None and task < plan.tasks):
        with store.open(name_of(task)) as file:
            try:
                yield parquet.read_table(file, columns=columns)
            except (OSError, pyarrow.ArrowException) as error:
                raise DataError(
                    f"{name_of(task)} cannot be read ({error}); `tubelet corpus check` says more"
                ) from error


def _probability(logits: NDArray[numpy.float64]) -> float:
    """Of the most probable class."""
    return float(1 / numpy.exp(logits - logits.max()).sum())
