"""A process that does tasks for `tubelet.corpus.local`, until the driver closes the pipe or is gone."""

from __future__ import annotations

import os
import sys
import traceback
from multiprocessing.connection import Connection

import torch

from tubelet.corpus.task import TaskRunner
from tubelet.errors import TubeletError, WorkerError


def main() -> None:
    """Read settings and tasks from the pipe that the first argument names; answer in it.

    driver   WorkerSettings, then (task, deadly ids), ...
    worker   ("ready",), ("begins", id), ..., ("done", Done), ..., or ("failed", error)
    """
    os.dup2(2, 1)  # what a library prints is no result of the command
    pipe = Connection(int(sys.argv[1]))
    try:
        settings = pipe.recv()
        torch.set_num_threads(settings.threads)
        runner = TaskRunner(settings)
        pipe.send(("ready",))
        while True:
            task, deadly = pipe.recv()
            pipe.send(("done", runner.run(task, deadly, lambda video: pipe.send(("begins", video)))))
    except (EOFError, BrokenPipeError, ConnectionResetError):  # the driver is gone
        return
    except TubeletError as error:
        pipe.send(("failed", error))
    except Exception as error:  # noqa: BLE001  # a defect; the driver says that it was one
        traceback.print_exc()
        pipe.send(("failed", WorkerError(f"a worker failed with {type(error).__name__}: {error}")))
    finally:
        sys.stderr.flush()
        os._exit(0)  # decoders end with their pipes


if __name__ == "__main__":
    main()
