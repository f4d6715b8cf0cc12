"""The image model that the cells of a study start from: masked pictures of the training videos, one frame at a time."""

from __future__ import annotations

from pathlib import Path

from tubelet.data import Table
from tubelet.pretraining import pretrain
from tubelet.studies.folder import Outcome
from tubelet.studies.study import Source
from tubelet.training import Reporter, read_events
from tubelet.weights import load
from tubelet.weights.image_vit_save import save_image_vit

IMAGE_WEIGHTS = "image_vit.npz"


def image_weights(folder: Path) -> Path:
    """The file of a source's run that trainings start from."""
    return folder / IMAGE_WEIGHTS


def train_source(folder: Path, source: Source, table: Table, reporter: Reporter) -> Outcome:
    """Pretrain an image model, and write its weights as those of an image ViT."""
    resume = (folder / "run.json").is_file()
    if not (resume and read_events(folder / "metrics.jsonl", "end")):
        folder.parent.mkdir(parents=True, exist_ok=True)
        pretrain(None if resume else table, folder, config=source.config, resume=resume, reporter=reporter)
    save_image_vit(load(folder), image_weights(folder))
    losses = [event["loss"] for event in read_events(folder / "metrics.jsonl", "train")]
    last = losses[-max(1, len(losses) // 10) :]
    return Outcome("done", loss=sum(last) / len(last))
