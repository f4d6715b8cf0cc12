"""Masked tubelet modelling: the task of `tubelet.pretrain`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from tubelet.config import PretrainConfig
from tubelet.data import Batch, Table, split_name
from tubelet.data.draws import generator_of
from tubelet.device import resolve_precision
from tubelet.distributed.world import ALONE, World
from tubelet.errors import DataError
from tubelet.fast import training_form
from tubelet.model import ViViT
from tubelet.pretraining.masking import Visible
from tubelet.pretraining.model import MaskedTubelets
from tubelet.training.run_folder import PRETRAINING
from tubelet.training.task import Task, frame_cache, place_model, training_clips, training_loader


@dataclass(frozen=True, kw_only=True)
class MaskedTask(Task):
    """The error of what is predicted of hidden tubelets.

    What is hidden of a clip depends on the seed, the epoch and the clip alone, so that neither the number of processes
    nor the parts of a batch change it. It travels with the batch, as targets do.
    """

    kind = PRETRAINING
    config_type = PretrainConfig
    verb = "pretrain"
    videos = "videos"
    digits = 4

    config: PretrainConfig
    module: MaskedTubelets

    @classmethod
    def of(cls, model: ViViT, table: Table, config: PretrainConfig, world: World = ALONE) -> MaskedTask:
        chosen, _ = choose(table, config.splits)
        device = place_model(model, config, world)
        clips = training_clips(model, chosen, config, frame_cache(chosen, config, world))
        return cls(
            config=config,
            module=MaskedTubelets(model, config.masking).to(device).train(),
            device=device,
            dtype=resolve_precision(config.runtime.precision, device),
            clips=clips,
            loader=training_loader(clips, config, device, world),
        )

    def model_in(self, module: nn.Module) -> ViViT:
        assert isinstance(module, MaskedTubelets)
        return module.model

    def learner(self, fast: bool) -> nn.Module:
        return training_form(self.module) if fast else self.module

    def prepare(self, batch: Batch, epoch: int, number: int) -> Batch:
        """With the visible times and positions of each clip as targets."""
        generators = [generator_of(self.config.seed, epoch, index, "visible") for index in batch.indices.tolist()]
        visible = self.module.draw(len(batch), batch.frame_mask, generators)
        return replace(batch, targets={"times": visible.times, "positions": visible.positions}).to(self.device)

    def losses(self, learner: Callable[..., Any], batch: Batch) -> Tensor:
        losses: Tensor = learner(batch.video, batch.frame_mask, Visible(**batch.targets))
        return losses

    def size(self) -> str:
        masked, tokens = self.module, self.model.config.num_tokens
        encoder = sum(parameter.numel() for parameter in masked.model.parameters())
        decoder = sum(parameter.numel() for parameter in masked.parameters()) - encoder
        return (
            f"{encoder / 1e6:.2f} M parameters and {decoder / 1e6:.2f} M of the decoder, "
            f"{masked.visible_times * masked.visible_positions} of {tokens} tokens a clip visible"
        )

    def data_fields(self) -> dict[str, Any]:
        return {"learned_from": len(self.clips)}


def choose(table: Table, splits: tuple[str, ...]) -> tuple[Table, str]:
    """The videos to learn from, and a sentence about them.

    Raises:
        DataError: a split that is not there.
    """
    if set(table.splits) <= {""}:
        note = (
            f"the data has no splits: all {len(table)} videos are learned from, without labels. To keep some unseen, "
            "name the split_column of the table, or give the splits.csv of a training"
        )
        return table, note
    wanted = tuple(dict.fromkeys(split_name(split) for split in splits))
    for name in wanted:
        if name not in table.splits:
            there = ", ".join(f"{split or 'no split'} ({count})" for split, count in sorted(table.splits.items()))
            raise DataError(f"no video is in the split {name!r}; there are: {there}")
    chosen = table.select(number for number, sample in enumerate(table.samples) if sample.split in wanted)
    left = len(table) - len(chosen)
    return chosen, f"{len(chosen)} videos of {', '.join(wanted)} are learned from, without labels; {left} are not seen"
