"""The loss of heads that give one class and of those that give several."""

from __future__ import annotations

import torch

from tubelet.training.losses import classification_loss

LOGITS = {"place": torch.tensor([[1.0, -1.0, 0.0], [0.0, 2.0, 1.0]]), "tags": torch.tensor([[2.0, -1.0], [0.5, 0.0]])}
TARGETS = {"place": torch.tensor([0, 2]), "tags": torch.tensor([[1.0, 0.0], [0.0, 0.0]])}


def test_a_multi_label_head_has_the_binary_cross_entropy_of_torch() -> None:
    weight = torch.tensor([3.0, 1.0])
    found = classification_loss(LOGITS, TARGETS, class_weights={"tags": weight}, multi_label=("tags",))
    place = torch.nn.CrossEntropyLoss(reduction="none")(LOGITS["place"], TARGETS["place"])
    tags = torch.nn.BCEWithLogitsLoss(pos_weight=weight, reduction="none")(LOGITS["tags"], TARGETS["tags"]).mean(dim=1)
    torch.testing.assert_close(found, (place + tags) / 2)


def test_parts_of_a_batch_add_up_to_the_whole() -> None:
    """Accumulation: the mean of the parts, weighted by their clips, is the loss of the batch."""
    whole = classification_loss(LOGITS, TARGETS, multi_label=("tags",))
    parts = [
        classification_loss(
            {head: values[n : n + 1] for head, values in LOGITS.items()},
            {head: values[n : n + 1] for head, values in TARGETS.items()},
            multi_label=("tags",),
        )
        for n in range(2)
    ]
    torch.testing.assert_close(torch.cat(parts), whole)
