"""`tubelet bench`: what a model costs and gives here, in every form that there is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tubelet.data.known import KnownVideos
from tubelet.device import autocast, has_bfloat16_units
from tubelet.errors import ConfigError
from tubelet.exported import ExportedViViT
from tubelet.exporting.clips import read_samples, real_clips
from tubelet.exporting.gate import RealClips
from tubelet.fast import optimise
from tubelet.given_model import logits_by_head
from tubelet.model import ViViT
from tubelet.timing import seconds_in_turn
from tubelet.video import Preprocessing
from tubelet.weights import load
from tubelet.weights.native import WEIGHTS_FILE

Form = Callable[[Tensor, Tensor | None], dict[str, Tensor]]


@dataclass(frozen=True)
class BenchRow:
    """One form of a model.

    Attributes:
        name: of the model or folder.
        form: `plain`, `optimise`, `bfloat16`, or the format of an exported model.
        provider: what computed.
        megabytes: of the weights, or of the files that run.
        seconds: a clip, median of the rounds, one clip at a time.
        clips: real clips that were compared.
        agreement: of them, those with the best class of the reference: the first form in the table.
        probabilities: largest difference of a probability from the reference.
        right: clips with the best class that the data says, in every head; None without labels.
        learned_from: clips of videos that the model learned from, of which `right` is no measure of new ones; None if
            that is not known.
        memory: megabytes by which a process grows at most that loads the form and computes a clip; None if it was not
            measured.
    """

    name: str
    form: str
    provider: str
    megabytes: float
    seconds: float
    clips: int
    agreement: int
    probabilities: float
    right: int | None = None
    learned_from: int | None = None
    memory: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def bench(
    models: Sequence[str | os.PathLike[str]],
    *,
    data: Sequence[str | os.PathLike[str]] = (),
    rounds: int = 5,
    memory: bool = True,
) -> list[BenchRow]:
    """Time every form of some models, taking turns, and compare what they give for real clips.

    Args:
        models: what `tubelet.load` reads; of a model that is not exported the plain, the optimised form and, where the
            processor has units for it, bfloat16 are measured.
        data: real videos, as for `tubelet.export`; by default the sample clips of the first model. With labels that are
            the model's (class folders, a table), accuracy is measured too.
        rounds: of measurements; each measures every form once.
        memory: measure memory too, in a process for each form.

    Raises:
        ConfigError: no model, models of other sizes or classes, or no real clips.
    """
    if not models:
        raise ConfigError("name a model or an exported folder: tubelet bench MODEL [EXPORTED ...]")
    loaded = [(os.fspath(name), load(os.fspath(name))) for name in models]
    first = loaded[0][1]
    for name, model in loaded:
        if model.config.heads != first.config.heads or model.preprocessing != first.preprocessing:
            raise ConfigError(
                f"{name} has other classes or another preprocessing than {loaded[0][0]}; compare one model"
            )
    clips = read_samples(first.folder) if isinstance(first, ExportedViViT) and not data else real_clips(first, data)
    assert first.preprocessing is not None
    inputs = _inputs(clips, Preprocessing(first.preprocessing))
    learned = {name: _learned_from(clips, model) for name, model in loaded}
    forms = [(name, model, form, run) for name, model in loaded for form, run in _forms(model).items()]
    given = [[run(*clip) for clip in inputs] for _, _, _, run in forms]
    seconds = seconds_in_turn([partial(run, *inputs[0]) for _, _, _, run in forms], rounds)
    rows = []
    for (name, model, form, _), time, logits in zip(forms, seconds, given, strict=True):
        same, difference = _agreement(given[0], logits, model.config.multi_label)
        provider = model.session.provider if isinstance(model, ExportedViViT) else f"torch {torch.__version__}"
        rows.append(
            BenchRow(
                Path(name).name,
                form,
                provider,
                _megabytes(name),
                time,
                len(inputs),
                same,
                difference,
                _right(clips, logits),
                learned[name],
                _memory(name, form) if memory else None,
            )
        )
    return rows


def _memory(name: str, form: str) -> float:
    """Megabytes by which a process grows that loads a form and computes a clip."""
    command = [sys.executable, "-c", f"from {__name__} import print_memory; print_memory()", name, form]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(f"the memory of {name} ({form}) cannot be measured: {done.stderr.strip()[-300:]}")
    return float(done.stdout.split()[-1])


def print_memory() -> None:
    """What the process that `_memory` starts does: `sys.argv` names a model and a form."""
    before = _peak()
    model = load(sys.argv[1])
    size = (1, model.config.num_frames, model.config.in_channels, *model.config.image_size)
    assert model.preprocessing is not None
    black = Preprocessing(model.preprocessing).normalise(torch.zeros(size, dtype=torch.uint8))
    _forms(model)[sys.argv[2]](black, None)
    sys.stdout.write(f"{_peak() - before:.1f}\n")


def _peak() -> float:
    """Megabytes that this process had at most; Linux counts in `ru_maxrss` what its parent had, too."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _inputs(clips: RealClips, preprocessing: Preprocessing) -> list[tuple[Tensor, Tensor | None]]:
    masks = [None] * len(clips) if clips.frame_mask is None else torch.from_numpy(clips.frame_mask)
    pixels = torch.from_numpy(clips.pixels).permute(0, 1, 4, 2, 3).contiguous()
    return [
        (preprocessing.normalise(clip)[None], None if mask is None else mask[None])
        for clip, mask in zip(pixels, masks, strict=True)
    ]


