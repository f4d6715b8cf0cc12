"""Which tensor of a video model is made from which tensor of an image transformer.

image ViT                          ViViT
patch kernel [D, C, h, w]      ->  embedding.weight [D, C, t, h, w]     by `tubelet_init`
positions [h, w, D]            ->  positions.grid [t, h', w', D]        by `positions`
class token                    ->  cls, if the model has one
blocks                         ->  blocks (of the spatial encoder in model 2)
attention of a block           ->  in model 3: attention over space, and over time by `behaviour`
last norm                      ->  norm
(pooling that is weighted      ->  pool_weights, all 1: a mean at first)
head                           ->  head, if asked for
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from tubelet.config import ModelConfig
from tubelet.errors import ConfigError, WeightsError
from tubelet.weights.image_vit import ImageViT
from tubelet.weights.inflate import (
    PositionsInit,
    TubeletInit,
    adapt_positions,
    adapt_table_as_original,
    inflate_kernel,
    resize_kernel,
)
from tubelet.weights.tensors import MappedTensor, meta_state

Behaviour = Literal["default", "original", "paper", "random"]

NOT_IN_SOURCE = "as it was: the source has none"
NO_TIME = "as it was: an image has no time"


@dataclass(frozen=True)
class Options:
    """How to initialise; see `tubelet.initialise`."""

    tubelet_init: TubeletInit = "central_frame"
    positions: PositionsInit = "tile"
    behaviour: Behaviour = "default"
    head: bool = False

    def __post_init__(self) -> None:
        for name, kind in {"tubelet_init": TubeletInit, "positions": PositionsInit, "behaviour": Behaviour}.items():
            if getattr(self, name) not in get_args(kind):
                choices = ", ".join(map(repr, get_args(kind)))
                raise ConfigError(f"{name}={getattr(self, name)!r} is not one of {choices}")


class Plan:
    """The tensors of a video model, made from an image transformer. Nothing is written into the model.

    Args:
        config: of the video model.
        vit: the image transformer, of the same sizes.
        options: of `tubelet.initialise`.

    Attributes:
        tensors: by the names of the model's state dict.
        new: names of the model's tensors that stay as they are, and why.
        unused: names of the source's tensors that are left out, and why.
        notes: for the report.

    Raises:
        WeightsError: an option that this source does not allow.
        ConfigError: an option that has no effect on this model.
    """

    def __init__(self, config: ModelConfig, vit: ImageViT, options: Options) -> None:
        self.config, self.vit, self.options = config, vit, options
        self.tensors: dict[str, MappedTensor] = {}
        self.new: dict[str, str] = {}
        self.unused: dict[str, str] = {}
        self.notes: list[str] = []
        self.encoder = "spatial_encoder" if config.variant == "factorised_encoder" else "encoder"
        self.shapes = {name: tensor.shape for name, tensor in meta_state(config).items()}
        self._plan_pooling()
        self._plan_embedding()
        self._plan_class_token()
        self._plan_positions()
        self._plan_blocks()
        self._plan_head()
        self._keep("temporal_encoder.", NO_TIME)
        self._keep("head_norm.", NOT_IN_SOURCE)

    def _keep(self, prefix: str, why: str) -> None:
        self.new |= {name: why for name in self.shapes if name.startswith(prefix) and name not in self.tensors}

    def _plan_pooling(self) -> None:
        for name, shape in self.shapes.items():
            if "pool_weights." in name:
                self.tensors[name] = MappedTensor(torch.ones(shape), "", "1: pooling is a mean at first")

    # --- embedding -------------------------------------------------------------------------------------------------

    def _plan_embedding(self) -> None:
        kernel, bias = self.vit.tensors["embedding.weight"], self.vit.tensors["embedding.bias"]
        reason = "tubelet_init='random'" if self.options.tubelet_init == "random" else ""
        if self.config.embedding == "conv_stem":
            reason = "conv_stem embeds feature maps, the source pixels"
        if reason:
            self._keep("embedding.", f"as it was: {reason}")
            self.unused |= {incoming.source: reason for incoming in (kernel, bias) if incoming.source}
            return
        resized, how = self._resize(kernel.tensor)
        inflated, how_inflated = self._inflate(resized)
        how = "; ".join(filter(None, (how, how_inflated)))
        self.tensors["embedding.weight"] = MappedTensor(inflated, kernel.source, how, adapted=bool(how))
        self.tensors["embedding.bias"] = bias

    def _resize(self, kernel: Tensor) -> tuple[Tensor, str]:
        frames, height, width = self.config.tubelet_size
        if self.vit.patch_size == (height, width):
            return kernel, ""
        old, new = _by(*self.vit.patch_size), _by(height, width)
        if self.options.behaviour == "original":
            raise WeightsError(
                f"{self.vit.source}: its patches have {old} pixels, the tubelets {new}, and Scenic cannot adapt "
                f"them; use behaviour='default', or create the model with tubelet_size={(frames, *self.vit.patch_size)}"
            )
        return resize_kernel(kernel, (height, width)), f"{old} pixels resized to {new} by the pseudo-inverse (FlexiViT)"

    def _inflate(self, kernel: Tensor) -> tuple[Tensor, str]:
        """The kernel with an axis of time, and how it was made."""
        method, frames = self.options.tubelet_init, self.config.tubelet_size[0]
        original = self.options.behaviour == "original"
        if method == "random" or (original and self.config.embedding == "uniform_frames"):
            return kernel[:, :, None], ""
        if method == "rank_pooling" and frames == 1 and not original:
            raise ConfigError("tubelet_init='rank_pooling' of a single frame is 0; use tubelets of 2 frames or more")
        words = {
            "central_frame": f"frame {frames // 2} of 0 to {frames - 1}, the others 0",
            "inflation": f"1/{frames} in each of {frames} frames",
            "rank_pooling": f"rank pooling over {frames} frames",
        }
        how = "" if frames == 1 and method != "rank_pooling" else words[method]
        return inflate_kernel(kernel, frames, method), how

    # --- class token and positions -----------------------------------------------------------------------------------

    def _plan_class_token(self) -> None:
        name, theirs = f"{self.encoder}.cls", self.vit.tensors.get("cls")
        if self.config.pool != "cls":
            if theirs is not None:
                self.unused[theirs.source] = "this model has no class token"
                self.notes.append("the image model's tokens attend to its class token; this model's have none")
        elif theirs is None:
            self.new[name] = NOT_IN_SOURCE
        elif self.options.behaviour == "original" and self.config.variant == "factorised_encoder":
            why = "Scenic has another name for it here, and skips the source's"
            self.new[name], self.unused[theirs.source] = f"as it was: {why}", why
        else:
            self.tensors[name] = theirs

    def _plan_positions(self) -> None:
        theirs = self.vit.tensors["positions.grid"]
        if self.config.positions == "sinusoidal":
            self.unused[theirs.source] = "the model's positions are fixed (sinusoidal)"
            return
        time, height, width = self.config.grid
        size = (1 if self.encoder == "spatial_encoder" else time, height, width)
        original = self.options.behaviour == "original"
        first, grid, how = self._positions_as_original(size) if original else self._positions(size)
        self.tensors[f"{self.encoder}.positions.grid"] = MappedTensor(grid, theirs.source, how, adapted=bool(how))
        name = f"{self.encoder}.positions.cls"
        if self.config.pool != "cls":
            return
        if first is None:
            self.new[name] = NOT_IN_SOURCE
        else:
            self.tensors[name] = first

    def _positions(self, size: tuple[int, int, int]) -> tuple[MappedTensor | None, Tensor, str]:
        """The class token's position, the grid, and how it was made."""
        grid = adapt_positions(self.vit.tensors["positions.grid"].tensor, size, self.options.positions)
        if grid is None:
            fitting = tuple(n * pixels for n, pixels in zip(self.vit.grid, self.config.tubelet_size[1:], strict=True))
            raise WeightsError(
                f"{self.vit.source} has positions for {_by(*self.vit.grid)} patches, but the model for "
                f"{_by(*size[1:])}, so that they cannot be tiled; use positions='resize_tile', or image_size={fitting}"
            )
        how = [f"resized from {_by(*self.vit.grid)} to {_by(*size[1:])}"] if self.vit.grid != size[1:] else []
        how += [f"repeated for {size[0]} times"] if size[0] > 1 else []
        return self.vit.tensors.get("positions.cls"), grid, ", ".join(how)

    def _positions_as_original(self, size: tuple[int, int, int]) -> tuple[MappedTensor | None, Tensor, str]:
        """The same on tables [N, D] with the class token's row first. Tables of equal length are copied."""
        source = self.vit.tensors["positions.grid"].source
        table, wanted = self.vit.tensors["positions.grid"].tensor.flatten(0, 1), math.prod(size)
        own = int(self.config.pool == "cls")
        first = self.vit.tensors["positions.cls"].tensor if self.vit.has_cls else table[:0]
        if len(first) + len(table) == own + wanted:
            whole = torch.cat([first, table])
            return (MappedTensor(whole[:own], source) if own else None), whole[own:].unflatten(0, size), ""
        # Scenic divides by the tubelets along time even in model 2, which has a table for one time step
        times = self.config.sampled_frames or self.config.num_frames // self.config.tubelet_size[0]
        adapted = adapt_table_as_original(table, wanted, times, self.options.positions)
        if len(adapted) != wanted:
            raise WeightsError(
                f"{self.vit.source}: behaviour='original' with positions={self.options.positions!r} makes "
                f"{len(adapted)} positions of {len(table)} where the model has {_by(*size)}, and there Scenic "
                "fails; use another of tile, resize and resize_tile, or behaviour='default'"
            )
        how = f"{len(table)} to {wanted} as Scenic does ({self.options.positions})"
        first_row = MappedTensor(first, source) if len(first) else None
        return first_row, adapted.unflatten(0, size), how if len(table) != wanted else ""

    # --- blocks, norms, head -----------------------------------------------------------------------------------------

    def _plan_blocks(self) -> None:
        for name, incoming in self.vit.tensors.items():
            ours = f"{self.encoder}.{name}"
            if name.startswith("blocks.") and self.config.variant == "factorised_self_attention":
                self._plan_factorised(ours, incoming)
            elif name.startswith(("blocks.", "norm.", "input_norm.")):
                self.tensors[ours] = incoming

    def _plan_factorised(self, name: str, incoming: MappedTensor) -> None:
        """Model 3 has an attention with its norm for space and one for time where an image has one."""
        space = name.replace(".norm_attention.", ".norm_space.").replace(".attention.", ".space.")
        self.tensors[space] = incoming
        if space == name:
            return
        time = space.replace(".norm_space.", ".norm_time.").replace(".space.", ".time.")
        behaviour = self.options.behaviour
        copy = replace(incoming, how="a copy of the image's attention", adapted=True)
        zero = MappedTensor(torch.zeros_like(incoming.tensor), "", "0: the attention over time adds nothing at first")
        if behaviour == "random":
            self.new[time] = "as it was: behaviour='random'"
        elif ".norm_time." in time and behaviour == "original":
            self.new[time] = "as it was: Scenic copies no norm to it"
        elif ".norm_time." in time and behaviour == "paper":
            self.new[time] = NO_TIME
        elif behaviour == "paper" or (behaviour == "default" and ".time.out." in time):
            self.tensors[time] = zero
        else:
            self.tensors[time] = copy

    def _plan_head(self) -> None:
        theirs = {name: incoming for name, incoming in self.vit.tensors.items() if name.startswith("head.")}
        if not self.options.head:
            self._keep("head.", "as it was: head=False")
            self.unused |= {incoming.source: "head=False" for incoming in theirs.values() if incoming.source}
            return
        reason = ""
        if not theirs:
            reason = "the source has no head; leave it out"
        elif self.vit.head_unusable_because:
            reason = f"the source's head cannot be copied: {self.vit.head_unusable_because}"
        elif not isinstance(self.config.num_classes, int):
            reason = f"the source has one head and the model several ({', '.join(self.config.heads)}); leave it out"
        elif self.config.num_classes != self.vit.num_classes:
            reason = (
                f"the source has {self.vit.num_classes} classes and the model {self.config.num_classes}; leave it out, "
                f"or model.reset_classifier({self.vit.num_classes}) first"
            )
        if reason:
            raise WeightsError(f"{self.vit.source}: head=True, but {reason}")
        self.tensors |= theirs


def _by(*size: int) -> str:
    return " x ".join(map(str, size))
