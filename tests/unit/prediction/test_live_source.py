"""Cameras: one timeline, though they break off, set their clocks anew, and are quicker than the model."""

from __future__ import annotations

import dataclasses
import gc
import random
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch

import tiny
import tubelet
from tubelet.errors import VideoError
from tubelet.model import ViViT
from tubelet.prediction import Decision, Timeline, stream
from unit.prediction.camera import Camera
from unit.prediction.rtsp_camera import RtspCamera

RATE = 20
BRIGHT, DARK = 250, 5


@pytest.fixture
def day_and_night() -> ViViT:
    return tiny.day_and_night(frames_per_second=float(RATE))


def days(times: list[tuple[float, float]]) -> Callable[[float], int]:
    return lambda moment: BRIGHT if any(start <= moment < end for start, end in times) else DARK


def watched(model: ViViT, camera: Camera, seconds: float, **settings: object) -> Timeline:
    """The timeline of a camera until so many seconds after its first frame."""
    with stream(model, camera.plain_address, **settings) as decisions:  # type: ignore[arg-type]

        def until() -> Iterator[Decision]:
            first: float | None = None
            for decision in decisions:
                yield decision
                first = decision.start if first is None else first
                if decision.end - first > seconds:
                    return

        return dataclasses.replace(Timeline.of("camera", until()), interruptions=decisions.interruptions)


def hold_events(timeline: Timeline, times: list[tuple[float, float]], hop: float, gap: float) -> float:
    """Every day is there, and its times are right to one hop, or to the gap that hides them. The largest error."""
    found = [event for event in timeline.events if event.label == "day"]
    assert len(found) == len(times)
    errors = []
    for event, (start, end) in zip(found, times, strict=True):
        errors += [abs(event.start - timeline.start - start), abs(event.end - timeline.start - end)]
    assert max(errors) <= hop + gap
    return max(errors)


def breaking(seconds: float, model: ViViT, gap: float, kind: type[Camera] = Camera) -> tuple[Timeline, float, Camera]:
    """A camera that breaks off every few seconds, and begins anew with another clock each time. `gap` as above."""
    draws = random.Random(0)
    lasts = [draws.uniform(3.5, 5.5) for _ in range(1000)]
    clocks = [draws.uniform(0.0, 90_000.0) for _ in range(1000)]
    times = [(start + 0.7, start + 1.9) for start in range(1, round(seconds) - 3, 3)]
    with kind(days(times), rate=RATE, lasts=lasts.__getitem__, clocks=clocks.__getitem__) as camera:
        timeline = watched(model, camera, seconds)
    print(timeline.interruptions)
    if timeline.interruptions.dropped:
        pytest.skip(f"this machine is too busy to look at every frame: {timeline.interruptions}")
    return timeline, hold_events(timeline, times, hop=2 / RATE, gap=gap), camera


@pytest.mark.parametrize("kind", [Camera, RtspCamera])
def test_a_camera_that_breaks_off_has_one_timeline_with_every_event(day_and_night: ViViT, kind: type[Camera]) -> None:
    timeline, _, camera = breaking(12.0, day_and_night, gap=0.05, kind=kind)
    assert timeline.error is None
    assert len(camera.begun) >= 3
    assert timeline.interruptions.breaks >= 2
    starts = [event.start for event in timeline.events]
    assert starts == sorted(starts)


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize("kind", [Camera, RtspCamera])
def test_a_camera_that_breaks_off_for_five_minutes(day_and_night: ViViT, kind: type[Camera]) -> None:
    """Memory does not grow either; it is read every second."""
    sizes: list[int] = []
    done = threading.Event()

    def measure() -> None:
        while not done.wait(1.0):
            sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)

    threading.Thread(target=measure, daemon=True).start()
    timeline, error, camera = breaking(300.0, day_and_night, gap=0.0, kind=kind)
    done.set()
    print(f"{len(timeline.events)} events, {len(camera.begun)} connections, largest error {error:.3f} s")
    print(f"memory after 30 s {sizes[30] / 2**20:.1f} MiB, at the end {sizes[-1] / 2**20:.1f} MiB")
    assert len(camera.begun) > 50
    assert max(sizes) - max(sizes[:30]) < 20 * 2**20


