"""Files of strangers are decoded in processes that may die, hang or want too much, and cost one request then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

import guarded_tasks as tasks
from tubelet.errors import ConfigError, VideoError
from tubelet.video import read_video
from tubelet.video.guarded import Bounds, GuardedPool

MakeVideo = Callable[..., Path]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="address space is bounded on Linux")


@pytest.fixture(scope="module")
def pool() -> Iterator[GuardedPool]:
    with GuardedPool(1, Bounds(memory=2**30, cpu_seconds=2, seconds=3, file_bytes=2**20), ("guarded_tasks",)) as opened:
        opened.wait_until_ready()
        yield opened


def worker_of(pool: GuardedPool) -> int:
    supervisor = pool.process_ids()[0]
    return int(Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()[0])


@pytest.fixture(autouse=True)
def _still_works(pool: GuardedPool, make_video: MakeVideo) -> Iterator[None]:
    """After each test the next file is read, and by the same supervisor."""
    before = pool.process_ids()
    yield
    assert pool.call(tasks.read, str(make_video("after.mp4", frames=3)))["indices"] == [0, 1, 2]
    assert pool.process_ids() == before


def test_frames_are_those_of_reading_in_this_process(pool: GuardedPool, make_video: MakeVideo) -> None:
    path = make_video("a.mp4", frames=12)
    answer = pool.call(tasks.read, str(path), [7, 2, 2])
    clip = read_video(path, [7, 2, 2])
    assert torch.equal(answer["frames"], clip.frames)
    assert torch.equal(answer["timestamps"], clip.timestamps)
    assert answer["indices"] == [7, 2, 2]


def test_a_worker_is_used_again(pool: GuardedPool) -> None:
    assert pool.call(tasks.process_id, "") == pool.call(tasks.process_id, "") != os.getpid()


def test_a_conversation_gives_what_is_asked_for(pool: GuardedPool, make_video: MakeVideo) -> None:
    path = make_video("a.mp4", frames=9)
    clip = read_video(path)
    with pool.session(tasks.frames, str(path)) as session:
        assert session.value == 9
        assert torch.equal(session.send(8), clip.frames[8])
        assert torch.equal(session.send(0), clip.frames[0])
        assert session.send(None) is None
        assert session.ended
    with pool.session(tasks.frames, str(path)) as session:  # left in the middle
        session.send(3)
    with (
        pytest.raises(VideoError, match=r"a\.mp4: there is no frame 99"),
        pool.session(tasks.frames, str(path)) as session,
    ):
        session.send(99)


# --- what strangers send ----------------------------------------------------------------------------------------------


def test_a_file_that_was_cut_off_is_refused_in_words(pool: GuardedPool, make_video: MakeVideo, tmp_path: Path) -> None:
    whole = make_video("whole.mp4", frames=30).read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoError, match="cut off or damaged; get the whole file"):
        pool.call(tasks.read, str(tmp_path / "cut"))


@pytest.mark.parametrize(
    "text",
    ["#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n", "v=0\nc=IN IP4 127.0.0.1\nm=video {port} RTP/AVP 96\n"],
)
def test_a_list_opens_no_connection(text: str, pool: GuardedPool, tmp_path: Path) -> None:
    with tasks.listen() as server:
        server.settimeout(0.2)
        (tmp_path / "list").write_text(text.format(port=server.getsockname()[1]))
        with pytest.raises(VideoError, match="a list of other files"):
            pool.call(tasks.read, str(tmp_path / "list"))
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_header_that_claims_a_billion_pixels_is_refused(pool: GuardedPool, tmp_path: Path) -> None:
    (tmp_path / "huge").write_bytes(b"YUV4MPEG2 W40000 H25000 F25:1 C420jpeg\nFRAME\n" + bytes(1000))
    with pytest.raises(VideoError, match=r"pixels|damaged|not a video"):
        pool.call(tasks.read, str(tmp_path / "huge"))


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_costs_its_request_alone(pool: GuardedPool) -> None:
    worker = worker_of(pool)
    threading.Timer(0.3, os.kill, (worker, signal.SIGKILL)).start()
    began = time.monotonic()
    with pytest.raises(VideoError, match=r"v\.mp4: its decoder was killed"):
        pool.call(tasks.sleep, "v.mp4", 2.5)
    assert pool.call(tasks.process_id, "") != worker
    assert time.monotonic() - began < 2.0  # no new start


def test_a_worker_that_is_killed_while_idle_costs_nothing(pool: GuardedPool) -> None:
    worker = worker_of(pool)
    os.kill(worker, signal.SIGKILL)
    assert pool.call(tasks.process_id, "") != worker


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (tasks.crash, r"its decoder crashed \(signal 11\)"),
        (tasks.eat, r"needs more than 1\.0 GiB; re-encode it smaller"),
        (tasks.eat_tensor, r"needs more than 1\.0 GiB; re-encode it smaller"),
        (tasks.break_down, r"cannot be decoded \(unexpected ValueError: a defect\)"),
    ],
)
def test_what_goes_wrong_is_one_sentence(task: Callable[[str], None], words: str, pool: GuardedPool) -> None:
    with pytest.raises(VideoError, match=words):
        pool.call(task, "v.mp4")


def test_an_endless_video_ends_by_processor_time(pool: GuardedPool, make_video: MakeVideo) -> None:
    with pytest.raises(VideoError, match=r"took more than 2 s of processor time|took longer than 3 s"):
        pool.call(tasks.read_without_end, str(make_video("a.mp4", frames=5)))


def test_one_that_hangs_ends_by_the_clock(pool: GuardedPool) -> None:
    with pytest.raises(VideoError, match=r"took longer than 3 s"):
        pool.call(tasks.sleep, "v.mp4", 60.0)


def test_errors_of_the_command_stay_what_they_are(pool: GuardedPool) -> None:
    with pytest.raises(ConfigError, match="no such views"):
        pool.call(tasks.refuse, "v.mp4")


def test_it_writes_no_file_beyond_its_bound(pool: GuardedPool, tmp_path: Path) -> None:
    pool.call(tasks.write, str(tmp_path / "a"), 2**20)
    with pytest.raises(VideoError, match="File too large"):
        pool.call(tasks.write, str(tmp_path / "b"), 2**20 + 1)


# --- what a worker has ------------------------------------------------------------------------------------------------


def test_it_has_no_socket_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUBELET_SERVE_KEY", "secret")
    with tasks.listen(), GuardedPool(1, preload=("guarded_tasks",)) as opened:
        assert opened.call(tasks.sockets, "") == []
        assert "secret" not in opened.call(tasks.environment, "").values()


def test_all_end_when_the_parent_is_killed() -> None:
    program = "\n".join(
        [
            "import sys, time",
            "from tubelet.video.guarded import GuardedPool",
            "pool = GuardedPool(1)",
            "pool.wait_until_ready()",
            "print(pool.process_ids()[0], flush=True)",
            "time.sleep(60)",
        ]
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        supervisor = Path("/proc") / parent.stdout.readline().strip()
        assert supervisor.exists()
        parent.kill()
    until = time.monotonic() + 10
    while supervisor.exists() and "Z" not in (supervisor / "stat").read_text().split()[2]:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_several_threads_share_the_pool(pool: GuardedPool) -> None:
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(lambda _: pool.call(tasks.sleep, "", 0.05), range(8))) == {"slept"}


def test_bounds_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="seconds=0"):
        Bounds(seconds=0)
    with pytest.raises(ConfigError, match="at least 1"):
        GuardedPool(0)
