"""TensorBoard, wandb and trackio, which get the metrics of `metrics.jsonl` too.

What a logger does not have yet, because it was switched on late or a process was killed, it gets from the file; no
value is logged twice.
"""

from __future__ import annotations

import importlib
import inspect
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from tubelet.config.monitoring import MonitoringConfig
from tubelet.errors import ConfigError
from tubelet.files import write_text
from tubelet.training.log import EventLog, read_events
from tubelet.training.run_folder import RunFolder

SHOWN = ("train", "validation", "epoch")
"""Events whose numbers are logged."""

INSTALL = {
    "tensorboard": "pip install 'tubelet[tensorboard]'",
    "wandb": "pip install wandb",
    "trackio": "pip install trackio",
}


@runtime_checkable
class MetricLogger(Protocol):
    """A place where metrics are logged."""

    def write(self, event: str, step: int, figures: Mapping[str, float]) -> None:
        """Log the metrics of an event, unless they were logged before."""

    def flush(self) -> None:
        """Write out everything so far."""

    def close(self) -> None:
        """The last call."""


def require_installed(config: MonitoringConfig) -> None:
    """Raise a ConfigError if a logger is not installed."""
    for name in config.log:
        found = find_spec(name)
        if found is None or found.origin is None:  # a folder of that name, such as wandb leaves behind, is no module
            raise ConfigError(f"log={name!r} needs {name}, which is not installed: {INSTALL[name]}")


@contextmanager
def logging_to(log: EventLog, folder: RunFolder, config: MonitoringConfig, step: int) -> Iterator[None]:
    """Inside the `with`, the events of a log go to the loggers of the configuration, too.

    Args:
        log: of the run.
        folder: of the run.
        config: names the loggers.
        step: steps done; the log has them.
    """
    if not config.log:
        yield
        return
    with ExitStack() as stack:
        for name in config.log:
            logger: MetricLogger
            if name == "tensorboard":
                logger = TensorBoard(folder.path / "tensorboard", step)
            else:
                logger = Tracker(name, folder, config.log_project)
            stack.callback(logger.close)
            for fields in read_events(folder.metrics):
                show(logger, fields)
            stack.enter_context(log.also(partial(show, logger), logger.flush))
        yield


def show(logger: MetricLogger, fields: Mapping[str, Any]) -> None:
    """Log an event of `metrics.jsonl`, if it has metrics."""
    event = fields["event"]
    figures = dict(_figures(event, {name: value for name, value in fields.items() if name not in ("event", "step")}))
    if event in SHOWN and figures:
        logger.write(event, fields["step"], figures)


def _figures(prefix: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Numbers by name: `train/loss`, `validation/top1_by_head/verb`."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _figures(f"{prefix}/{name}", value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}/{name}", float(value)


class TensorBoard(MetricLogger):
    """Event files in a folder.

    Args:
        folder: of the event files; continued if there are some.
        step: steps done. What older files have from this step on does not count any more, and comes again.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        continued = folder.is_dir() and any(folder.iterdir())
        self._first = step if continued else 0
        self._writer = SummaryWriter(str(folder), purge_step=self._first if continued else None)

    def write(self, event: str, step: int, figures: Mapping[str, float]) -> None:
        if step >= self._first:
            for name, value in figures.items():
                self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class Tracker(MetricLogger):
    """A module with the functions `init`, `log` and `finish`: wandb, or trackio.

    The run's name there and the steps that were logged are kept in `log-NAME.json`, for a resumed run. These modules
    send from a process or thread of their own.

    Args:
        name: of the module.
        folder: of the run.
        project: that the run belongs to there.
    """

    def __init__(self, name: str, folder: RunFolder, project: str) -> None:
        self._module = importlib.import_module(name)
        self._file = folder.path / f"log-{name}.json"
        if self._file.is_file():
            self._state = json.loads(self._file.read_text(encoding="utf-8"))
        else:
            self._state = {"project": project, "id": secrets.token_hex(4), "given": {}}
            self._keep()
        identity = self._state["id"]
        fields = {"name": f"{folder.path.resolve().name}-{identity}", "resume": "allow"}
        if "id" in inspect.signature(self._module.init).parameters:  # wandb knows a run by its id, trackio by its name
            fields["id"] = identity
        self._module.init(project=self._state["project"], config=folder.read_run()["config"], **fields)

    def write(self, event: str, step: int, figures: Mapping[str, float]) -> None:
        if step > self._state["given"].get(event, -1):
            self._state["given"][event] = step
            self._keep()  # first, since one figure that is missing is better than one that is there twice
            self._module.log(dict(figures), step=step)

    def flush(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        self._module.finish()

    def _keep(self) -> None:
        write_text(self._file, json.dumps(self._state))
