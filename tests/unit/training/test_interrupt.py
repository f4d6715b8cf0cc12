"""Signals, the log, and the failures that are written down once."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tubelet.data import Failure
from tubelet.training import read_events
from tubelet.training.interrupt import StopRequest
from tubelet.training.log import EventLog
from tubelet.training.run_folder import FailureLog


def test_the_first_signal_is_remembered_and_the_second_ends_as_usual() -> None:
    # A shell starts what runs in the background with SIGINT ignored, and no second one would end it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with StopRequest() as stop:
            assert not stop
            signal.raise_signal(signal.SIGINT)
            assert stop
            assert stop.signal_number == signal.SIGINT
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_handlers_are_given_back_also_when_no_signal_came() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_training_in_a_thread_leaves_signals_alone() -> None:
    seen: list[bool] = []

    def inside() -> None:
        with StopRequest() as stop:
            seen.append(bool(stop))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [False]


def test_the_log_goes_back_to_a_position_and_drops_a_line_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with EventLog(path) as log:
        log.write("train", step=1)
        position = log.position()
        log.write("train", step=2)
    with path.open("ab") as file:
        file.write(b'{"event": "train", "st')
    assert [event["step"] for event in read_events(path)] == [1, 2]
    with EventLog(path) as log:
        log.rewind(position)
        log.write("train", step=2)
        log.write("validation", step=2)
        assert log.whole
    assert [event["step"] for event in read_events(path, "train")] == [1, 2]
    assert len(read_events(path)) == 3


@pytest.mark.parametrize("change", [lambda lines: b"", lambda lines: lines[:-5], lambda lines: b"# mine\n" + lines])
def test_a_log_that_was_changed_meanwhile_is_known_and_keeps_whole_lines(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "metrics.jsonl"
    with EventLog(path) as log:
        for step in (1, 2):
            log.write("train", step=step)
        position = log.position()
    path.write_bytes(change(path.read_bytes()))
    with EventLog(path) as log:
        log.rewind(position)
        assert not log.whole
        log.write("train", step=3)
    lines = [line for line in path.read_bytes().split(b"\n") if line != b"# mine"]
    assert lines.pop() == b""
    assert [json.loads(line)["step"] for line in lines][-1] == 3


def test_a_failure_is_written_once_also_across_a_resume(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    first, second = Failure(0, "a.mp4", "cut off"), Failure(1, "b.mp4", "empty")
    log = FailureLog(path)
    assert log.note([first]) == [first]
    assert log.note([first]) == []
    again = FailureLog(path)
    assert again.note([first, second]) == [second]
    assert [json.loads(line)["path"] for line in path.read_text().splitlines()] == ["a.mp4", "b.mp4"]
    assert len(again) == 2


BUSY = """
import hashlib, signal
from tubelet.training.interrupt import StopRequest
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background a shell has it ignored
with StopRequest():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 200_000_000)  # no Python in between, for minutes
"""


def test_ctrl_c_is_answered_at_once_and_the_second_one_ends_what_python_cannot_interrupt() -> None:
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == b"\n"
        assert process.stderr.readline() == b"stopping after this step; press Ctrl-C once more to stop now\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
    finally:
        process.kill()
        process.communicate()


def test_a_terminal_that_is_closed_stops_it_unless_that_is_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop.signal_number == signal.SIGHUP
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` has it
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


TALKS = """
import sys, time
from tubelet.training.interrupt import StopRequest
with StopRequest() as stop:
    print("ready", flush=True)
    while not stop:
        time.sleep(0.01)
    print("bye", flush=True)
    print("bye", file=sys.stderr, flush=True)
open(sys.argv[1], "w").write("saved")
"""


def test_what_is_written_to_a_closed_terminal_is_no_error(tmp_path: Path) -> None:
    process, terminal = pty.fork()
    if process == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
        os.execv(sys.executable, [sys.executable, "-c", TALKS, str(tmp_path / "said")])
    assert os.read(terminal, 5) == b"ready"
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    assert (tmp_path / "said").read_text() == "saved"


def test_the_answer_is_for_the_signals_of_a_request_alone(capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with StopRequest():
            signal.raise_signal(signal.SIGUSR1)
            time.sleep(0.1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert capfd.readouterr().err == ""
    assert signal.set_wakeup_fd(-1) == -1
