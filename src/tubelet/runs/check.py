"""Whether a model gives here, now, computed this way, the logits that are kept with its sample clips."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tubelet.device import autocast, resolve_device, resolve_precision
from tubelet.errors import ConfigError, WeightsError
from tubelet.fast import optimise
from tubelet.given_model import unwrapped
from tubelet.model import ViViT
from tubelet.runs.samples import sample_logits
from tubelet.weights import load
from tubelet.weights.sample_clips import SAMPLES_FILE, SampleClips, weights_checksum

Backend = Literal["plain", "optimise", "compile", "openvino"]

BACKENDS: dict[Backend, Callable[[ViViT], Any]] = {
    "plain": lambda model: model,
    "optimise": optimise,
    "compile": torch.compile,
    "openvino": lambda model: optimise(model, backend="openvino"),
}
"""The model in another form, by name: as it is, `tubelet.optimise`, `torch.compile`, OpenVINO."""

TOLERANCE: dict[torch.dtype, float] = {torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""By how much logits may differ, as a share of the largest one of all clips. In float32 that leaves room for products
in TF32; in the others it is about ten roundings of a number."""


@dataclass(frozen=True)
class Difference:
    """How far logits are from those that are kept.

    Attributes:
        logits: the largest difference of all clips, classes and heads.
        probabilities: the same, of the probabilities of each head.
        clips: how many were compared.
        same_top1: of them, those with the same best class in every head.
        tolerance: what `logits` may be.
        agrees: whether `logits` is within the tolerance, and every best class the same. A clip with two classes that
            are nearer to each other than twice the tolerance has no best class.
    """

    logits: float
    probabilities: float
    clips: int
    same_top1: int
    tolerance: float
    agrees: bool


