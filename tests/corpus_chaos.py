"""A corpus with planted failures, run while workers and drivers are killed, against an undisturbed run.

python tests/corpus_chaos.py --videos 5000 --kills 50 --driver-kills 5
python tests/corpus_chaos.py --videos 5000 --kills 50 --driver-kills 5 --engine ray --node-kills 5
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.dataset
import torch

import tiny
import tubelet
from tubelet.corpus import check
from tubelet.video import write_video
from two_nodes import TwoNodes

HERE = Path(__file__).resolve().parent
SECONDS = 20.0
"""That decoding may take: long enough for a good video on a busy machine."""


def write_lake(folder: Path, good: int, corrupt: int, deadly: int, hanging: int) -> Path:
    """Good videos of moving bars, hard links of a few, and the planted ones between them."""
    folder.mkdir(parents=True)
    for number in range(min(8, good)):
        direction = ("down", "left", "right", "up")[number % 4]
        write_video(folder / f"{number:06d}.mp4", tiny.moving_bar(direction, number), 10.0)
    for number in range(8, good):
        os.link(folder / f"{number % 8:06d}.mp4", folder / f"{number:06d}.mp4")
    kinds = {"corrupt": corrupt, "kills_its_decoder": deadly, "hangs": hanging}
    names = [f"{kind}_{number}" for kind, count in kinds.items() for number in range(count)]
    for name in names:
        place = folder / f"{random.Random(name).randrange(good):06d}_{name}.mp4"
        if name.startswith("corrupt"):
            place.write_bytes(b"no video" * 200)
        else:
            os.link(folder / "000000.mp4", place)
    return folder


ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join([str(HERE / "planted_decoders"), str(HERE.parent / "src")]),
    "OMP_NUM_THREADS": "1",
}
"""Of drivers, and of the nodes of a cluster."""


def start(model: Path, lake: Path, out: Path, log: Path, engine: str, *more: str) -> subprocess.Popen[bytes]:
    """The command, as a user types it."""
    words = [sys.executable, "-m", "tubelet", "corpus", "run", str(model), str(lake), "--out", str(out), "--json"]
    words += ["--embed", "--logits", "--task-size", "8", "--workers", "2", "--seconds", str(SECONDS)]
    with log.open("ab") as file:
        return subprocess.Popen(
            [*words, "--engine", engine, *more],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **ENVIRONMENT},
        )


def workers_of(driver: int, words: bytes = b"tubelet.corpus.worker") -> list[int]:
    """Process ids of the descendants of a driver with these words in their command."""
    parents: dict[int, int] = {}
    commands: dict[int, bytes] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            commands[int(folder.name)] = (folder / "cmdline").read_bytes()
    found = []
    for process, command in commands.items():
        above = process
        while above not in (0, driver):
            above = parents.get(above, 0)
        if above == driver and words in command:
            found.append(process)
    return found


def disturbed(
    model: Path, lake: Path, out: Path, log: Path, kills: dict[str, int], cluster: TwoNodes | None = None
) -> Counter[str]:
    """Run to the end, however often it takes; kill a random worker, a node, or the driver, after some parts each."""
    draw = random.Random(0)
    todo = [kind for kind, times in kills.items() for _ in range(times)]
    draw.shuffle(todo)
    done: Counter[str] = Counter()
    while True:
        driver = start(model, lake, out, log, "ray" if cluster else "local")
        seen = parts(out)
        while driver.poll() is None:
            time.sleep(0.02)
            if not todo or parts(out) == seen:
                continue
            time.sleep(draw.random() * 0.3)
            seen = parts(out)
            victims = workers_of(os.getpid())  # those of a cluster are its children, not the driver's
            if todo[-1] == "driver":
                driver.kill()
            elif todo[-1] == "node" and cluster is not None:
                cluster.lose()
            elif victims:
                os.kill(draw.choice(victims), signal.SIGKILL)
            else:
                continue
            done[todo.pop()] += 1
        code = driver.wait()
        if code in (0, 1):
            return done
        assert code == -signal.SIGKILL, log.read_text()[-3000:]


def parts(out: Path) -> int:
    """How many there are."""
    return len(list(out.glob("part-*.parquet")))


def rows_of(out: Path) -> list[dict[str, Any]]:
    """All rows, without how long they took."""
    files = [str(path) for path in sorted(out.glob("part-*.parquet"))]
    table = pyarrow.dataset.dataset(files).to_table()
    return table.drop_columns(["seconds", "waited"]).to_pylist()


def chaos(
    folder: Path, good: int, planted: tuple[int, int, int], kills: dict[str, int], cluster: TwoNodes | None = None
) -> dict[str, Any]:
    """A run of this machine and a disturbed one, compared. An AssertionError says what is not as it has to be.

    Args:
        folder: empty.
        good: videos.
        planted: corrupt ones, those that kill their decoder, those that hang.
        kills: how often `worker`, `driver` or `node`.
        cluster: that does the disturbed run.
    """
    torch.manual_seed(0)
    model = tubelet.create(tiny.PRESET, **tiny.MODEL, labels=["down", "left", "right", "up"])
    model.preprocessing = tubelet.PreprocessingConfig(num_frames=4, frame_stride=1, resize=16, crop_size=(16, 16))
    tubelet.save(model, folder / "model")
    lake = write_lake(folder / "lake", good, *planted)
    log = folder / "log"
    started = time.monotonic()
    calm = start(folder / "model", lake, folder / "calm", log, "local")
    assert calm.wait() == (1 if any(planted) else 0), log.read_text()[-3000:]
    undisturbed_seconds = time.monotonic() - started
    done = disturbed(folder / "model", lake, folder / "stormy", log, kills, cluster)
    summary = check(str(folder / "stormy"), page=False)
    assert summary.ok, (summary.problems, log.read_text()[-3000:])
    wanted = dict(zip(("ok", "unreadable", "crashed", "timed_out"), (good, *planted), strict=True))
    assert summary.to_dict()["statuses"] == wanted, summary.reasons
    calm_rows, stormy_rows = rows_of(folder / "calm"), rows_of(folder / "stormy")
    assert calm_rows == stormy_rows
    for row in stormy_rows:
        kind = Path(row["path"]).stem.partition("_")[2].rpartition("_")[0]
        expected = {"": "ok", "corrupt": "unreadable", "kills_its_decoder": "crashed", "hangs": "timed_out"}[kind]
        assert row["status"] == expected, row
    return {"rows": len(stormy_rows), "statuses": wanted, "kills": dict(done), "undisturbed": undisturbed_seconds}


def main() -> None:
    """Print what was done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--videos", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--driver-kills", type=int, default=5)
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    parser.add_argument("--node-kills", type=int, default=1, help="of a cluster's second node")
    given = parser.parse_args()
    kills = {"worker": given.kills, "driver": given.driver_kills}
    os.environ.update(ENVIRONMENT)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        with contextlib.ExitStack() as stack:
            cluster = stack.enter_context(TwoNodes(1, 1)) if given.engine == "ray" else None
            if cluster is not None:
                kills["node"] = given.node_kills
                os.environ["RAY_ADDRESS"] = cluster.address
            print(json.dumps(chaos(folder, given.videos - 65, (50, 10, 5), kills, cluster)))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
