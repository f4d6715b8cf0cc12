"""The classes of published weights.

A class list is only worth something in the order of the logits. For none of Scenic's checkpoints is that order
part of the file, of its configuration or of its code: it comes from whoever prepared the data set. So tubelet ships no
list of names; what Scenic's code does say is how the logits of EPIC-Kitchens are split.
"""

from __future__ import annotations

from tubelet.config import ModelConfig

EPIC_KITCHENS_HEADS = {"noun": 300, "verb": 97}
"""Heads of EPIC-Kitchens-100 in the order of Scenic's logits (its configuration for that data set)."""


def label_notes(config: ModelConfig) -> list[str]:
    """What a reader of a file without class names must know."""
    if not config.heads:
        return []
    notes = ["labels: the file has no class names; results show class numbers until model.labels is set"]
    if config.num_classes == sum(EPIC_KITCHENS_HEADS.values()):
        notes.append(
            f"{config.num_classes} classes are as many as EPIC-Kitchens' nouns and verbs together; if these are they, "
            f"load with num_classes={EPIC_KITCHENS_HEADS}"
        )
    return notes
