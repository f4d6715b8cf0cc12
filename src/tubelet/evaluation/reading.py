"""The clips of an evaluation in order, read ahead of the model."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from tubelet.data import Batch, ClipDataset, Failure, Item, make_loader
from tubelet.distributed.world import World

AHEAD = 2
"""Videos that are decoded before the model is ready for them."""


def read_ahead(clips: ClipDataset, workers: int, world: World) -> Generator[Item | Failure, None, None]:
    """The items of this process in order, read ahead by a thread or by processes."""
    if workers:
        loader = make_loader(
            clips,
            world.size,
            workers=workers,
            shuffle=False,
            pin_memory=False,
            rank=world.rank,
            world_size=world.size,
        )
        for batch in loader:
            if batch.failures or len(batch):
                yield batch.failures[0] if batch.failures else _item(batch)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="tubelet-decode") as pool:
        wanted = iter(world.share(range(len(clips))))
        ahead: deque[Future[Item | Failure]] = deque(pool.submit(clips.__getitem__, n) for n in islice(wanted, AHEAD))
        try:
            while ahead:
                item = ahead.popleft().result()
                ahead.extend(pool.submit(clips.__getitem__, n) for n in islice(wanted, 1))
                yield item
        finally:
            for future in ahead:
                future.cancel()


def _item(batch: Batch) -> Item:
    mask = None if batch.frame_mask is None else batch.frame_mask[0]
    targets = {head: target[0] if target.ndim > 1 else int(target[0]) for head, target in batch.targets.items()}
    frames = None if batch.frames is None else batch.frames[0]
    return Item(
        video=batch.video[0],
        frame_mask=mask,
        targets=targets,
        index=int(batch.indices[0]),
        frames=frames,
        damaged=batch.damaged[0],
        resampled=batch.resampled[0],
    )
