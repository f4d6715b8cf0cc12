"""Our models at the size that the options name, that size passed on and in words, whether two compute the same."""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from tubelet.model import ViViT
from tubelet.presets import create

VARIANTS = {"1": "", "2": "_fe", "3": "_fsa", "4": "_fdp"}

ROUNDING = 1e-5
"""How far `tubelet.optimise` may be from the model, as a share of the largest logit above 1."""


def build(options: argparse.Namespace, number: str) -> ViViT:
    """One of the paper's models, with the options' preset, layers (0: the preset's), frames and size."""
    layers = {"num_layers": options.layers} if options.layers else {}
    if options.layers and number == "2":
        layers["temporal_layers"] = min(options.layers, 4)
    name = f"vivit_{options.preset}_16x2{VARIANTS[number]}"
    return create(name, num_frames=options.frames, image_size=options.size, **layers)


def arguments(options: argparse.Namespace) -> list[str]:
    """What makes another process's options name the same size."""
    return [f"--{name}={getattr(options, name)}" for name in ("preset", "frames", "size", "layers", "threads")]


def described(options: argparse.Namespace, how: str) -> str:
    """What was run, and how."""
    return (
        f"{options.preset}/16x2, {options.frames} frames of {options.size} x {options.size}, "
        f"{options.layers or 'all'} layers, {how}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, {options.rounds} rounds"
    )


def difference(found: Tensor, expected: Tensor, tolerance: float, where: str = "") -> float:
    """How far they are apart; stop if that is more than rounding."""
    apart = float((found - expected).abs().max())
    if apart > tolerance * max(1.0, float(expected.abs().max())):
        raise SystemExit(f"{where}results differ by {apart:.1e}: that is not the same function")
    return apart
