"""Several real processes for tests, which find each other as those of `torchrun` do."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch.distributed import TCPStore

from reporters import StopsAt
from tubelet.config import PretrainConfig, TrainConfig, from_dict
from tubelet.distributed.launch import LIFELINE, _environment
from tubelet.distributed.process import ProcessInfo
from tubelet.distributed.world import joined
from tubelet.evaluation import evaluate
from tubelet.pretraining import pretrain
from tubelet.training import SilentReporter, TrainingInterrupted, train

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tubelet.pretraining.loop", "tubelet.evaluation.evaluator"])


def together(size: int, function: Callable[..., Any], *words: Any) -> list[tuple[str, Any]]:
    """What each process made of it: ("ok", result), (name of the error, its message), or ("ended", exit code)."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    started = []
    for rank in range(size):
        environment = _environment(ProcessInfo(rank, size, rank, size), store.port, 0)
        del environment[LIFELINE]
        ours, theirs = PROCESSES.Pipe(duplex=False)
        process = PROCESSES.Process(target=_child, args=(environment, theirs, function, words))
        process.start()
        theirs.close()
        started.append((process, ours))
    return [_outcome(process, pipe) for process, pipe in started]


def _outcome(process: Any, pipe: Connection) -> tuple[str, Any]:
    try:
        said = pipe.recv()
    except EOFError:
        said = None
    process.join(60)
    return said if said is not None else ("ended", process.exitcode)


def _child(environment: dict[str, str], pipe: Connection, function: Callable[..., Any], words: tuple[Any, ...]) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    try:
        pipe.send(("ok", function(*words)))
    except BaseException as error:  # noqa: BLE001  # the test looks at it
        pipe.send((type(error).__name__, str(error)))


def training(data: Path, out: Path, config: str, fields: dict[str, Any], stop: int | None = None) -> str | None:
    """Begin a training, or go on with it if its folder is there; the message if it was stopped."""
    reporter = SilentReporter() if stop is None else StopsAt(stop)
    try:
        if out.exists():
            train(out=out, resume=True, reporter=reporter, **fields)
        else:
            train(data, out, config=from_dict(TrainConfig, json.loads(config)), reporter=reporter, **fields)
    except TrainingInterrupted as interrupted:
        return str(interrupted)
    return None


def pretraining(data: Path, out: Path, config: str, fields: dict[str, Any], stop: int | None = None) -> str | None:
    """The same for a pretraining."""
    reporter = SilentReporter() if stop is None else StopsAt(stop)
    try:
        if out.exists():
            pretrain(out=out, resume=True, reporter=reporter, **fields)
        else:
            pretrain(data, out, config=from_dict(PretrainConfig, json.loads(config)), reporter=reporter, **fields)
    except TrainingInterrupted as interrupted:
        return str(interrupted)
    return None


def evaluation(model: Path, data: Path, out: Path, workers: int) -> None:
    """Evaluate together; the first process stores the result."""
    with joined() as world:
        result = evaluate(model, data, views="2x1", device="cpu", workers=workers, world=world)
        if world.first:
            result.save(out)


def fails(rank: int, by_exit: bool) -> None:
    """One process fails while the others wait for it."""
    with joined() as world:
        world.wait()
        if world.rank == rank:
            if by_exit:
                os._exit(9)
            raise ValueError("out of luck")
        world.wait()
