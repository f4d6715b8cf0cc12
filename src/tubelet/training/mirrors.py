"""TensorBoard, wandb and trackio: where the figures of `metrics.jsonl` can be seen as well.

`metrics.jsonl` is the truth and these follow it: what they do not have yet, because they were switched on late or a
process was killed, is taken from it, and no figure is given to them twice.
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
"""Events whose numbers are shown."""

INSTALL = {
    "tensorboard": "pip install 'tubelet[tensorboard]'",
    "wandb": "pip install wandb",
    "trackio": "pip install trackio",
}


@runtime_checkable
class Mirror(Protocol):
    """Somewhere else that figures are shown."""

    def write(self, event: str, step: int, figures: Mapping[str, float]) -> None:
        """Show the figures of an event, unless they were shown before."""
        ...

    def flush(self) -> None:
        """Have everything so far out of this process."""
        ...

    def close(self) -> None:
        """No more will come."""
        ...


def require_installed(config: MonitoringConfig) -> None:
    """Raise a ConfigError if a place that figures are to go to is not installed."""
    for name in config.log:
        found = find_spec(name)
        if found is None or found.origin is None:  # a folder of that name, such as wandb leaves behind, is no module
            raise ConfigError(f"log={name!r} needs {name}, which is not installed: {INSTALL[name]}")


@contextmanager
def mirroring(log: EventLog, folder: RunFolder, config: MonitoringConfig, step: int) -> Iterator[None]:
    """Inside the `with`, the events of a log go to the places of the configuration as well.

    Args:
        log: where events are written.
        folder: of the run.
        config: names the places.
        step: steps done; the log holds what happened up to there.
    """
    if not config.log:
        yield
        return
    with ExitStack() as stack:
        for name in config.log:
            mirror: Mirror
            if name == "tensorboard":
                mirror = TensorBoard(folder.path / "tensorboard", step)
            else:
                mirror = Tracker(name, folder, config.log_project)
            stack.callback(mirror.close)
            for fields in read_events(folder.metrics):
                show(mirror, fields)
            stack.enter_context(log.also(partial(show, mirror), mirror.flush))
        yield


def show(mirror: Mirror, fields: Mapping[str, Any]) -> None:
    """Give an event of `metrics.jsonl` to a mirror, if there is something to show."""
    event = fields["event"]
    figures = dict(_figures(event, {name: value for name, value in fields.items() if name not in ("event", "step")}))
    if event in SHOWN and figures:
        mirror.write(event, fields["step"], figures)


def _figures(prefix: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Numbers by name: `train/loss`, `validation/top1_by_head/verb`."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _figures(f"{prefix}/{name}", value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}/{name}", float(value)


class TensorBoard:
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
        """See `Mirror`."""
        if step >= self._first:
            for name, value in figures.items():
                self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """See `Mirror`."""
        self._writer.flush()

    def close(self) -> None:
        """See `Mirror`."""
        self._writer.close()


class Tracker:
    """A module with the functions `init`, `log` and `finish`: wandb, or trackio.

    What was given to it is kept in `log-NAME.json` of the run, so that a resumed run goes on in the same place there
    and no figure comes twice.

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
        """See `Mirror`."""
        if step > self._state["given"].get(event, -1):
            self._state["given"][event] = step
            self._keep()  # first, since one figure that is missing is better than one that is there twice
            self._module.log(dict(figures), step=step)

    def flush(self) -> None:
        """See `Mirror`; these modules send from a process or thread of their own."""

    def close(self) -> None:
        """See `Mirror`."""
        self._module.finish()

    def _keep(self) -> None:
        write_text(self._file, json.dumps(self._state))
