"""What to try after a training: flags that it did not use, the most promising first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST = 3
"""Suggestions of one reading."""

REGULARISERS = ("mixup", "cutmix", "erase", "rand_augment_layers", "drop_path", "token_drop", "dropout")
"""Settings that make the training videos harder to fit; 0 is off."""

ENOUGH_STEPS = 4000
"""What the recipe `small-data` takes at least, since a model from scratch may need a thousand steps to begin."""


@dataclass(frozen=True)
class Settings:
    """The settings of a training, as its run.json has them.

    Attributes:
        config: `config` of run.json.
        model: `model` of run.json.
    """

    config: Mapping[str, Any]
    model: Mapping[str, Any]

    def value(self, name: str) -> Any:
        """A setting by its name, from whatever group it is in; None if there is none."""
        for table in (self.config, self.model, *(v for v in self.config.values() if isinstance(v, Mapping))):
            if name in table and not isinstance(table[name], Mapping):
                return table[name]
        return None

    def is_off(self, name: str) -> bool:
        """Whether a setting is there and is 0 or none."""
        return not self.value(name)

    @property
    def from_scratch(self) -> bool:
        """Whether the weights were random at first."""
        return self.value("init") is None

    @property
    def learning_rate(self) -> float:
        return float(self.value("learning_rate") or 0)


def against_overfitting(settings: Settings) -> list[str]:
    """Weights to start from, less to learn, and what varies the training clips more."""
    value, found = settings.value, list[str]()
    if settings.from_scratch:
        found.append("--init with weights of similar videos")
    elif value("freeze") == "none" and value("lora") is None:
        found += ["--lora 8", "--freeze encoder"]
    if settings.is_off("label_smoothing"):
        found.append("--label-smoothing 0.1")
    if value("cache") != "features":
        found += _more_augmentation(settings)
    if settings.is_off("drop_path") and value("freeze") != "encoder":
        found.append("--drop-path 0.1")
    if float(value("weight_decay") or 0) < 0.05:
        found.append("--weight-decay 0.05")
    if settings.is_off("ema_decay"):
        found.append("--ema-decay 0.99")
    return found[:MOST]


def against_underfitting(settings: Settings) -> list[str]:
    """More that learns, less that makes it hard, larger steps, more of the video."""
    value, found = settings.value, list[str]()
    if value("freeze") not in (None, "none"):
        found += ["--lora 8 --freeze none", "--freeze none"]
    if value("lora") is not None:
        found.append(f"--lora {2 * int(value('lora'))}")
    found += [f"--{name.replace('_', '-')} 0" for name in REGULARISERS if value(name)]
    found.append(f"--lr {2 * settings.learning_rate:g}")
    if settings.from_scratch and value("hidden_size"):
        found.append(f"--hidden-size {2 * int(value('hidden_size'))}")
    found.append(f"--epochs {2 * int(value('epochs') or 1)}")
    return found[:MOST]


def against_ending_early(settings: Settings, reason: str) -> list[str]:
    """More of what ended it.

    Args:
        settings: of the training.
        reason: why it ended, as the event `end` has it.
    """
    minutes, patience = settings.value("minutes"), settings.value("patience")
    if reason == "time" and minutes:
        return [f"--minutes {2 * float(minutes):g}"]
    if reason == "early stopping" and patience:
        return [f"--patience {2 * int(patience)}"]
    return [f"--epochs {2 * int(settings.value('epochs') or 1)}", f"--lr {2 * settings.learning_rate:g}"]


def against_no_beginning(settings: Settings, steps: int, spikes: int) -> list[str]:
    """What lets a model begin to learn.

    Args:
        settings: of the training.
        steps: that it took.
        spikes: steps of them whose loss or gradient was far above the usual.
    """
    found, rate = list[str](), settings.learning_rate
    if settings.from_scratch and settings.value("recipe") != "small-data":
        found.append("--recipe small-data")
    if settings.value("freeze") not in (None, "none"):
        found.append("--freeze none")
    if spikes > steps / 20 or (settings.value("optimiser") == "adamw" and rate > 2e-3):
        found.append(f"--lr {rate / 5:g}")
    elif settings.value("optimiser") == "adamw" and rate < 1e-4:
        found.append(f"--lr {5e-4:g}")
    if steps < ENOUGH_STEPS and settings.is_off("min_steps"):
        found.append(f"--min-steps {ENOUGH_STEPS}")
    if settings.from_scratch:
        found.append("--init with weights of similar videos")
    return found[:MOST]


def _more_augmentation(settings: Settings) -> list[str]:
    """What varies the clips and does not depend on what the classes are told apart by."""
    value, found = settings.value, list[str]()
    if value("crop") == "centre":
        found.append("--crop random")
    if value("temporal") == "centre":
        found.append("--temporal random")
    if value("scale_jitter") in ([1.0, 1.0], (1.0, 1.0)):
        found.append("--scale-jitter 0.85 1.2")
    if settings.is_off("rotate"):
        found.append("--rotate 6")
    if value("sampling") == "uniform" and value("coverage") in ([1.0, 1.0], (1.0, 1.0)):
        found.append("--coverage 0.7 1.0")
    if settings.is_off("mixup") and settings.is_off("cutmix"):
        found.append("--mixup 0.2")
    return found
