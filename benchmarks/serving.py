"""`tubelet serve` under load, beside offline prediction of the same files.

    python -m benchmarks.serving MODEL VIDEO [VIDEO ...]                       16 clients x 200 requests
    python -m benchmarks.serving MODEL VIDEO ... --clients 4 --requests 20 --long 10000

Offline prediction runs in this process before and after the service, over as many videos as there are requests, with
each of `--batch-sizes`, and the best one counts. `--long` requests follow, while the memory of the service and its
decoders is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from tubelet.prediction import Predictor, Result


def main() -> None:
    """Measure and print."""
    options = _options()
    contents = [path.read_bytes() for path in options.videos]
    count = options.clients * options.requests
    videos = [str(options.videos[number % len(contents)]) for number in range(count)]
    predictor = Predictor(options.model, device=options.device)
    expected = [_probability(result) for result in predictor(videos[: len(contents)])]
    before = _offline(predictor, videos, options.batch_sizes)
    with _service(options) as (process, address):
        start = _memory(process.pid)
        _load(address, contents, expected, 1, len(contents))
        seconds, worst, took = _load(address, contents, expected, options.clients, options.requests)
        middle = _memory(process.pid)
        for done in range(0, options.long, 1000):
            _load(address, contents, expected, options.clients, min(1000, options.long - done) // options.clients)
            print(f"after {min(done + 1000, options.long)} more requests: {_memory(process.pid):.0f} MB", flush=True)
    after = _offline(predictor, videos, options.batch_sizes)
    offline = statistics.mean((before, after))
    p50, p99 = statistics.median(seconds), statistics.quantiles(seconds, n=100)[98]
    print(f"service: {count / took:.2f} videos/s, p50 {p50:.3f} s, p99 {p99:.3f} s, worst difference {worst:.1e}")
    print(
        f"offline: {before:.2f} videos/s before, {after:.2f} after; the service has {count / took / offline:.3f} of it"
    )
    print(f"memory:  {start:.0f} MB at the start, {middle:.0f} MB after the load")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description="The service under load.")
    parser.add_argument("model")
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=200, help="of each client")
    parser.add_argument("--batch", type=int, default=8, help="of the service")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4, 8, 16], help="of offline prediction")
    parser.add_argument("--long", type=int, default=0, help="requests afterwards, for the memory")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def _probability(result: Result) -> float:
    return result.probability


def _offline(predictor: Predictor, videos: list[str], batch_sizes: list[int]) -> float:
    """Videos per second, with the best batch."""
    best = 0.0
    for size in batch_sizes:
        began = time.perf_counter()
        for result in predictor.stream(videos, batch_size=size):
            assert result.error is None, result.error
        best = max(best, len(videos) / (time.perf_counter() - began))
    return best


@contextmanager
def _service(options: argparse.Namespace) -> Iterator[tuple[subprocess.Popen[str], str]]:
    words = ["serve", options.model, "--port", "0", "--json", "--quiet", "--batch", str(options.batch)]
    words = [sys.executable, "-m", "tubelet", *words, "--device", options.device]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ})
    try:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"].removeprefix("http://").rstrip("/")
        while _asked(HTTPConnection(address), "GET", "/readyz")[0] != 200:
            time.sleep(0.2)
        yield process, address
    finally:
        process.terminate()
        process.wait()


def _asked(connection: HTTPConnection, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    connection.request(method, path, body)
    answer = connection.getresponse()
    return answer.status, answer.read()


def _load(
    address: str, contents: list[bytes], expected: list[float], clients: int, requests: int
) -> tuple[list[float], float, float]:
    """Seconds of each request, the worst difference from offline prediction, and seconds of all."""
    seconds: list[float] = []

    def client(number: int) -> float:
        worst, connection = 0.0, HTTPConnection(address)
        for turn in range(requests):
            which = (number + turn) % len(contents)
            began = time.perf_counter()
            status, answer = _asked(connection, "POST", "/v1/predict", contents[which])
            seconds.append(time.perf_counter() - began)
            assert status == 200, answer
            worst = max(worst, abs(json.loads(answer)["probability"] - expected[which]))
        return worst

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        worst = max(threads.map(client, range(clients)))
    return seconds, worst, time.perf_counter() - began


def _memory(pid: int) -> float:
    """Megabytes of a process and all below it, what they share counted once."""
    total = int(Path(f"/proc/{pid}/smaps_rollup").read_text().split("Pss:")[1].split()[0]) / 1024
    children = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return total + sum(_memory(int(child)) for several in children for child in several)


if __name__ == "__main__":
    main()
