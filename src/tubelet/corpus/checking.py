"""Proof that nothing was lost: the ids of all parts are those of the plan, once each, and every part is the plan's."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow
from pyarrow import compute, parquet

from tubelet.corpus.gallery import PAGE_FILE, Gallery
from tubelet.corpus.parts import STATUSES, columns_of, metadata_of, name_of, schema_of, task_of
from tubelet.corpus.plan import PLAN_FILE, VIDEOS_FILE, Plan, Videos, read_plan, shown_path, videos_hash
from tubelet.corpus.store import Store, open_store
from tubelet.errors import DataError
from tubelet.text import count, listing

SUCCESS_FILE, SUMMARY_FILE = "_SUCCESS", "summary.json"


@dataclass
class Summary:
    """What a corpus holds.

    Attributes:
        videos: of the plan.
        rows: of the parts that are right.
        problems: what is wrong, a sentence each; empty if all is proven.
        statuses: rows of each.
        reasons: rows that failed for each reason.
        classes: {head: rows of each class}.
        seconds: of decoding and predicting, all rows together.
        waited: seconds that models waited for decoders.
    """

    videos: int
    rows: int = 0
    problems: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    classes: dict[str, Counter[str]] = field(default_factory=dict)
    seconds: float = 0.0
    waited: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether every video of the plan has exactly one row."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "ok": self.ok,
            "problems": self.problems,
            "videos": self.videos,
            "rows": self.rows,
            "statuses": {status: self.statuses[status] for status in STATUSES},
            "reasons": dict(self.reasons.most_common()),
            "classes": {head: dict(found.most_common()) for head, found in self.classes.items()},
            "seconds": round(self.seconds, 3),
            "waited": round(self.waited, 3),
        }


def check(out: str, *, page: bool = True, progress: Callable[[int, int], None] | None = None) -> Summary:
    """Read every part and compare it with the plan; write `summary.json`, and `_SUCCESS` if all is right.

    Args:
        out: folder or URL of `tubelet.corpus.run`.
        page: write `index.html` too, for which some of the videos are opened.
        progress: is called with (tasks checked, tasks).

    Raises:
        DataError: there is no plan, or it was changed.
    """
    store = open_store(out)
    plan = read_plan(store)
    names = store.names()
    store.remove(SUCCESS_FILE)
    summary = Summary(plan.videos, classes={head: Counter() for head in plan.heads})
    videos, gallery = Videos(store), Gallery(plan)
    try:
        found = videos_hash(videos)
        if found != plan.videos_hash:
            raise DataError(f"{store.address}/{VIDEOS_FILE} was changed: its hash is {found}, {PLAN_FILE} has another")
        for task in range(plan.tasks):
            if progress is not None:
                progress(task, plan.tasks)
            name = name_of(task)
            problems, table = _read(store, plan, videos, task) if name in names else (["is not there yet"], None)
            summary.problems += [f"{name}: {problem}" for problem in problems]
            if table is not None and not problems:
                _add(summary, plan, table)
                gallery.add(table)
    finally:
        videos.close()
    summary.problems += _strangers(names, plan)
    if summary.rows != plan.videos and summary.ok:
        summary.problems.append(f"{summary.rows:,} rows for {count(plan.videos, 'video')}")
    store.write(SUMMARY_FILE, (json.dumps(summary.to_dict(), indent=1) + "\n").encode())
    if page:
        shown = summary.to_dict()
        html = gallery.page(store.address, shown["classes"], shown["statuses"], summary.problems)
        store.write(PAGE_FILE, html.encode())
    if summary.ok:
        store.write(SUCCESS_FILE, f"{plan.hash}\n".encode())
    return summary


def _read(store: Store, plan: Plan, videos: Videos, task: int) -> tuple[list[str], pyarrow.Table | None]:
    """What is wrong with a part, and its rows."""
    try:
        with store.open(name_of(task)) as file:
            opened = parquet.ParquetFile(file, page_checksum_verification=True)
            stated = {key.decode(): value.decode() for key, value in (opened.schema_arrow.metadata or {}).items()}
            wanted = metadata_of(plan, task)
            other = [key.removeprefix("tubelet.") for key in wanted if stated.get(key) != wanted[key]]
            if "task" in other:
                return [f"is the part of task {stated.get('tubelet.task')} under another name"], None
            if other:
                return [f"is of another {' and another '.join(other)}; delete it, and run again"], None
            schema = schema_of(plan)
            if not opened.schema_arrow.equals(schema):
                return [
                    f"has other columns: {', '.join(opened.schema_arrow.names)}; expected {', '.join(schema.names)}"
                ], None
            table = opened.read()
    except (OSError, pyarrow.ArrowException) as error:
        return [
            f"cannot be read, it is cut off or damaged ({' '.join(str(error).split())[:200]}); delete it, and run again"
        ], None
    return list(_wrong_rows(plan, videos, task, table)), table


def _wrong_rows(plan: Plan, videos: Videos, task: int, table: pyarrow.Table) -> Iterator[str]:
    ids = table["id"].to_pylist()
    wanted = plan.ids(task)
    times = Counter(ids)
    for words, wrong in (
        ("has no row for", [number for number in wanted if number not in times]),
        ("has several rows for", [number for number in times if times[number] > 1]),
        ("has rows that belong elsewhere:", [number for number in times if number not in wanted]),
    ):
        if wrong:
            yield f"{words} {'id' if len(wrong) == 1 else 'ids'} {listing(map(str, sorted(wrong)))}"
    if ids != list(wanted):
        if len(times) == len(ids) == len(wanted):
            yield "has its rows in another order"
        return
    paths = [shown_path(video.path) for video in videos.of_task(task)]
    for number, path, planned in zip(ids, table["path"].to_pylist(), paths, strict=True):
        if path != planned:
            yield f"id {number} is {path}, and in the plan {planned}"
    for number, status, reason in zip(ids, table["status"].to_pylist(), table["reason"].to_pylist(), strict=True):
        if status not in STATUSES or (status == "ok") != (reason is None):
            yield f"id {number} has the status {status!r} and the reason {reason!r}"
    results = [name for head in plan.heads for name in columns_of(head, plan)] + ["embedding"]
    good = compute.equal(table["status"], "ok")
    for name in results:
        if name in table.column_names and not compute.all(compute.equal(table[name].is_valid(), good)).as_py():
            yield f"{name} is there for a video that failed, or missing for one that did not"


def _strangers(names: set[str], plan: Plan) -> list[str]:
    """Files that look like parts, and are none of this plan."""
    found = []
    for name in sorted(names):
        task = task_of(name)
        if task is not None and task >= plan.tasks:
            found.append(f"{name}: the plan has no such task; delete it")
        elif task is None and name.endswith(".parquet") and name != VIDEOS_FILE:
            found.append(f"{name}: is no part of this plan, and would be read as one; delete it")
    return found


def _add(summary: Summary, plan: Plan, table: pyarrow.Table) -> None:
    summary.rows += len(table)
    summary.statuses.update(table["status"].to_pylist())
    summary.reasons.update(reason for reason in table["reason"].to_pylist() if reason is not None)
    for head in plan.heads:
        labels = table[columns_of(head, plan)[0]].to_pylist()
        summary.classes[head].update(label for label in labels if label is not None)
    summary.seconds += compute.sum(table["seconds"]).as_py() or 0.0
    summary.waited += compute.sum(table["waited"]).as_py() or 0.0