@dataclass(frozen=True)
class BackendCheck:
    """One way to compute.

    Attributes:
        backend: see `BACKENDS`.
        precision: of matrix products: `float32`, `bfloat16`.
        difference: from the logits that are kept; None if it cannot compute here.
        problem: why it cannot; None if it can.
    """

    backend: str
    precision: str
    difference: Difference | None
    problem: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it gives the logits."""
        return self.difference is not None and self.difference.agrees


@dataclass(frozen=True)
class SampleCheck:
    """Whether a model gives its logits.

    Attributes:
        source: the run or the model.
        device: where it was computed.
        same_weights: whether the weights are those that gave the logits, bit for bit.
        made: where the logits were made; see `SampleClips`.
        checks: one for each way to compute.
    """

    source: str
    device: str
    same_weights: bool
    made: Mapping[str, Any]
    checks: tuple[BackendCheck, ...]

    @property
    def ok(self) -> bool:
        """Whether all ways that can compute here give the logits, and there is one."""
        able = [check for check in self.checks if check.difference is not None]
        return bool(able) and all(check.ok for check in able)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        checks = [{**asdict(check), "ok": check.ok} for check in self.checks]
        return {**asdict(self), "made": dict(self.made), "checks": checks, "ok": self.ok}


def check_samples(
    model: ViViT | str | Path,
    samples: SampleClips | str | Path | None = None,
    *,
    backends: Iterable[Backend] | None = None,
    precisions: Iterable[Literal["float32", "bfloat16"]] | None = None,
    device: str | torch.device = "auto",
) -> SampleCheck:
    """Compute the logits of sample clips again and compare.

    Args:
        model: a run, a model folder, a Hub id; or a model. It is moved to the device.
        samples: by default those beside the weights.
        backends: `plain`, `optimise`, `compile`, `openvino`; all that this machine has by default. One that is named
            and cannot compute here is an error, otherwise it is in the result with its reason.
        precisions: `float32`, `bfloat16`; by default float32, and bfloat16 on GPUs that are made for it.
        device: as in `tubelet.evaluate`.

    Raises:
        WeightsError: no model, no sample clips, or clips of a model with other sizes or classes.
        ConfigError: an unknown backend, or one that was named and cannot compute here.
    """
    named = None if backends is None else tuple(backends)
    for name in named or ():
        if name not in BACKENDS:
            raise ConfigError(f"backend {name!r} is unknown; it is one of {', '.join(BACKENDS)}")
    source = str(model) if not isinstance(model, nn.Module) else "the model"
    model = load(model) if isinstance(model, str | Path) else unwrapped(model)
    samples = _samples_of(model, samples, source)
    where = resolve_device(device)
    model.to(where).eval()
    same = samples.weights == weights_checksum(model)
    usual = ("float32", "bfloat16") if resolve_precision("auto", where) == torch.bfloat16 else ("float32",)
    types: Sequence[str] = usual if precisions is None else tuple(precisions)
    checks = []
    for backend in named or _here(where):
        for precision in types:
            check = _checked(model, samples, backend, precision)
            if check.problem is not None and named is not None:
                raise ConfigError(f"{backend} cannot compute here: {check.problem}")
            checks.append(check)
    return SampleCheck(source, str(where), same, samples.made, tuple(checks))


def compare_logits(
    samples: SampleClips,
    given: Mapping[str, Float[Tensor, "N _"]],
    dtype: torch.dtype = torch.float32,
    multi_label: Collection[str] = (),
) -> Difference:
    """Compare logits that another form of the model gave, an exported or a served one for instance.

    Args:
        samples: with the logits of the trained model.
        given: [N, K] by head, for the clips in their order.
        dtype: that they were computed in, which the tolerance depends on.
        multi_label: heads with sigmoids for probabilities.

    Raises:
        WeightsError: other heads, or other numbers of clips or classes.
    """
    expected_shapes, shapes = ({head: list(x.shape) for head, x in side.items()} for side in (samples.logits, given))
    if shapes != expected_shapes:
        raise WeightsError(f"expected logits {expected_shapes} for the sample clips, got {shapes}; another model?")
    largest = max(float(values.abs().max()) for values in samples.logits.values())
    tolerance = TOLERANCE[dtype] * max(largest, 1e-6)
    logits = probabilities = 0.0
    same = torch.ones(len(samples), dtype=torch.bool)
    clear_and_other = torch.zeros(len(samples), dtype=torch.bool)
    for head, expected in samples.logits.items():
        found = given[head].detach().float().cpu()
        logits = max(logits, _largest(found - expected))
        shares = torch.sigmoid if head in multi_label else partial(torch.softmax, dim=1)
        probabilities = max(probabilities, _largest(shares(found) - shares(expected)))
        best = expected.argmax(1)
        other = found.argmax(1) != best
        behind = expected.gather(1, best[:, None])[:, 0] - expected.gather(1, found.argmax(1)[:, None])[:, 0]
        same &= ~other
        clear_and_other |= other & (behind > 2 * tolerance)
    agrees = logits <= tolerance and not bool(clear_and_other.any())
    return Difference(logits, probabilities, len(samples), int(same.sum()), tolerance, agrees)


def _largest(difference: Tensor) -> float:
    """The largest absolute value; infinite where one is no number."""
    return float(difference.abs().nan_to_num(nan=float("inf")).max())


def _samples_of(model: ViViT, samples: SampleClips | str | Path | None, source: str) -> SampleClips:
    if isinstance(samples, str | Path):
        samples = SampleClips.read(samples)
    elif samples is None:
        if model.sample_clips is None:
            raise WeightsError(
                f"{source} has no sample clips ({SAMPLES_FILE}): it was trained without them, or before there were any"
            )
        samples = SampleClips.read(model.sample_clips)
    if model.preprocessing is None:
        raise WeightsError(f"{source} does not say how videos are preprocessed")
    classes = {head: values.shape[1] for head, values in samples.logits.items()}
    if classes != model.config.heads:
        raise WeightsError(f"the sample clips have logits of {classes} classes, and the model has {model.config.heads}")
    return samples


def _here(device: torch.device) -> Sequence[Backend]:
    """The ways to compute that make sense on a device."""
    if device.type != "cpu":
        return ("plain", "compile")
    return ("plain", "optimise", "compile", *(("openvino",) if find_spec("openvino") else ()))


def _checked(model: ViViT, samples: SampleClips, backend: Backend, precision: Any) -> BackendCheck:
    weight = next(model.parameters())
    dtype = resolve_precision(precision, weight.device)
    try:
        with warnings.catch_warnings(), autocast(weight.device, dtype):
            warnings.simplefilter("ignore")  # of compilers; what matters is what comes out
            form = BACKENDS[backend](model)
            given = [sample_logits(form, *clip, preprocessing=model.preprocessing) for clip in samples]
    except Exception as error:  # noqa: BLE001  # a compiler that is missing, a kernel that this machine lacks
        reason = " ".join(str(error).split()) or type(error).__name__
        return BackendCheck(backend, precision, None, reason[:200])
    stacked = {head: torch.stack([one[head] for one in given]) for head in samples.logits}
    coarsest = max((dtype, weight.dtype), key=lambda one: TOLERANCE.get(one, 0.0))
    return BackendCheck(backend, precision, compare_logits(samples, stacked, coarsest, model.config.multi_label))
