"""Batches of clips, as a loader gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tubelet.data.items import Failure, Item


@dataclass
class Batch:
    """A batch of clips, or of all views of some videos.

    Attributes:
        video: float32 [B, T, C, H, W], or [B, V, T, C, H, W] for evaluation. B is smaller than the batch size where
            videos could not be read, and 0 if none could.
        frame_mask: bool [B, T] or [B, V, T], True where a frame is real; None if all are.
        targets: head to class indices, int64 [B]; or soft targets [B, K] after `MixupCutmix`. Of a multi-label head
            float32 [B, K], 1 for each class that is shown.
        indices: of the samples in the table, int64 [B].
        failures: the videos of this batch that could not be read.
        frames: evaluation: for each video and clip, the frames of the video that the clip holds; None in training.
        damaged: evaluation: how many frames of each video are known to be damaged.
        resampled: evaluation: for each video, whether these were chosen by their timestamps.
    """

    video: Float[Tensor, "B *V T C H W"]
    frame_mask: Bool[Tensor, "B *V T"] | None
    targets: dict[str, Tensor]
    indices: Int[Tensor, "B"]
    failures: list[Failure] = field(default_factory=list)
    frames: list[list[list[int]]] | None = None
    damaged: list[int] = field(default_factory=list)
    resampled: list[bool] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.video)

    def pin_memory(self) -> Batch:
        """The same batch in pinned memory. Called by torch's loader."""
        return replace(
            self,
            video=self.video.pin_memory(),
            frame_mask=None if self.frame_mask is None else self.frame_mask.pin_memory(),
            targets={head: target.pin_memory() for head, target in self.targets.items()},
        )

    def to(self, device: torch.device | str, *, non_blocking: bool = True) -> Batch:
        """The same batch on a device; indices and failures stay where they are."""
        mask = self.frame_mask
        return replace(
            self,
            video=self.video.to(device, non_blocking=non_blocking),
            frame_mask=None if mask is None else mask.to(device, non_blocking=non_blocking),
            targets={head: target.to(device, non_blocking=non_blocking) for head, target in self.targets.items()},
        )


def collate(
    items: Sequence[Item | Failure],
    heads: Sequence[str],
    video_shape: Sequence[int],
    multi_label: Mapping[str, int] | None = None,
) -> Batch:
    """Stack items into a batch; failures are listed beside them.

    Args:
        items: of a `ClipDataset`.
        heads: of the table.
        video_shape: of one item, for a batch without any.
        multi_label: classes of each multi-label head.
    """
    clips = [item for item in items if not isinstance(item, Failure)]
    failures = [item for item in items if isinstance(item, Failure)]
    video = torch.stack([clip["video"] for clip in clips]) if clips else torch.empty(0, *video_shape)
    masks = [clip["frame_mask"] for clip in clips]
    frame_mask = None
    if any(mask is not None for mask in masks):
        whole = torch.ones(video.shape[1:-3], dtype=torch.bool)
        frame_mask = torch.stack([whole if mask is None else mask for mask in masks])
    targets: dict[str, Tensor] = {}
    for head in heads:
        of_clips = [clip["targets"][head] for clip in clips]
        if multi_label is not None and head in multi_label:
            targets[head] = torch.zeros(len(clips), multi_label[head])
            for row, target in zip(targets[head], of_clips, strict=True):
                row.copy_(torch.as_tensor(target))
        else:
            targets[head] = torch.tensor(of_clips, dtype=torch.int64)
    indices = torch.tensor([clip["index"] for clip in clips], dtype=torch.int64)
    frames = [clip["frames"] for clip in clips if clip["frames"] is not None]
    damaged = [clip.get("damaged", 0) for clip in clips]
    resampled = [clip.get("resampled", False) for clip in clips]
    whole_frames = frames if len(frames) == len(clips) else None
    return Batch(video, frame_mask, targets, indices, failures, whole_frames, damaged, resampled)
