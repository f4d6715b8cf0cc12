"""A picture of reconstructions: each clip, its visible part, and the reconstruction."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from tubelet.data import Batch, ClipDataset, Draw, Failure, collate, contact_sheet
from tubelet.files import replacing
from tubelet.pretraining.model import MaskedTubelets
from tubelet.pretraining.targets import to_tubelets, to_video
from tubelet.training.generators import restored_generators
from tubelet.training.step import seed_step
from tubelet.video.still import spread

CLIPS = 4
FRAMES = 8
HEIGHT = 96
"""Pixels of a frame in the picture, at least."""
LABELS, TYPE = 72, 15
"""Pixels of the column at the right that says what a row is, and of its type."""


def sample_batch(clips: ClipDataset, count: int = CLIPS) -> Batch:
    """Clips spread over the data, as their first epoch shows them; unreadable ones are left out."""
    chosen = spread(range(len(clips)), count)
    items = [item for item in (clips[Draw(index)] for index in chosen) if not isinstance(item, Failure)]
    return collate(items, (), clips.video_shape)


@torch.no_grad()
def reconstructions(masked: MaskedTubelets, batch: Batch, seed: int = 0) -> UInt8[Tensor, "3 H W"] | None:
    """Rows for each clip: the clip, its visible part (the rest grey), and the hidden part as the model predicts it.

    A prediction of normalised pixels has the mean and contrast of the tubelet that it stands for, which the model was
    not asked for. Motion has two rows, as it was and with the hidden part as it is predicted; grey is what stands
    still.

    Args:
        masked: encoder and decoder.
        batch: of clips.
        seed: of what is hidden.

    Returns:
        RGB; None for an empty batch.
    """
    if not len(batch):
        return None
    config, training = masked.model.config, masked.training
    device = next(masked.parameters()).device
    video = batch.video.to(device)
    mask = None if batch.frame_mask is None else batch.frame_mask.to(device)
    with restored_generators():
        seed_step(seed, -2)
        visible = masked.draw(len(video), mask).to(device)
    masked.eval()
    try:
        reconstruction = masked.reconstruct(video, visible, mask)
    finally:
        masked.train(training)
    truth = to_tubelets(video, config).float()
    hidden = visible.hidden(*truth.shape[1:3])[..., None]
    wanted, predicted = (
        reconstruction.targets.pixels(values)
        for values in (reconstruction.targets.values, reconstruction.values.float())
    )
    shown = [truth, truth.masked_fill(hidden, 0), torch.where(hidden, predicted, wanted)]
    if masked.masking.targets == "motion":
        shown.insert(2, wanted)
    rows = [to_video(tubelets, config, *video.shape[-2:]) for tubelets in shown]
    return _sheet(masked, torch.stack(rows, dim=1).flatten(0, 1).cpu())


def save_picture(masked: MaskedTubelets, clips: ClipDataset, path: Path, seed: int) -> Path | None:
    """Write `reconstructions` of some of the clips as a PNG whose rows are named, whole or not at all.

    Returns:
        `path`; None if no clip can be read.
    """
    batch = sample_batch(clips)
    picture = reconstructions(masked, batch, seed)
    if picture is None:
        return None
    image = _with_names(Image.fromarray(picture.permute(1, 2, 0).numpy()), row_names(masked), len(batch))
    with replacing(path) as writing:
        image.save(writing, "png")
    return path


def row_names(masked: MaskedTubelets) -> tuple[str, ...]:
    """What the rows of a clip are in the picture, from top to bottom."""
    return ("clip", "visible", *(("target",) if masked.masking.targets == "motion" else ()), "prediction")


def _with_names(image: Image.Image, names: tuple[str, ...], clips: int) -> Image.Image:
    """The picture with the name of each row at its right."""
    wider = Image.new("RGB", (image.width + LABELS, image.height), "white")
    wider.paste(image, (0, 0))
    draw, font = ImageDraw.Draw(wider), ImageFont.load_default(TYPE)
    height = image.height / (clips * len(names))
    for row in range(clips * len(names)):
        draw.text((image.width + 6, (row + 0.5) * height), names[row % len(names)], "black", font, anchor="lm")
    return wider


def _sheet(masked: MaskedTubelets, videos: Tensor) -> UInt8[Tensor, "3 H W"]:
    from tubelet.video import Preprocessing

    assert masked.model.preprocessing is not None
    enlarge = max(1, -(-HEIGHT // videos.shape[-2]))
    videos = videos.repeat_interleave(enlarge, dim=-2).repeat_interleave(enlarge, dim=-1)
    batch = Batch(videos, None, {}, torch.arange(len(videos)))
    return contact_sheet(batch, Preprocessing(masked.model.preprocessing), clips=len(videos), frames=FRAMES)
