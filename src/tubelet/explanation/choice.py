"""`method="auto"`: the method with the best score on the run's sample clips, remembered in the run folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from tubelet.errors import TubeletError
from tubelet.explanation.attribution import Progress
from tubelet.explanation.comparison import MethodComparison, compare_methods
from tubelet.explanation.methods import DEFAULT, SLOW, methods_for
from tubelet.files import write_text
from tubelet.json_files import dump_json, read_json_object
from tubelet.model import ViViT
from tubelet.paths import PACKAGED_MODEL
from tubelet.video import Preprocessing
from tubelet.weights.sample_clips import SampleClips, weights_checksum

FILE = "explain.json"
"""In the run folder: what was chosen, for which weights, and the table."""

FORMAT = 1

CLIPS = 16
"""Sample clips that methods are scored on, at most."""

SECONDS = 90.0
"""After which no further clip is scored, once there are `FEWEST`."""

FEWEST = 4


def auto_method(model: ViViT, progress: Progress | None = None) -> tuple[str, str]:
    """The method, and a sentence that says why.

    Args:
        model: as `tubelet.load` gives it. Its sample clips lie beside its weights.
        progress: called with (clips done, all) while methods are scored.
    """
    if model.sample_clips is None:
        return DEFAULT, f"method {DEFAULT}: the model has no sample clips to choose on"
    folder = Path(model.sample_clips).parent
    checksum = weights_checksum(model)
    known = _remembered(folder, checksum)
    if known is not None:
        return known, f"method {known}: the best on the run's sample clips ({FILE})"
    samples = SampleClips.read(model.sample_clips)
    names = [name for name in methods_for(model) if name not in SLOW]
    found = compare_methods(model, _clips(model, samples), names, progress=progress, total=min(CLIPS, len(samples)))
    if not found.clips:
        return DEFAULT, f"method {DEFAULT}: no sample clip changes its logit when it is hidden"
    about = f"method {found.best}: relevance gain {found.scores[0].gain:.2f} on {found.clips} sample clips"
    if folder == PACKAGED_MODEL:
        return found.best, about
    try:
        _remember(folder, checksum, found)
    except TubeletError:  # a folder that cannot be written, the Hub's cache for instance
        about += "; not remembered, as the folder cannot be written"
    return found.best, about


def _clips(model: ViViT, samples: SampleClips) -> Iterator[tuple[Tensor, Tensor | None]]:
    assert model.preprocessing is not None
    preprocessing, started = Preprocessing(model.preprocessing), time.monotonic()
    for number, (pixels, mask) in enumerate(samples):
        if number == CLIPS or (number >= FEWEST and time.monotonic() - started > SECONDS):
            return
        yield preprocessing.normalise(pixels)[None], None if mask is None else mask[None]


def _remembered(folder: Path, checksum: int) -> str | None:
    if not (folder / FILE).is_file():
        return None
    kept: dict[str, Any] = read_json_object(folder / FILE, f"remove {FILE}, and it is made again")
    return str(kept["best"]) if kept.get("weights") == checksum and kept.get("format") == FORMAT else None


def _remember(folder: Path, checksum: int, found: MethodComparison) -> None:
    content = {"format": FORMAT, "weights": checksum, **found.to_dict()}
    write_text(folder / FILE, dump_json(content, indent=2) + "\n")
