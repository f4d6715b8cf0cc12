"""What a class becomes when a clip is mirrored or played backwards: swipe left becomes swipe right."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence

from tubelet.config import AugmentationConfig
from tubelet.config.serialise import did_you_mean
from tubelet.errors import ConfigError

OPPOSITES = (
    ("left", "right"),
    ("leftward", "rightward"),
    ("leftwards", "rightwards"),
    ("clockwise", "counterclockwise"),
    ("clockwise", "anticlockwise"),
    ("cw", "ccw"),
)
"""Words that a mirror exchanges."""


class LabelMap:
    """For each head, the class index that every class index becomes.

    Args:
        pairs: head to {class: class}; both ways, whichever way it is written.
        classes: class names by head.
        name: of the setting, for errors.

    Raises:
        ConfigError: an unknown head or class, or a class that should become two different ones.
    """

    def __init__(self, pairs: Mapping[str, Mapping[str, str]], classes: Mapping[str, Sequence[str]], name: str) -> None:
        self._becomes: dict[str, list[int]] = {head: list(range(len(names))) for head, names in classes.items()}
        self._named: dict[str, frozenset[int]] = {}
        for head, mapping in pairs.items():
            if head not in classes:
                raise ConfigError(f"{name}: no head {head!r}{did_you_mean(head, classes)}")
            self._named[head] = frozenset(self._add(head, mapping, list(classes[head]), name))

    def _add(self, head: str, mapping: Mapping[str, str], names: list[str], setting: str) -> set[int]:
        becomes: dict[str, str] = {}
        for one, other in mapping.items():
            for source, target in ((one, other), (other, one)):
                if source not in names:
                    raise ConfigError(
                        f"{setting}: no class {source!r} in the head {head!r}{did_you_mean(source, names)}"
                    )
                if becomes.setdefault(source, target) != target:
                    raise ConfigError(
                        f"{setting}: {source!r} cannot become both {becomes[source]!r} and {target!r}; "
                        "classes go in pairs"
                    )
        for source, target in becomes.items():
            self._becomes[head][names.index(source)] = names.index(target)
        return {names.index(source) for source in becomes}

    def __call__(self, labels: Mapping[str, int]) -> dict[str, int]:
        """The labels afterwards; classes that are not named keep theirs."""
        return {head: self._becomes[head][index] for head, index in labels.items()}

    def names(self, labels: Mapping[str, int]) -> bool:
        """Whether the map says something about these labels: their class is named in every head that it has."""
        return bool(self._named) and all(labels[head] in named for head, named in self._named.items())


def suggest_flip_labels(classes: Mapping[str, Sequence[str]]) -> dict[str, dict[str, str]]:
    """Pairs of classes whose names differ by left and right, or by the sense of turning.

    A suggestion to look at, never applied by itself: `right_arm_swipe_to_the_left` mirrored is a left arm that swipes
    to the right, and whether that still is the class `right_arm_swipe_to_the_right` only a person can say.

    Args:
        classes: class names by head.

    Returns:
        by head, each pair once; heads without a pair are left out. Fits `AugmentationConfig.flip_labels`.
    """
    found: dict[str, dict[str, str]] = {}
    for head, names in classes.items():
        by_words = {tuple(_words(name)): name for name in names}
        pairs: dict[str, str] = {}
        taken: set[str] = set()
        for words, name in by_words.items():
            partner = next((by_words[other] for other in _mirrored(words) if other in by_words), None)
            if partner is not None and name != partner and not {name, partner} & taken:
                pairs[name] = partner
                taken |= {name, partner}
        if pairs:
            found[head] = pairs
    return found


def mirror_note(classes: Mapping[str, Sequence[str]], augmentation: AugmentationConfig) -> str | None:
    """A sentence for the user where clips are flipped, classes look like mirror images, and no map was given."""
    pairs = suggest_flip_labels(classes)
    listed = [f"{one} / {other}" for mapping in pairs.values() for one, other in mapping.items()]
    if not listed or not augmentation.flip or augmentation.flip_labels:
        return None
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return (
        f"clips are flipped (flip={augmentation.flip:g}), but these classes look like mirror images of each other: "
        f"{'; '.join(listed[:3])}{more}. Name what becomes what in flip_labels, or use flip=0"
    )


def _words(name: str) -> list[str]:
    text = re.sub(r"(?i)(counter|anti)[\s_\-]+clockwise", r"\1clockwise", name)
    return [word for word in re.split(r"[\W_]+", text.lower()) if word]


def _mirrored(words: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The words with opposites exchanged: all of them first, then every smaller choice."""
    choices = [_opposites(word) for word in words]
    all_ways = [way for way in itertools.product(*choices) if way != words]
    return sorted(all_ways, key=lambda way: -sum(a != b for a, b in zip(way, words, strict=True)))


def _opposites(word: str) -> list[str]:
    exchanged = [b if a == word else a for a, b in OPPOSITES if word in (a, b)]
    return [*exchanged, word]
