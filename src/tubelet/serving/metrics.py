"""Counters and histograms in the text format of Prometheus."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the buckets of durations."""

HELP = {
    "tubelet_requests_total": ("counter", "Requests by route and status."),
    "tubelet_request_seconds": ("histogram", "Seconds from a request's first byte to its answer's last, by route."),
    "tubelet_stage_seconds": (
        "histogram",
        "Seconds of a request in a stage: upload, decode (waiting too), model (the same).",
    ),
    "tubelet_upload_bytes_total": ("counter", "Bytes of videos received."),
    "tubelet_forward_passes_total": ("counter", "Forward passes of predictions."),
    "tubelet_forward_clips_total": ("counter", "Clips in them."),
    "tubelet_stream_decisions_total": ("counter", "Decisions of timelines and cameras."),
    "tubelet_stream_encoded_total": (
        "counter",
        "Tubelets that were encoded for them; windows, of models that do not share tubelets.",
    ),
    "tubelet_in_progress": ("gauge", "Requests that are worked on or wait."),
    "tubelet_sessions": ("gauge", "Timelines and cameras at present."),
    "tubelet_model_queue": ("gauge", "Requests that wait for the model."),
    "tubelet_decoders": ("gauge", "Guarded processes."),
    "tubelet_ready": ("gauge", "1 when the sample clips gave their logits."),
}

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """What a service counts. Several threads may count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, dict[Labels, float]] = defaultdict(lambda: defaultdict(float))
        self._histograms: dict[str, dict[Labels, _Histogram]] = defaultdict(lambda: defaultdict(_Histogram))
        self._gauges: dict[str, Callable[[], float]] = {}

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts[name][tuple(labels.items())] += amount

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add a value to a histogram."""
        with self._lock:
            self._histograms[name][tuple(labels.items())].add(value)

    def gauge(self, name: str, value: Callable[[], float]) -> None:
        """Ask this function for the value of a gauge, when it is read."""
        self._gauges[name] = value

    def text(self) -> str:
        """All of them."""
        lines: list[str] = []
        with self._lock:
            for name, (kind, about) in HELP.items():
                lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
                lines += [f"{name}{_braces(labels)} {value:g}" for labels, value in self._counts[name].items()]
                if name in self._gauges:
                    lines.append(f"{name} {self._gauges[name]():g}")
                for labels, histogram in self._histograms[name].items():
                    lines += histogram.lines(name, labels)
        return "\n".join(lines) + "\n"


class _Histogram:
    def __init__(self) -> None:
        self._buckets = [0] * (len(SECONDS) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._buckets[bisect_left(SECONDS, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: Labels) -> list[str]:
        lines, total = [], 0
        for bound, number in zip((*SECONDS, "+Inf"), self._buckets, strict=True):
            total += number
            lines.append(f"{name}_bucket{_braces((*labels, ('le', str(bound))))} {total}")
        return [*lines, f"{name}_sum{_braces(labels)} {self._sum:g}", f"{name}_count{_braces(labels)} {total}"]


def _braces(labels: Labels | Mapping[str, str]) -> str:
    written = ",".join(f'{name}="{_escaped(value)}"' for name, value in dict(labels).items())
    return f"{{{written}}}" if written else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
