"""The trained model in use: an explanation of a held-out clip, and an export that is proven on real clips."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tubelet.errors import ConfigError
from tubelet.explanation import explain
from tubelet.explanation.page import files_of, write_files
from tubelet.exported.contract import CONTRACT_FILE
from tubelet.exporting import export


@dataclass(frozen=True)
class Explained:
    """An explanation of a held-out clip.

    Attributes:
        page: HTML, with the film beside it.
        score: how faithful the map is, in a sentence.
    """

    page: str
    score: str


@dataclass(frozen=True)
class Exported:
    """The model for ONNX Runtime.

    Attributes:
        folder: of it; None if it was not exported.
        difference: largest difference of its logits on real clips, relative to the largest logit.
        note: why it was not exported, and how it can be.
    """

    folder: str | None
    difference: float | None = None
    note: str | None = None


def explain_clip(run: Path, video: Path, folder: Path) -> Explained:
    """Explain the most probable class of a clip with balanced gradients, and score the map; once."""
    files = files_of(folder, video.stem)
    if not files.numbers.is_file():  # the last that is written
        found = explain(run, video, method="balanced", score=True)
        write_files(found, video, folder, video.stem)
    score = json.loads(files.numbers.read_text(encoding="utf-8"))["score"]
    if score["gain"] is None:
        return Explained(str(files.page), "none, as hiding the clip does not change its logit")
    words = "better than chance" if score["better_than_chance"] else "not better than chance"
    return Explained(str(files.page), f"relevance gain {score['gain']:.2f}, {words}")


def export_model(run: Path, folder: Path) -> Exported:
    """Export it, once; without the runtime, say how."""
    if not folder.exists():
        try:
            export(run, folder, "onnx")
        except ConfigError as error:
            return Exported(None, note=str(error))
    parity = json.loads((folder / CONTRACT_FILE).read_text(encoding="utf-8"))["parity"]
    return Exported(str(folder), float(parity["difference"]))
