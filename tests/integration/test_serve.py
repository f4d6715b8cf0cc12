"""`tubelet serve` as a process: under load, at its end, and among files that are made to break it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import tubelet
from serving_help import write_day
from tiny import day_and_night
from tubelet.prediction import Predictor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="guarded processes are bounded on Linux")


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its address, once it is ready."""
    temporary = folder / "tmp"
    temporary.mkdir()
    tubelet.save(day_and_night(), folder / "day")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(temporary)}
    words = [sys.executable, "-m", "tubelet", "serve", str(folder / "day"), "--port", "0", "--json", *options]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    try:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"].rstrip("/")
        while httpx.get(f"{address}/readyz").status_code != 200:
            time.sleep(0.1)
        yield process, address
    finally:
        process.kill()
        process.communicate()


def ask(client: httpx.Client, address: str, content: bytes, **parameters: Any) -> httpx.Response:
    return client.post(f"{address}/v1/predict", content=content, params=parameters, timeout=120)


def expected_of(paths: list[Path]) -> list[float]:
    results = Predictor(day_and_night())(paths)
    assert isinstance(results, list)
    return [result.probability for result in results]


def days(folder: Path, count: int) -> list[Path]:
    return [write_day(folder / f"{number}.mp4", [255 * number // count] * 8) for number in range(count)]


def noted_in(folder: Path) -> list[dict[str, Any]]:
    """The service's own lines about predictions."""
    lines = [json.loads(line) for line in (folder / "log").read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("path") == "/v1/predict"]


def test_all_that_were_let_in_are_answered_when_it_is_told_to_end(tmp_path: Path) -> None:
    """SIGTERM under load: a request is answered or its connection was never taken; exit code 0; nothing is left."""
    content = write_day(tmp_path / "clip.mp4", [0] * 4 + [255] * 60).read_bytes()
    with serving(tmp_path) as (process, address):
        answered: list[int] = []
        broken: list[str] = []

        def client() -> None:
            while True:
                try:
                    with httpx.Client() as fresh:
                        answered.append(ask(fresh, address, content, views="4x1").status_code)
                except httpx.ConnectError:
                    return
                except httpx.HTTPError as error:
                    broken.append(repr(error))
                    return

        threads = [threading.Thread(target=client) for _ in range(12)]
        for thread in threads:
            thread.start()
        while len(answered) < 20:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert process.wait(30) == 0
        noted = noted_in(tmp_path)
        assert set(answered) <= {200, 429}
        assert len(noted) == len(answered), (broken, len(noted), len(answered))
        assert not [entry for entry in (tmp_path / "tmp").iterdir() if entry.name.startswith("tubelet-serve")]


def test_a_wrong_command_is_an_error_in_words(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from tubelet.cli.main import main

    tubelet.save(day_and_night(), tmp_path / "day")
    model = str(tmp_path / "day")
    assert main(["serve", str(tmp_path / "nothing")]) == 2
    assert main(["serve", model, "--host", "0.0.0.0"]) == 2
    assert "can be reached by others, who would need no key" in capfd.readouterr().err
    assert main(["serve", model, model]) == 2
    assert "two models are called 'day'" in capfd.readouterr().err


def memory_of(process: subprocess.Popen[str]) -> float:
    """Megabytes of a process and all below it."""
    total, left = 0, [process.pid]
    while left:
        pid = left.pop()
        try:
            total += int(Path(f"/proc/{pid}/smaps_rollup").read_text().split("Pss:")[1].split()[0])
            left += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total / 1024


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_under_load_every_answer_is_that_of_predict(tmp_path: Path) -> None:
    """16 clients, 200 requests each."""
    paths = days(tmp_path, 8)
    contents, expected = [path.read_bytes() for path in paths], expected_of(paths)
    with serving(tmp_path) as (process, address):
        seconds: list[float] = []

        def client(number: int) -> float:
            worst = 0.0
            with httpx.Client() as mine:
                for turn in range(200):
                    which = (number + turn) % len(paths)
                    began = time.perf_counter()
                    answer = ask(mine, address, contents[which])
                    seconds.append(time.perf_counter() - began)
                    label, probability = answer.json()["label"], answer.json()["probability"]
                    worst = max(worst, abs(probability - expected[which]))
                    assert label in ("day", "night")
            return worst

        before, began = memory_of(process), time.perf_counter()
        with ThreadPoolExecutor(16) as threads:
            worst = max(threads.map(client, range(16)))
        took = time.perf_counter() - began
        middle, late = statistics.median(seconds), statistics.quantiles(seconds, n=100)[98]
        print(
            f"{len(seconds) / took:.1f} requests/s, p50 {middle:.3f} s, p99 {late:.3f} s, worst difference {worst:.1e}"
        )
        print(f"memory {before:.0f} to {memory_of(process):.0f} MB")
        assert worst < 1e-5
        assert memory_of(process) < before + 200


def burst(address: str, content: bytes, count: int) -> list[tuple[int, float]]:
    """Requests all at once, by a client that costs next to nothing: statuses, and seconds until each answer began."""
    host, port = address.removeprefix("http://").split(":")
    head = f"POST /v1/predict?views=8x1 HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    answers: list[tuple[int, float]] = []
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as sockets:
        for _ in range(count):
            began = time.perf_counter()
            one = sockets.enter_context(socket.create_connection((host, int(port))))
            one.sendall(head + content)
            selector.register(one, selectors.EVENT_READ, began)
        while len(answers) < count:
            for key, _ in selector.select(timeout=60):
                status = int(key.fileobj.recv(4096).split()[1])  # type: ignore[union-attr]
                answers.append((status, time.perf_counter() - key.data))
                selector.unregister(key.fileobj)
    return answers


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_overload_is_answered_at_once(tmp_path: Path) -> None:
    """200 clients at once."""
    content = write_day(tmp_path / "clip.mp4", [0, 255] * 20).read_bytes()
    with serving(tmp_path, "--capacity", "32") as (_, address):
        answers = burst(address, content, 200)
        refused = sorted(seconds for status, seconds in answers if status == 429)
        noted = sorted(line["answered"] for line in noted_in(tmp_path) if line["status"] == 429)
        print({status: sum(one == status for one, _ in answers) for status in {one for one, _ in answers}})
        print(
            f"429 after {statistics.median(refused):.3f} s (median), {refused[-1]:.3f} s at most; in the service after"
        )
        print(f"{statistics.median(noted):.4f} s (median), {noted[-1]:.4f} s at most")
        assert {status for status, _ in answers} <= {200, 429, 503}
        assert len(noted) > 100
        assert noted[-1] < 0.05
        busy = os.getloadavg()[0] > os.cpu_count() / 2  # type: ignore[operator]
        assert refused[-1] < (1.0 if busy else 0.05)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_files_that_are_made_to_break_it_harm_nobody_else(tmp_path: Path, shared: Path) -> None:
    """Odd files and mutated ones among good requests, and decoders that are killed meanwhile."""
    odd = [path for path in sorted((shared / "data" / "edge_videos").rglob("*")) if path.is_file()]
    odd = [path for path in odd if path.stat().st_size < 4e6 and path.suffix != ".csv"]
    mutated = 2000 // len(odd)
    good = days(tmp_path, 4)
    contents, expected = [path.read_bytes() for path in good], expected_of(good)
    generator = random.Random(0)

    def hostile() -> Iterator[bytes]:
        for path in odd:
            whole = path.read_bytes()
            yield whole
            for _ in range(mutated):
                yield _mutated(whole, generator)

    with serving(tmp_path, "--deadline", "120") as (process, address):
        before, worst, statuses = memory_of(process), 0.0, []
        ended = threading.Event()

        def friend() -> int:
            count = 0
            with httpx.Client() as mine:
                while not ended.is_set():
                    which = count % len(good)
                    answer = ask(mine, address, contents[which])
                    if answer.status_code == 422:
                        assert "its decoder was killed" in answer.text
                    else:
                        assert answer.json()["probability"] == pytest.approx(expected[which], abs=1e-5)
                    count += 1
                    time.sleep(0.05)
            return count

        with ThreadPoolExecutor(4) as threads:
            friends = threads.submit(friend)
            try:
                for status in threads.map(lambda content: _status(address, content), hostile()):
                    statuses.append(status)
                    worst = max(worst, memory_of(process)) if len(statuses) % 50 == 0 else worst
            finally:
                ended.set()
            asked = friends.result()
        counts = {status: statuses.count(status) for status in sorted(set(statuses))}
        print(f"{counts}, {asked} good ones among them, memory {before:.0f} to {worst:.0f} MB")
        assert process.poll() is None
        assert set(counts) <= {200, 400, 422}
        assert worst < before + 500
        assert not list((tmp_path / "tmp").glob("tubelet-serve*/*"))


def _status(address: str, content: bytes) -> int:
    with httpx.Client() as mine:
        return ask(mine, address, content).status_code


def _mutated(whole: bytes, generator: random.Random) -> bytes:
    """A few bytes are others, half of the time near the beginning; one in three is cut off."""
    broken = bytearray(whole[: generator.randrange(1, len(whole) + 1)] if generator.random() < 0.3 else whole)
    reach = min(len(broken), 4096) if generator.random() < 0.5 else len(broken)
    for _ in range(generator.choice((1, 8, 64))):
        broken[generator.randrange(reach)] = generator.randrange(256)
    return bytes(broken)
