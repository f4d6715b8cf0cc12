"""A model in service, and what is known about it."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from torch import nn

from tubelet.config import PreprocessingConfig
from tubelet.data import Sample
from tubelet.data.known import KnownVideos
from tubelet.device import Precision
from tubelet.exported import ExportedViViT
from tubelet.model import ViViT
from tubelet.prediction.ready import ready
from tubelet.prediction.result import class_names
from tubelet.provenance import Use
from tubelet.runs.check import check_samples
from tubelet.serving.model_thread import Logits, ModelThread
from tubelet.video import Views


class ServedModel:
    """A model under a name.

    Args:
        name: in requests.
        source: a model, or what `tubelet.load` reads.
        device: where to.
        precision: of matrix products.

    Attributes:
        preprocessing: of videos.
        thread: that computes with it; set by the service.
        problem: why it is not ready; None when it is.

    Raises:
        WeightsError, ConfigError: it cannot be loaded, has no head, or no `preprocessing`.
    """

    def __init__(
        self,
        name: str,
        source: nn.Module | str | os.PathLike[str],
        *,
        device: str | None = None,
        precision: Precision = "float32",
    ) -> None:
        self.name = name
        self.model: ViViT
        self.preprocessing: PreprocessingConfig
        self.model, self.preprocessing = ready(source, device)
        self.model.eval()
        self.precision = precision
        self.thread: ModelThread
        self.problem: str | None = "its sample clips have not been computed yet"
        self.checked: dict[str, Any] | None = None
        provenance = self.model.provenance
        self._known = KnownVideos(provenance.videos) if provenance is not None else None

    def check(self) -> None:
        """Compute the sample clips, and compare with the logits that are kept with them. On the model's thread."""
        if self.model.sample_clips is None:
            self.problem = None
            return
        device = next(self.model.parameters()).device
        backend: Literal["optimise", "plain"] = "optimise" if device.type == "cpu" else "plain"
        precision: Any = "bfloat16" if "bfloat16" in str(self.thread.dtype) else "float32"
        found = check_samples(self.model, backends=[backend], precisions=[precision], device=device)
        check = found.checks[0]
        self.checked = None if check.difference is None else asdict(check.difference)
        self.problem = (
            None if found.ok else "its sample clips gave other logits than are kept with them; `tubelet doctor`"
        )

    def start_check(self) -> Future[None]:
        """`check`, on the model's thread."""
        return self.thread.run(self.check)

    async def predict(self, views: Views) -> Logits:
        """Logits of the views of a video; not computed where this is cancelled."""
        return await asyncio.wrap_future(self.thread.predict(views))

    def use_of(self, path: Path) -> Use | None:
        """What the model did with this file, by its content, in its training."""
        return None if self._known is None else self._known.uses_of([Sample(str(path), {})])[0]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; no path of this machine."""
        model = self.model
        return {
            "name": self.name,
            "ready": self.problem is None,
            "problem": self.problem,
            "variant": model.config.variant,
            "parameters": None if isinstance(model, ExportedViViT) else sum(one.numel() for one in model.parameters()),
            "device": next(model.parameters()).device.type,
            "precision": str(self.thread.dtype).removeprefix("torch."),
            "heads": class_names(model.labels, model.config.heads),
            "multi_label": list(model.config.multi_label),
            "preprocessing": asdict(self.preprocessing),
            "sample_clips": self.checked,
        }