def test_a_clock_that_jumps_within_a_connection_goes_on(day_and_night: ViViT) -> None:
    times = [(1.0, 2.0), (3.0, 4.0)]
    with Camera(days(times), rate=RATE, jump_after=2.5) as camera:
        timeline = watched(day_and_night, camera, 5.0)
    hold_events(timeline, times, hop=2 / RATE, gap=0.1)
    assert timeline.end - timeline.start < 6.0


def test_a_source_that_does_not_come_back_keeps_what_was_seen(day_and_night: ViViT) -> None:
    with Camera(days([(0.5, 1.5)]), rate=RATE, lasts=lambda number: 2.5, connections=1) as camera:
        timeline = Timeline.of("camera", stream(day_and_night, camera.plain_address, reconnect=1.0))
    assert [event.label for event in timeline.events] == ["night", "day", "night"]
    assert timeline.error is not None
    assert "and for 1 s it could not be connected again" in timeline.error
    with Camera(days([(0.5, 1.5)]), rate=RATE, lasts=lambda number: 2.5) as camera:
        timeline = Timeline.of("camera", stream(day_and_night, camera.plain_address, reconnect=0))
    assert [event.label for event in timeline.events] == ["night", "day", "night"]
    assert len(camera.begun) == 1


def test_a_model_that_is_slower_than_the_camera_sees_the_newest_frames(day_and_night: ViViT) -> None:
    with Camera(days([]), rate=RATE) as camera, stream(day_and_night, camera.plain_address) as decisions:
        delays = []
        for decision in islice(decisions, 12):
            delays.append(camera.sent / RATE - (decision.end - 10.0))
            time.sleep(0.5)  # five times as long as a hop
        assert max(delays) < 4.0  # 6 seconds later at the end, if none were dropped
        assert decisions.interruptions.dropped > 0


def test_a_file_of_unknown_length_is_no_camera(day_and_night: ViViT, tmp_path: Path) -> None:
    """It comes quicker than it is shown: every frame is looked at, and its end is the end."""
    level = days([(5.0, 10.0)])
    with Camera(level, rate=RATE, lasts=lambda number: 20.0, speed=1000.0) as camera:
        decisions = stream(day_and_night, camera.plain_address)
        timeline = Timeline.of("file", decisions)
    assert len(camera.begun) == 1
    assert decisions.interruptions.dropped == 0
    assert timeline.end - timeline.start == pytest.approx(20.0, abs=0.2)
    hold_events(timeline, [(5.0, 10.0)], hop=2 / RATE, gap=0.0)


def test_waiting_for_a_camera_can_be_ended(day_and_night: ViViT) -> None:
    asked = threading.Event()
    with Camera(days([]), rate=RATE, lasts=lambda number: 1.0, connections=1) as camera:
        decisions = stream(day_and_night, camera.plain_address, stopped=asked.is_set)
        next(decisions)
        threading.Timer(2.0, asked.set).start()
        started = time.monotonic()
        list(decisions)
        decisions.close()
        assert time.monotonic() - started < 10.0


def tubelet_threads() -> int:
    return sum(thread.name == "tubelet-live" for thread in threading.enumerate())


def system_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted as Linux lists them")
def test_streams_that_nobody_closes_hold_no_threads(day_and_night: ViViT, tmp_path: Path) -> None:
    frames = torch.zeros(30, 3, 32, 32, dtype=torch.uint8)
    file = tubelet.write_video(tmp_path / "a.mp4", frames, RATE)
    next(stream(day_and_night, file))
    gc.collect()
    before = system_threads()
    gc.disable()
    try:
        for _ in range(20):
            next(stream(day_and_night, file))
        assert system_threads() <= before + 2
    finally:
        gc.enable()


def test_a_camera_that_nobody_closes_is_given_back(day_and_night: ViViT) -> None:
    with Camera(days([]), rate=RATE) as camera:
        next(stream(day_and_night, camera.plain_address))
        deadline = time.monotonic() + 5.0
        while tubelet_threads() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert tubelet_threads() == 0


def test_an_error_shows_no_password(day_and_night: ViViT) -> None:
    address = "rtsp://user:pa/ss@w?rd@127.0.0.1:1/door?token=secret"
    with pytest.raises(VideoError) as raised:
        stream(day_and_night, address)
    assert "rtsp://127.0.0.1:1/door?..." in str(raised.value)
    shown: BaseException | None = raised.value
    while shown is not None:  # a traceback shows these as well
        assert not any(part in str(shown) for part in ("user", "pa/ss", "rd@", "secret"))
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