def _forms(model: ViViT) -> dict[str, Form]:
    if isinstance(model, ExportedViViT):
        precision = "" if model.contract.precision == "float32" else f" {model.contract.precision}"
        return {model.contract.format + precision: _form(model)}
    forms = {"plain": _form(model), "optimise": _form(optimise(model))}
    if has_bfloat16_units(torch.device("cpu")):
        forms["bfloat16"] = _form(model, torch.bfloat16)
    return forms


def _form(model: ViViT, dtype: torch.dtype = torch.float32) -> Form:
    @torch.no_grad()
    def run(video: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        with autocast(torch.device("cpu"), dtype):
            given = model(video) if mask is None else model(video, mask)
        return {head: logits.float() for head, logits in logits_by_head(model, given).items()}

    return run


def _agreement(
    reference: Sequence[dict[str, Tensor]], found: Sequence[dict[str, Tensor]], multi_label: Collection[str]
) -> tuple[int, float]:
    """Clips with the same best class in every head, and the largest difference of a probability."""
    same, largest = 0, 0.0
    for ours, theirs in zip(found, reference, strict=True):
        same += all(bool(ours[head].argmax() == theirs[head].argmax()) for head in theirs)
        for head, logits in theirs.items():
            shares = torch.sigmoid if head in multi_label else partial(torch.softmax, dim=1)
            largest = max(largest, float((shares(ours[head]) - shares(logits)).abs().max()))
    return same, largest


def _right(clips: RealClips, found: Sequence[dict[str, Tensor]]) -> int | None:
    """Clips with the class that the data says, in every head; None without labels, or where several may be shown."""
    if not clips.samples or not all(sample.labels and not sample.label_sets for sample in clips.samples):
        return None
    return sum(
        all(int(logits[head].argmax()) == target for head, target in sample.labels.items())
        for sample, logits in zip(clips.samples, found, strict=True)
    )


def _learned_from(clips: RealClips, model: ViViT) -> int | None:
    """Clips of videos that the model, or one that it was started from, learned from; None if that is not known."""
    if model.provenance is None or not clips.samples:
        return None
    learned = KnownVideos(model.provenance.videos).uses_of(clips.samples).count("learned")
    return None if model.provenance.unknown and not learned else learned


def _megabytes(name: str) -> float:
    folder = Path(name)
    files = [*folder.glob("model.*")] if folder.is_dir() else [folder]
    kept = [file for file in files if file.is_file() and (file.name == WEIGHTS_FILE or file.suffix != ".json")]
    return sum(file.stat().st_size for file in kept) / 1e6
