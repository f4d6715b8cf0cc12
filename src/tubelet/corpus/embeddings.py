"""The embeddings of a corpus in one array that is mapped into memory."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pyarrow
from numpy.typing import NDArray
from pyarrow import compute, parquet

from tubelet.corpus.parts import name_of, read_parts, task_of
from tubelet.corpus.plan import Plan, Videos, read_plan
from tubelet.corpus.sources import Video
from tubelet.corpus.store import Store, open_store
from tubelet.errors import ConfigError, DataError
from tubelet.files import replacing_shared
from tubelet.video.live import is_address

VECTORS_FILE, IDS_FILE, STATE_FILE = "embeddings.f16", "embeddings.ids.npy", "embeddings.json"


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Of all videos that have one.

    Attributes:
        plan: of the corpus.
        store: of the corpus.
        ids: int64 [n], ascending.
        vectors: float16 [n, D], of length 1; in the file until they are read.
    """

    plan: Plan
    store: Store
    ids: NDArray[numpy.int64]
    vectors: NDArray[numpy.float16]

    def rows(self, ids: list[int]) -> list[tuple[Video, dict[str, Any]]]:
        """The videos of these ids, with the other columns of their rows."""
        videos = Videos(self.store)
        parts: dict[int, tuple[list[Video], pyarrow.Table]] = {}
        found = []
        for number in ids:
            task, place = divmod(number, self.plan.task_size)
            if task not in parts:
                with self.store.open(name_of(task)) as file:
                    table = parquet.read_table(file)
                kept = [name for name in table.column_names if name not in ("embedding", "logits")]
                parts[task] = videos.of_task(task), table.select(kept)
            planned, table = parts[task]
            found.append((planned[place], table.slice(place, 1).to_pylist()[0]))
        videos.close()
        return found


def open_embeddings(out: str) -> Embeddings:
    """The embeddings of a corpus; the array is written first if it is not there, or if parts were added since.

    Args:
        out: folder of `tubelet.corpus.run(..., embed=True)`.

    Raises:
        ConfigError: it was run without `embed`, or lies in an object store.
        DataError: there is no corpus, or no embedding in it.
    """
    if is_address(out.removeprefix("file://")):
        raise ConfigError(f"{out}: embeddings are mapped into memory from a disk; copy the folder to one")
    store = open_store(out)
    plan = read_plan(store)
    if not plan.options.embed:
        raise ConfigError(f"{out} has no embeddings; run it with embed=True (tubelet corpus run ... --embed)")
    folder = Path(store.address)
    tasks = sorted(task for name in store.names() if (task := task_of(name)) is not None and task < plan.tasks)
    state = hashlib.blake2b(json.dumps([plan.hash, tasks]).encode(), digest_size=16).hexdigest()
    if not (folder / STATE_FILE).exists() or json.loads((folder / STATE_FILE).read_text())["state"] != state:
        _gather(store, plan, folder)
        store.write(STATE_FILE, (json.dumps({"state": state}) + "\n").encode())
    ids = numpy.load(folder / IDS_FILE)
    if not len(ids):
        raise DataError(f"{out}: no video has an embedding yet")
    # copy on write: torch takes no memory that cannot be written to
    vectors = numpy.memmap(folder / VECTORS_FILE, numpy.float16, "c", shape=(len(ids), plan.width))
    return Embeddings(plan, store, ids, vectors)


def _gather(store: Store, plan: Plan, folder: Path) -> None:
    ids = []
    with replacing_shared(folder / VECTORS_FILE) as partial, partial.open("wb") as file:
        for part in read_parts(store, plan, ["id", "embedding"]):
            good = part.filter(compute.is_valid(part["embedding"]))
            ids.append(good["id"].to_numpy())
            for chunk in good["embedding"].chunks:
                file.write(chunk.flatten().to_numpy().astype(numpy.float16).tobytes())
        file.flush()
    with replacing_shared(folder / IDS_FILE) as partial, partial.open("wb") as file:
        numpy.save(file, numpy.concatenate(ids) if ids else numpy.zeros(0, numpy.int64))
