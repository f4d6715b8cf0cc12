"""Which videos a training learns from, noted with its weights when it begins."""

from __future__ import annotations

from collections.abc import Sequence

from tubelet.data import Table
from tubelet.data.known import known_videos, uses_of
from tubelet.model import ViViT
from tubelet.provenance import Provenance


def note_videos(
    model: ViViT, table: Table, run: str, chooses: str | None, *, learns: Sequence[str] = ("train",)
) -> list[str]:
    """Add the videos of a new run to `model.provenance`, which is saved with the weights.

    Args:
        model: with the provenance of the weights that it starts from; None for weights that do not say.
        table: all videos of the run.
        run: its name.
        chooses: the split that chooses the weights; None if none does.
        learns: the splits that are learned from.

    Returns:
        sentences for the user, on videos of other splits that the starting weights learned from.
    """
    before = model.provenance or Provenance(unknown=("the model that was given",))
    notes = []
    if before.videos:
        uses = uses_of(table, before)
        for split in [name for name in table.splits if name and name not in learns]:
            seen = sum(
                use == "learned" and sample.split == split for sample, use in zip(table.samples, uses, strict=True)
            )
            if seen:
                notes.append(
                    f"{seen} of {table.splits[split]} {split} videos were learned from by the weights that this run "
                    "starts from: accuracies on them say nothing of new videos, and `tubelet evaluate` leaves them out"
                )
    if before.unknown:
        notes.append(f"it is not known which videos {', '.join(before.unknown)} learned from")
    model.provenance = before.followed_by(run, known_videos(table, run=run, chooses=chooses, learns=learns))
    return notes
