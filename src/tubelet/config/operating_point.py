"""From probabilities to labels: what is decided on validation videos and kept with a model."""

from __future__ import annotations

from dataclasses import dataclass

from tubelet.config.serialise import check_types
from tubelet.errors import ConfigError

UNKNOWN = "unknown"
"""What a prediction says that is none of the classes, or too doubtful."""

UNFITTED = 0.5
"""The threshold of a class of a multi-label head for which none was fitted."""


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """How the probabilities of a head become labels. It is stored in the `config.json` of a model.

    Attributes:
        thresholds: multi-label heads: for each class the probability from which on it is reported.
        temperature: that the logits of a head with one class per video are divided by (Guo et al., 2017).
        unknown_below: of such a head: a video is `unknown` if its highest probability, after the temperature, is lower.
        background: of such a head: the class that means none of the others, and reads `unknown`.
        fitted_on: videos that all this was fitted on.
        split: of the data that they are.
    """

    thresholds: tuple[float, ...] | None = None
    temperature: float = 1.0
    unknown_below: float = 0.0
    background: str | None = None
    fitted_on: int = 0
    split: str | None = None

    def __post_init__(self) -> None:
        check_types(self)
        if self.thresholds is not None:
            object.__setattr__(self, "thresholds", tuple(map(float, self.thresholds)))
        if not all(0 < value <= 1 for value in self.thresholds or ()) or not 0 <= self.unknown_below <= 1:
            raise ConfigError(f"{self}: thresholds are probabilities, above 0 and at most 1")
        if not self.temperature > 0:
            raise ConfigError(f"temperature={self.temperature} must be above 0")
