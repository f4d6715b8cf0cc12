"""Decoders of other machines give the rows that a worker's own give, also when some are lost or strangers call."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from pathlib import Path

import pytest

import corpus_chaos
from tubelet.cli.main import main
from tubelet.corpus import apart, check
from tubelet.corpus.apart import Address, ApartDecoder
from tubelet.corpus.parts import name_of
from tubelet.corpus.sources import Video
from tubelet.corpus.task import TaskRunner, WorkerSettings
from tubelet.errors import WorkerError

DECODER = "import sys; from tubelet.corpus.apart import *; decode_for(Address(*eval(sys.argv[1])))"


@pytest.fixture
def address() -> Address:
    return Address.on("127.0.0.1")


@pytest.fixture
def decoders(address: Address) -> Iterator[list[subprocess.Popen[bytes]]]:
    words = [sys.executable, "-c", DECODER, repr((address.host, address.port, address.key))]
    path = os.pathsep.join(sys.path)
    started = [subprocess.Popen(words, env={**os.environ, "PYTHONPATH": path}) for _ in range(2)]
    yield started
    for one in started:
        one.kill()
        one.wait()


def test_rows_are_the_same_though_a_decoder_is_lost(
    corpus: Path, finished: Path, address: Address, decoders: list[subprocess.Popen[bytes]]
) -> None:
    for part in corpus.glob("part-*"):
        part.unlink()
    runner = TaskRunner(WorkerSettings(str(corpus), decoders=2, apart=address))
    with pytest.raises(AuthenticationError):
        Client((address.host, address.port), authkey=b"another")
    with Client((address.host, address.port), authkey=address.key) as one_that_leaves:
        one_that_leaves.recv()
    for task in range(3):
        runner.run(task, begins=lambda video: decoders[0].kill() if video == 5 else None)
    runner.close()
    assert decoders[0].wait() != 0
    assert check(str(corpus), page=False).ok
    assert corpus_chaos.rows_of(corpus) == corpus_chaos.rows_of(finished)
    assert (corpus / name_of(2)).exists()


def test_a_worker_without_decoders_says_what_may_be_wrong(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "ARRIVAL", 0.1)
    decode = ApartDecoder(None, (1, 1), 1.0, address)
    with pytest.raises(WorkerError, match="no free core"):
        decode(Video(0, "clip.mp4"))
    decode.close()


def test_one_machine_has_no_decoders_apart(
    model: Path, lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["corpus", "run", str(model), str(lake), "--out", str(tmp_path / "out"), "--decode", "apart"]
    assert main(words) == 2
    assert "needs engine='ray'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
