"""Which output is explained: a logit of one head, or the difference of two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.model import ViViT
from tubelet.text import did_you_mean


@dataclass(frozen=True)
class Target:
    """A class of a head, and the class that it is compared with.

    Attributes:
        head: its name; `label` where there is one head.
        index: of the class.
        label: its name, or its index in words where the model has no names.
        against: index of the other class; None explains the logit itself.
        against_label: its name.
    """

    head: str
    index: int
    label: str
    against: int | None = None
    against_label: str | None = None

    def of(self, logits: Tensor | Mapping[str, Tensor]) -> Float[Tensor, "B"]:
        """The logit of each sample, or the difference of the two."""
        values = logits if isinstance(logits, Tensor) else logits[self.head]
        chosen = values[:, self.index]
        return chosen if self.against is None else chosen - values[:, self.against]

    def __str__(self) -> str:
        return self.label if self.against_label is None else f"{self.label} against {self.against_label}"


def find_target(
    model: ViViT,
    target: int | str | None,
    against: int | str | None,
    logits: Tensor | Mapping[str, Tensor],
) -> Target:
    """Read what a user names.

    Args:
        model: with labels and heads.
        target: an index, a label, `head:label` or `head:index`; None is the class with the highest logit (of the first
            head).
        against: the same, of the same head.
        logits: [1, K] or {head: [1, K]} of the clip.

    Raises:
        ConfigError: no such class or head; a label that several heads have; a model without classes.
    """
    heads = list(model.config.heads)
    if not heads:
        raise ConfigError("the model has no head, so it has no classes to explain (num_classes=0)")
    if target is None:
        head = heads[0]
        values = logits if isinstance(logits, Tensor) else logits[head]
        index = int(values.mean(dim=0).argmax())
    else:
        head, index = _find(model, target, None)
    if against is None:
        return Target(head, index, _name(model, head, index))
    other_head, other = _find(model, against, head)
    if other_head != head:
        raise ConfigError(f"against={against!r} is a class of {other_head!r}, and the target is one of {head!r}")
    if other == index:
        raise ConfigError(f"target and against are the same class, {_name(model, head, index)!r}; name two")
    return Target(head, index, _name(model, head, index), other, _name(model, head, other))


def _find(model: ViViT, wanted: int | str, head: str | None) -> tuple[str, int]:
    heads = model.config.heads
    if isinstance(wanted, str) and wanted.partition(":")[0] in heads and ":" in wanted:
        head, _, wanted = wanted.partition(":")
    among = [head] if head is not None else list(heads)
    if isinstance(wanted, str):
        found = [(one, _labels(model, one).index(wanted)) for one in among if wanted in _labels(model, one)]
        if len(found) > 1:
            raise ConfigError(f"{wanted!r} is a class of {' and '.join(one for one, _ in found)}; write head:{wanted}")
        if found:
            return found[0]
        if not wanted.lstrip("-").isdecimal():
            known = [label for one in among for label in _labels(model, one)]
            hint = did_you_mean(wanted, known) if known else "; the model has no names of classes: give an index"
            raise ConfigError(f"{wanted!r} is no class of this model{hint}")
        wanted = int(wanted)
    size = heads[among[0]]
    if not 0 <= wanted < size:
        raise ConfigError(f"class {wanted} does not exist: {among[0]!r} has classes 0 to {size - 1}")
    return among[0], wanted


def _labels(model: ViViT, head: str) -> list[str]:
    return list(model.labels[head]) if model.labels else []


def _name(model: ViViT, head: str, index: int) -> str:
    labels = _labels(model, head)
    return labels[index] if labels else str(index)
