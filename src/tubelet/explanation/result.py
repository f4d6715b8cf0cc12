"""What `tubelet.explain` returns: a map, a curve, and where both lie in the video."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.explanation.sanity import Sanity
from tubelet.explanation.score import Score
from tubelet.explanation.target import Target
from tubelet.files import write_text
from tubelet.json_files import dump_json

if TYPE_CHECKING:
    from tubelet.explanation.page import ExplanationFiles
    from tubelet.prediction.sources import Source

FORMAT = 1


@dataclass(frozen=True, eq=False)
class ViewMap:
    """The map of one view, and which part of the video it is of.

    Attributes:
        map: [t, h, w].
        frames: for each of the t times, the frames of the video that its tubelets hold, each once. A frame that a short
            clip repeats is in the tubelets of all its repetitions.
        box: (top, left, height, width) of what the view saw, in pixels of the video's upright frames.
    """

    map: Float[Tensor, "t h w"]
    frames: tuple[tuple[int, ...], ...]
    box: tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Which places and which moments a logit comes from.

    Attributes:
        target: the class (and the one that it is compared with).
        method: how the map was computed.
        logit: of the target, the mean over the views; with `against` the difference of the two logits.
        views: the map of each view.
        unattributed: parts of the logit that belong to no token, by name. For complete methods their sum and the sum of
            `map` is the logit. None for the others.
        split: models 3 and 4 with balanced gradients: what layers over space, over time and MLPs add to the logit, the
            mean over the blocks.
        error: standard error of the curve, where it is an estimate.
        score: how faithful the map is; None where it was not asked for.
        sanity: how alike the maps of redrawn weights are; None where that was not asked for.
        top: the most probable classes of the target's head with their probabilities.
        timestamps: seconds of each of the video's frames; empty for tensors.
        size: (height, width) of the video's upright frames.
        pixel_aspect: width over height of a pixel of these frames, as players show it.
        path: of the video; None for tensors and clips in memory.
    """

    target: Target
    method: str
    logit: float
    views: tuple[ViewMap, ...]
    unattributed: Mapping[str, float] | None
    split: Mapping[str, float] = field(default_factory=dict)
    error: float | None = None
    score: Score | None = None
    sanity: Sanity | None = None
    top: tuple[tuple[str, float], ...] = ()
    timestamps: tuple[float, ...] = ()
    size: tuple[int, int] = (0, 0)
    pixel_aspect: float = 1.0
    path: str | None = None

    @property
    def map(self) -> Float[Tensor, "t h w"]:
        """The mean over the views, token by token; above 0 is for the target, below 0 against it."""
        return torch.stack([view.map for view in self.views]).mean(dim=0)

    @property
    def curve(self) -> Float[Tensor, "t"]:
        """The sum of `map` over each time."""
        return self.map.sum(dim=(1, 2))

    @property
    def complete(self) -> bool:
        """Whether the map and `unattributed` add up to the logit."""
        return self.unattributed is not None

    def over_frames(self) -> Float[Tensor, "F"]:
        """The curve over the frames of the video: each tubelet's value is shared evenly by its frames.

        Frames between those that the model saw are 0.
        """
        count = len(self.timestamps) or 1 + max(max(frames) for view in self.views for frames in view.frames)
        curve = torch.zeros(count, dtype=torch.float64)
        for view in self.views:
            for frames, value in zip(view.frames, view.map.double().sum(dim=(1, 2)), strict=True):
                curve[list(frames)] += value / (len(frames) * len(self.views))
        return curve

    def __repr__(self) -> str:
        of = self.path or "frames in memory"
        score = "" if self.score is None else f", {self.score}"
        return f"Explanation({of!r}, {str(self.target)!r}, logit {self.logit:.3f}, {self.method}{score})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `tubelet explain --json` prints them."""
        return {
            "format": FORMAT,
            "path": self.path,
            "target": {"head": self.target.head, "class": self.target.label, "index": self.target.index},
            "against": None
            if self.target.against is None
            else {"class": self.target.against_label, "index": self.target.against},
            "method": self.method,
            "logit": self.logit,
            "unattributed": None if self.unattributed is None else dict(self.unattributed),
            "split": dict(self.split),
            "error": self.error,
            "score": None if self.score is None else self.score.to_dict(),
            "sanity": None if self.sanity is None else self.sanity.to_dict(),
            "top": [{"class": label, "probability": probability} for label, probability in self.top],
            "curve": self.curve.tolist(),
            "views": [
                {
                    "map": view.map.tolist(),
                    "frames": [list(frames) for frames in view.frames],
                    "box": dict(zip(("top", "left", "height", "width"), view.box, strict=True)),
                }
                for view in self.views
            ],
            "timestamps": list(self.timestamps),
            "size": list(self.size),
            "pixel_aspect": self.pixel_aspect,
        }

    def save_json(self, path: str | os.PathLike[str]) -> Path:
        """Write `to_dict` to a file, whole or not at all.

        Raises:
            StorageError: the file cannot be written.
        """
        file = Path(path)
        write_text(file, dump_json(self.to_dict()) + "\n")
        return file

    def save(
        self,
        folder: str | os.PathLike[str],
        source: Source | None = None,
        *,
        name: str | None = None,
        overwrite: bool = False,
    ) -> ExplanationFiles:
        """Write `name.mp4`, `name.png`, `name.html` and `name.json`, as `tubelet explain --out` does.

        Args:
            folder: made if it is not there.
            source: the video again; may be left out where `path` names it.
            name: of the files, without a suffix; that of the video if left out.
            overwrite: replace files of these names.

        Raises:
            ConfigError: there are files of these names and `overwrite` is False; or one of them is the video itself; or
                there is no video to draw on, as of a preprocessed tensor.
            VideoError: the video cannot be read.
            StorageError: the folder cannot be written.
        """
        from tubelet.explanation.page import require_free_files, write_files

        source = self.path if source is None else source
        if not self.timestamps:
            raise ConfigError("an explanation of a preprocessed tensor has no video to draw on; use save_json")
        if source is None:
            raise ConfigError("this explanation is of frames in memory; give them again: save(folder, frames)")
        name = name or (Path(self.path).stem if self.path else "explanation")
        inputs = [source] if isinstance(source, str | Path) else []
        require_free_files(folder, [name], overwrite=overwrite, inputs=inputs)
        return write_files(self, source, folder, name)

    def _repr_html_(self) -> str:
        from tubelet.explanation.notebook import explanation_html

        return explanation_html(self)
