"""Masked tubelet modelling: a ViViT that sees a small part of each clip, and a decoder that predicts the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

from tubelet.config import MaskingConfig
from tubelet.model import ViViT
from tubelet.nn.embedding import ConvStemEmbedding, hold_masked_frames
from tubelet.pretraining.decoder import Decoder
from tubelet.pretraining.masking import Visible, draw_visible, visible_tubes
from tubelet.pretraining.targets import Targets, make_targets, to_tubelets


@dataclass(frozen=True)
class Reconstruction:
    """What the decoder made of a batch.

    Attributes:
        values: predicted targets, [B, t, p, P].
        targets: what they should be.
        counts: True at the tubelets that are judged: hidden, and of a time that is real; [B, t, p].
    """

    values: Float[Tensor, "B t p P"]
    targets: Targets
    counts: Bool[Tensor, "B t p"]

    def losses(self) -> Float[Tensor, "B"]:
        """Mean squared error of each clip, over the pixels of its hidden tubelets and nothing else."""
        errors = F.mse_loss(self.values.float(), self.targets.values, reduction="none").mean(dim=-1)
        return errors.masked_fill(~self.counts, 0).sum(dim=(1, 2)) / self.counts.sum(dim=(1, 2)).clamp(min=1)


class MaskedTubelets(nn.Module):
    """Masked tubelet modelling for all four models (after VideoMAE: Tong et al., NeurIPS 2022, arXiv 2203.12602).

    The encoder gets the visible tokens alone, with their positions, so that a pass costs a fraction of a whole one.

        models 1, 3, 4   visible positions at all times -> encoder -> decoder over the whole grid

        model 2          visible positions of each visible time -> spatial encoder -> one vector a time
                         -> temporal encoder, which has a learned token at the hidden times -> one vector a time
                         -> decoder over each time alone, with that time's vector (and the clip's class token) beside it

    Since the same positions are hidden at every time, what is left is a grid again, and attention along its axes
    (models 3 and 4) needs nothing special.

    In model 2 the decoder sees no other time: what the past and the future show, it has from the temporal encoder or
    not at all. At a time that is hidden altogether that is everything it has, so spatial vectors must say what their
    time looks like and the temporal encoder must put motion together.

    A convolutional stem would carry pixels across the borders of tubelets. So it sees each visible tube alone, as a
    small video of its own: its BatchNorms count nothing but pixels that are there, and what is hidden costs nothing.

    Args:
        model: is trained; needs no head.
        masking: what is hidden, and the decoder.

    Raises:
        ConfigError: a grid of which nothing can be hidden, or times to hide from a model without temporal encoder.
    """

    def __init__(self, model: ViViT, masking: MaskingConfig) -> None:
        super().__init__()
        config = model.config
        self.model = model
        self.masking = masking
        self.visible_positions = masking.visible_positions(config)
        self.visible_times = masking.visible_times(config)
        factorised = config.variant == "factorised_encoder"
        self.decoder = Decoder(
            config.grid,
            config.hidden_size,
            masking.decoder_width(config),
            layers=masking.decoder_layers,
            heads=masking.decoder_heads,
            pixels=math.prod(config.tubelet_size) * config.in_channels,
            each_time_alone=factorised,
        )
        masks_times = self.visible_times < config.grid[0]
        self.mask_token = nn.Parameter(0.02 * torch.randn(config.hidden_size)) if masks_times else None

    def forward(
        self,
        video: Float[Tensor, "B T C H W"],
        frame_mask: Bool[Tensor, "B T"] | None = None,
        visible: Visible | None = None,
    ) -> Float[Tensor, "B"]:
        """The loss of each clip: the error of what is predicted of its hidden part, drawn here if it is not given."""
        visible = visible or self.draw(len(video), frame_mask).to(video.device)
        return self.reconstruct(video, visible, frame_mask).losses()

    def draw(
        self,
        batch: int,
        frame_mask: Bool[Tensor, "B T"] | None = None,
        generators: Sequence[Generator] | None = None,
    ) -> Visible:
        """Draw what of each clip is visible, with a generator for each clip or from torch's own."""
        times, height, width = self.model.config.grid
        return draw_visible(
            batch,
            times,
            height * width,
            visible_times=self.visible_times,
            visible_positions=self.visible_positions,
            time_mask=None if frame_mask is None else self.model.embedding.token_mask(frame_mask),
            generators=generators,
        )

    def reconstruct(
        self, video: Float[Tensor, "B T C H W"], visible: Visible, frame_mask: Bool[Tensor, "B T"] | None = None
    ) -> Reconstruction:
        """Predict what is hidden from what is visible.

        Args:
            video: of the size that the model is for.
            visible: what the encoder sees.
            frame_mask: True where a frame is real. Times without a real frame are not judged.
        """
        time_mask = None
        if frame_mask is not None:
            video = hold_masked_frames(video, frame_mask)
            time_mask = self.model.embedding.token_mask(frame_mask)
        tokens, context = self.encode(video, visible, time_mask)
        values = self.decoder(tokens, context, visible)
        targets = make_targets(video, self.model.config, self.masking.targets)
        counts = visible.hidden(values.shape[1], values.shape[2])
        return Reconstruction(values, targets, counts if time_mask is None else counts & time_mask[:, :, None])

    def encode(
        self,
        video: Float[Tensor, "B T C H W"],
        visible: Visible,
        time_mask: Bool[Tensor, "B t"] | None = None,
    ) -> tuple[Float[Tensor, "B v n D"], Float[Tensor, "B _ c D"]]:
        """What the encoder makes of the visible tubelets. Nothing hidden has any influence on it.

        Args:
            video: masked frames held (`hold_masked_frames`).
            visible: what is seen.
            time_mask: True at the times that are real.

        Returns:
            tokens of the visible times and positions; and the context of the decoder, for the clip or for each time.
        """
        grid = self._embed(video, visible)
        if self.model.config.variant == "factorised_encoder":
            return self._encode_factorised(grid, visible, time_mask)
        encoded = self.model.encoder.encode(grid, time_mask, visible.positions)
        times, positions = visible.times.shape[1], visible.positions.shape[1]
        classes = encoded.shape[1] - times * positions
        return encoded[:, classes:].unflatten(1, (times, positions)), encoded[:, None, :classes]

    def _embed(self, video: Float[Tensor, "B T C H W"], visible: Visible) -> Float[Tensor, "B t h w D"]:
        """The token grid; what it holds where tubelets are hidden is never looked at."""
        times, height, width = self.model.config.grid
        embedding = self.model.embedding
        index = visible.tokens(height * width)[:, :, None]
        if isinstance(embedding, ConvStemEmbedding):
            tubes = embedding(visible_tubes(video, visible, self.model.config.tubelet_size))
            by_position = tubes.reshape(len(video), -1, times, tubes.shape[-1]).transpose(1, 2)
            tokens = by_position.take_along_dim(visible.times[:, :, None, None], dim=1).flatten(1, 2)
        else:
            tubelets = to_tubelets(video, self.model.config).flatten(1, 2)
            tokens = embedding.project(tubelets.take_along_dim(index, dim=1))
        grid = tokens.new_zeros(len(tokens), times * height * width, tokens.shape[2])
        return grid.scatter(1, index.expand_as(tokens), tokens).unflatten(1, (times, height, width))

    def _encode_factorised(
        self, grid: Float[Tensor, "B t h w D"], visible: Visible, time_mask: Bool[Tensor, "B t"] | None
    ) -> tuple[Float[Tensor, "B v n D"], Float[Tensor, "B t c D"]]:
        batch, times = grid.shape[:2]
        seen = grid.take_along_dim(visible.times[:, :, None, None, None], dim=1)
        count = seen.shape[1]
        encoder = self.model.spatial_encoder
        grids, positions = seen.flatten(0, 1)[:, None], visible.positions.repeat_interleave(count, dim=0)
        encoded = encoder.encode(grids, None, positions)
        weighted = encoder.weigh(encoded, (1, grid.shape[2], grid.shape[3]), positions)
        frames = encoder.pool(weighted).unflatten(0, (batch, count))
        tokens = encoded[:, encoded.shape[1] - visible.positions.shape[1] :].unflatten(0, (batch, count))
        if self.mask_token is not None:
            where = visible.times[:, :, None].expand(-1, -1, frames.shape[2])
            frames = self.mask_token.to(frames.dtype).expand(batch, times, -1).scatter(1, where, frames)
        over_time = self.model.encode_times(frames, time_mask)
        own, clip = over_time[:, -times:], over_time[:, :-times]
        context = torch.cat([clip[:, None].expand(-1, times, -1, -1), own[:, :, None]], dim=2)
        return tokens, context
