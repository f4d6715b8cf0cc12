"""The gate: an exported model gives the logits of the plain model on real clips, or it does not get its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from tubelet.data.table import Sample
from tubelet.errors import WeightsError
from tubelet.exported import Contract
from tubelet.exported.sessions import Session
from tubelet.given_model import logits_by_head
from tubelet.model import ViViT
from tubelet.video import Preprocessing

TOLERANCE = 1e-4
"""By how much logits may differ, as a share of the largest logit of all clips."""

INT8_CLIPS = 0.99
"""The share of clips with the same best class that int8 needs: accuracy cannot fall by more than the rest."""

BATCHES = (1, 3, 8)
"""Sizes of a batch that have to give the same; all clips are in batches of the last size."""


@dataclass(frozen=True, eq=False)
class RealClips:
    """Clips of videos, and what the plain model gives for them.

    Attributes:
        pixels: uint8 [N, T, H, W, C].
        frame_mask: bool [N, T], True at real frames; None if all are.
        logits: float32 [N, K] by head.
        names: of the clips, for the error; numbers if there are none.
        samples: what each clip is of, with its class by head where the data has labels; empty if that is not known.
    """

    pixels: NDArray[numpy.uint8]
    frame_mask: NDArray[numpy.bool_] | None
    logits: Mapping[str, NDArray[numpy.float32]]
    names: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()

    def __len__(self) -> int:
        return len(self.pixels)

    def name(self, number: int) -> str:
        """Of one clip."""
        return self.names[number] if self.names else f"clip {number}"


@dataclass(frozen=True)
class Parity:
    """How far the exported model is from the plain one.

    Attributes:
        clips: real clips that were compared.
        difference: largest difference of their logits, relative to the largest logit.
        same_top1: clips with the same best class in each head.
        batches: sizes of a batch that were compared, and the largest difference in each.
        provider: what computed.
        worst: the clip with the largest difference.
        precision: of its matrix products: `float32` or `int8`.
    """

    clips: int
    difference: float
    same_top1: int
    batches: dict[str, float]
    provider: str
    worst: str
    precision: str = "float32"

    @property
    def ok(self) -> bool:
        """Whether the gate is open."""
        if self.precision == "int8":
            return self.same_top1 >= INT8_CLIPS * self.clips
        return self.difference <= TOLERANCE and self.same_top1 == self.clips

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "tolerance": TOLERANCE}

    def require(self) -> None:
        """Raise what is wrong.

        Raises:
            WeightsError: the logits, or a best class, differ.
        """
        if not self.ok and self.precision == "int8":
            raise WeightsError(
                f"int8 changes too much: {self.same_top1} of {self.clips} clips have the same best class (at least "
                f"{INT8_CLIPS:.0%} are needed), and logits differ by {self.difference:.1e} of the largest, most in "
                f"{self.worst}; export without --int8, or name more videos with --data"
            )
        if not self.ok:
            raise WeightsError(
                f"the exported model is not the model: its logits differ by {self.difference:.1e} of the largest "
                f"(at most {TOLERANCE:.0e} is allowed), most in {self.worst}, and {self.same_top1} of {self.clips} "
                f"clips have the same best class ({self.provider})"
            )


@torch.no_grad()
def plain_logits(model: ViViT, pixels: Sequence[Tensor], masks: Sequence[Tensor | None]) -> dict[str, Any]:
    """What the plain model gives, float32 [N, K] by head.

    Args:
        model: on the CPU, in evaluation mode.
        pixels: uint8 [T, C, H, W] each.
        masks: bool [T] each; None if all frames are real.
    """
    assert model.preprocessing is not None
    preprocessing = Preprocessing(model.preprocessing)
    rows: dict[str, list[Tensor]] = {}
    for clip, mask in zip(pixels, masks, strict=True):
        given = model(preprocessing.normalise(clip)[None], None if mask is None else mask[None])
        for head, logits in logits_by_head(model, given).items():
            rows.setdefault(head, []).append(logits[0])
    return {head: torch.stack(logits).numpy() for head, logits in rows.items()}


def compare(session: Session, contract: Contract, clips: RealClips) -> Parity:
    """Run real clips and compare: all of them in batches of 8, and the first ones in batches of 1 and 3.

    Raises:
        WeightsError: it gives other numbers of heads, clips or classes.
    """
    heads = [output["name"] for output in contract.outputs]
    scale = max(float(numpy.abs(clips.logits[head]).max()) for head in heads) or 1e-6
    sizes = BATCHES if contract.batch is None else (contract.batch,)
    differences: dict[str, float] = {}
    off = numpy.zeros(len(clips))
    same = numpy.ones(len(clips), dtype=bool)
    for size in sizes:
        largest = 0.0
        last = len(clips) if size == sizes[-1] else min(size, len(clips))  # all of them in one size of batch
        for first in range(0, last, size):
            part = slice(first, min(first + size, last))
            given = session(inputs_of(contract, clips, part))
            for head, logits in zip(heads, given, strict=True):
                expected = clips.logits[head][part]
                if logits.shape != expected.shape:
                    raise WeightsError(f"the exported model gives logits {logits.shape}, expected {expected.shape}")
                difference = numpy.nan_to_num(numpy.abs(logits - expected).max(1) / scale, nan=numpy.inf)
                largest = max(largest, float(difference.max()))
                off[part] = numpy.maximum(off[part], difference)
                same[part] &= _same_best(logits, expected, TOLERANCE * scale)
        differences[str(size)] = largest
    return Parity(
        len(clips),
        float(off.max()),
        int(same.sum()),
        differences,
        session.provider,
        clips.name(int(off.argmax())),
        contract.precision,
    )


def _same_best(found: Any, expected: Any, tolerance: float) -> Any:
    """Whether the best class is the same; where two are nearer to each other than rounding, either is."""
    chosen = numpy.take_along_axis(expected, found.argmax(1)[:, None], 1)[:, 0]
    return expected.max(1) - chosen <= 2 * tolerance


def inputs_of(contract: Contract, clips: RealClips, part: slice) -> list[Any]:
    """What the exported model takes, of some clips."""
    pixels = clips.pixels[part]
    if contract.takes_pixels:
        inputs: list[Any] = [numpy.ascontiguousarray(pixels)]
    else:
        preprocessing = Preprocessing(contract.preprocessing_config())
        frames = torch.from_numpy(numpy.ascontiguousarray(pixels.transpose(0, 1, 4, 2, 3)))
        inputs = [preprocessing.normalise(frames).numpy()]
    if contract.takes_mask:
        whole = numpy.ones(pixels.shape[:2], dtype=bool)
        inputs.append(whole if clips.frame_mask is None else clips.frame_mask[part])
    return inputs
