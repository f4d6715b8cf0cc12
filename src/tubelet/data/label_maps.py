"""Maps of labels for clips that are flipped or played backwards: swipe left becomes swipe right."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from tubelet.config import AugmentationConfig
from tubelet.errors import ConfigError
from tubelet.text import did_you_mean, listing

SIDES = (
    ("left", "right"),
    ("leftward", "rightward"),
    ("leftwards", "rightwards"),
    ("lefthand", "righthand"),
    ("lefthanded", "righthanded"),
    ("links", "rechts"),
    ("gauche", "droite"),
    ("izquierda", "derecha"),
    ("esquerda", "direita"),
    ("sinistra", "destra"),
)
"""Words for the two sides, which a mirror exchanges, and half a turn of the picture too."""

TURNS = (("clockwise", "counterclockwise"), ("clockwise", "anticlockwise"), ("cw", "ccw"), ("cw", "acw"))
"""Words for the sense of turning, which a mirror exchanges and a turn of the picture does not."""

HEIGHTS = (("up", "down"), ("upward", "downward"), ("upwards", "downwards"), ("top", "bottom"))
"""Words that half a turn of the picture exchanges and a mirror does not."""

Opposites = Sequence[tuple[str, str]]
Words = tuple[str, ...]

FARTHEST_TURN = 90
"""Degrees of `rotate` beyond which a clip that is turned shows the opposite direction."""


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
                        f"{setting}: no class {source!r} in the head {head!r}{did_you_mean(source, names)}; name "
                        f"classes of this data, or none ({setting}={{}})"
                    )
                if becomes.setdefault(source, target) != target:
                    raise ConfigError(
                        f"{setting}: {source!r} cannot become both {becomes[source]!r} and {target!r}; "
                        "classes go in pairs"
                    )
        for source, target in becomes.items():
            self._becomes[head][names.index(source)] = names.index(target)
        return {names.index(source) for source in becomes}

    def __call__(self, shown: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
        """The classes that are shown afterwards (`Sample.shown`); those that are not named stay."""
        return {head: tuple(self._becomes[head][index] for index in indices) for head, indices in shown.items()}

    def names(self, shown: Mapping[str, Sequence[int]]) -> bool:
        """Whether all classes that are shown are named in every head that the map has."""
        return bool(self._named) and all(named.issuperset(shown[head]) for head, named in self._named.items())


def suggest_flip_labels(classes: Mapping[str, Sequence[str]]) -> dict[str, dict[str, str]]:
    """Pairs of classes whose names differ by left and right, or by the sense of turning.

    A suggestion to look at, never applied by itself: `right_arm_swipe_to_the_left` mirrored is a left arm that swipes
    to the right, and whether that still is the class `right_arm_swipe_to_the_right` only a person can say.

    Args:
        classes: class names by head.

    Returns:
        by head, each pair once; heads without a pair are left out. Fits `AugmentationConfig.flip_labels`.
    """
    return _pairs(classes, SIDES + TURNS)


def mirror_note(classes: Mapping[str, Sequence[str]], augmentation: AugmentationConfig) -> str | None:
    """What is wrong where clips get labels that they do not show, in a sentence with the remedies; None if nothing is.

    That is so where clips are flipped, classes look like mirror images of each other, and `flip_labels` does not say
    what becomes of them; or where they are turned so far that left becomes right.

    Args:
        classes: class names by head.
        augmentation: of the training.
    """
    if augmentation.flip:
        unnamed = {
            head: {one: other for one, other in pairs.items() if not {one, other} <= _named(augmentation, head)}
            for head, pairs in suggest_flip_labels(classes).items()
        }
        listed = _in_words(unnamed)
        if listed:
            complete = {
                head: {**augmentation.flip_labels.get(head, {}), **unnamed.get(head, {})}
                for head in classes
                if head in augmentation.flip_labels or unnamed.get(head)
            }
            return (
                f"clips are flipped (flip={augmentation.flip:g}), but these classes look like mirror images of each "
                f"other: {listed}. Either flip none (--flip 0), or say what becomes what (--flip-labels "
                f"'{json.dumps(complete, ensure_ascii=False)}'; a class that keeps its label is named as its own "
                "mirror image)"
            )
    listed = _in_words(_pairs(classes, SIDES + HEIGHTS))
    if augmentation.rotate > FARTHEST_TURN and listed:
        return (
            f"clips are turned by up to {augmentation.rotate:g} degrees (rotate), which exchanges the directions that "
            f"tell these classes apart: {listed}. Turn them by at most {FARTHEST_TURN} degrees (--rotate "
            f"{FARTHEST_TURN})"
        )
    return None


def require_labels_stay_right(classes: Mapping[str, Sequence[str]], augmentation: AugmentationConfig) -> None:
    """Hold that the labels of flipped and rotated clips are right (`mirror_note`).

    Raises:
        ConfigError: they do not; which classes, and what to do.
    """
    note = mirror_note(classes, augmentation)
    if note is not None:
        raise ConfigError(note)


def _named(augmentation: AugmentationConfig, head: str) -> set[str]:
    mapping = augmentation.flip_labels.get(head, {})
    return {*mapping.keys(), *mapping.values()}


def _in_words(by_head: Mapping[str, Mapping[str, str]]) -> str:
    """The first pairs, and how many there are besides."""
    pairs = [f"{one} / {other}" for labels in by_head.values() for one, other in labels.items()]
    return listing(pairs, 3, "; ")


def _pairs(classes: Mapping[str, Sequence[str]], opposites: Opposites) -> dict[str, dict[str, str]]:
    """By head, classes with names that differ in opposites alone, in as many of them as possible."""
    found: dict[str, dict[str, str]] = {}
    for head, names in classes.items():
        by_words = {_words(name): name for name in names}
        similar: dict[Words, list[Words]] = defaultdict(list)
        for words in by_words:
            similar[_neutral(words, opposites)].append(words)
        pairs: dict[str, str] = {}
        for words, name in by_words.items():
            ranks = {other: _rank(words, other, opposites) for other in similar[_neutral(words, opposites)]}
            partner = by_words[min(ranks, key=ranks.__getitem__)]
            if partner != name and not {name, partner} & {*pairs, *pairs.values()}:
                pairs[name] = partner
        if pairs:
            found[head] = pairs
    return found


def _words(name: str) -> Words:
    """The words of a class name, however they are joined: `SwipeLeft`, `swipe_left`, `swipeleft2`."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    text = re.sub(r"(counter|anti)[\s_\-]+clockwise", r"\1clockwise", apart.lower())
    text = re.sub(r"(?<=[^\W\d_]{3})(left|right)(?![^\W\d_])|(?<=\d)(?=[^\W\d_])|(?<=[^\W\d_])(?=\d)", r" \1", text)
    return tuple(word for word in re.split(r"[\W_]+", text) if word)


def _neutral(words: Words, opposites: Opposites) -> Words:
    """The words without those that have an opposite."""
    return tuple("" if len(_choices(word, opposites)) > 1 else word for word in words)


def _rank(words: Words, others: Words, opposites: Opposites) -> tuple[int, list[int]]:
    """Rank of a name among those with the same neutral words: the lower, the more opposites are exchanged.

    It is above 0 where the two names differ in something else.
    """
    choices = [_choices(word, opposites) for word in words]
    if any(other not in choice for other, choice in zip(others, choices, strict=True)):
        return 1, []
    changed = sum(one != other for one, other in zip(words, others, strict=True))
    return -changed, [choice.index(other) for other, choice in zip(others, choices, strict=True)]


def _choices(word: str, opposites: Opposites) -> list[str]:
    """The opposites of a word, and itself."""
    return [*(b if a == word else a for a, b in opposites if word in (a, b)), word]
