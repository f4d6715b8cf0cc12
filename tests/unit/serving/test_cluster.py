"""The service on Ray: two replicas of the model, one of which is killed under load."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

import tubelet
from serving_help import write_day
from tiny import day_and_night
from tubelet.prediction import Predictor

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="guarded processes are bounded on Linux"),
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]

NAME = f"tubelet{os.getpid()}"
PORT = 20_000 + os.getpid() % 10_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service with two replicas of a tiny model."""
    import ray
    from ray import serve

    from tubelet.serving.cluster import build

    folder = tmp_path_factory.mktemp("cluster")
    tubelet.save(day_and_night(), folder / "day")
    variables = {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": variables})
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    serve.run(build({"model": str(folder / "day"), "replicas": "2"}), name=NAME, route_prefix="/")
    yield f"http://127.0.0.1:{PORT}"
    serve.shutdown()
    ray.shutdown()


def replicas() -> list[int]:
    """Processes of the model's replicas."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            name = entry.read_bytes()
        except OSError:
            continue
        if name.startswith(f"ray::ServeReplica:{NAME}:Model".encode()):
            found.append(int(entry.parent.name))
    return found


def test_no_request_is_lost_when_a_replica_is_killed_and_the_page_is_there(cluster: str, tmp_path: Path) -> None:
    paths = [write_day(tmp_path / f"{level}.mp4", [level] * 8) for level in (0, 80, 170, 255)]
    contents = [path.read_bytes() for path in paths]
    expected = [Predictor(day_and_night())(path).probability for path in paths]  # type: ignore[union-attr]
    ended = threading.Event()
    wrong: list[str] = []

    def client(number: int) -> int:
        count = 0
        with httpx.Client(timeout=60) as mine:
            while not ended.is_set():
                which = (number + count) % len(paths)
                answer = mine.post(f"{cluster}/v1/predict", content=contents[which])
                right = answer.status_code == 200 and abs(answer.json()["probability"] - expected[which]) < 1e-5
                wrong.extend([] if right else [answer.text])
                count += 1
        return count

    killed = replicas()
    assert len(killed) == 2
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(client, number) for number in range(8)]
        try:
            ended.wait(3)
            os.kill(killed[0], signal.SIGKILL)
            ended.wait(8)
        finally:
            ended.set()
        counts = [one.result() for one in asked]
    assert wrong == []
    assert min(counts) > 3
    page = httpx.get(cluster)
    assert "<title>tubelet</title>" in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
