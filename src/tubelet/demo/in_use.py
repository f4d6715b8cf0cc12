"""The trained model in use: an explanation of a held-out clip, and an export that is proven on real clips."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tubelet.errors import ConfigError
from tubelet.explanation import compare_on_data, explain
from tubelet.explanation.page import files_of, write_files
from tubelet.exported.contract import CONTRACT_FILE
from tubelet.exporting import export
from tubelet.files import write_text
from tubelet.json_files import dump_json

METHOD = "balanced_tokens"
CLIPS = 8
"""Held-out clips that the method is scored on."""


@dataclass(frozen=True)
class Explained:
    """An explanation of a held-out clip.

    Attributes:
        page: HTML, with the film beside it.
        score: how faithful this map is, and maps of the method are on average, in a few words.
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
    """Explain the most probable class of a clip, and score the method on held-out clips of all classes; once."""
    files, scored = files_of(folder, video.stem), folder / "methods.json"
    if not scored.is_file():  # the last that is written
        one = explain(run, video, method=METHOD, score=True)
        write_files(one, video, folder, video.stem)
        methods = compare_on_data(run, split="test", methods=[METHOD], most=CLIPS)
        write_text(scored, dump_json({**methods.to_dict(), "shown": str(one.score)}, indent=2) + "\n")
    found = json.loads(scored.read_text(encoding="utf-8"))
    gains = {one["method"]: one["gain"] for one in found["methods"]}
    if not found["clips"]:
        return Explained(str(files.page), "no score: hiding a whole clip does not change its logit")
    mean = f"mean over {found['clips']} clips {gains.pop(METHOD):.2f}, of random maps {gains.popitem()[1]:.2f}"
    return Explained(str(files.page), f"{found['shown']}; {mean}")


def export_model(run: Path, folder: Path) -> Exported:
    """Export it, once; without the runtime, say how."""
    if not folder.exists():
        try:
            export(run, folder, "onnx")
        except ConfigError as error:
            return Exported(None, note=str(error))
    parity = json.loads((folder / CONTRACT_FILE).read_text(encoding="utf-8"))["parity"]
    return Exported(str(folder), float(parity["difference"]))
