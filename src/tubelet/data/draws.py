"""Random numbers of the data: functions of the seed, the epoch and the sample, without hidden state."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Generator


def generator_of(*parts: int | str) -> Generator:
    """A generator that depends on these values and nothing else: not on the process, the worker or earlier draws."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


@dataclass(frozen=True)
class Draws:
    """The random numbers of one training clip.

    Each augmentation has a generator of its own, so that switching one on or off does not change the others' draws.

    Attributes:
        seed: of the run.
        epoch: counted from 0.
        index: of the sample in its table.
        repeat: how many times the sample came up before in this epoch (balanced sampling).
    """

    seed: int
    epoch: int
    index: int
    repeat: int = 0

    def rng(self, name: str) -> Generator:
        """A fresh generator for one augmentation."""
        return generator_of(self.seed, self.epoch, self.index, self.repeat, name)


def uniform(generator: Generator, low: float, high: float) -> float:
    """A number from [low, high)."""
    return low + (high - low) * torch.rand((), generator=generator, dtype=torch.float64).item()


def integer(generator: Generator, count: int) -> int:
    """A whole number from 0 to below `count`."""
    return int(torch.randint(count, (), generator=generator))


def bernoulli(generator: Generator, probability: float) -> bool:
    """True with this probability. The draw is made even if it is 0 or 1."""
    return torch.rand((), generator=generator, dtype=torch.float64).item() < probability
