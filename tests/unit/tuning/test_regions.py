"""Which part of the picture decides, on pictures of which it is known."""

from __future__ import annotations

import torch
from torch import Tensor

from tubelet.tuning.pictures import FRAMES, SIDE
from tubelet.tuning.regions import look_linearly

VIDEOS = 80


def pictures_with_a_spot(top: int, left: int, size: int = 16) -> tuple[Tensor, list[int]]:
    """Noise everywhere, a bright spot at random times everywhere but at one place, where its time is the class."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(90, 160, (VIDEOS, FRAMES, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    classes = [video % 4 for video in range(VIDEOS)]
    for video, label in enumerate(classes):
        pictures[video, 6 * label : 6 * label + 6, top : top + size, left : left + size] = 220
        when = int(torch.randint(0, FRAMES - 6, (1,), generator=generator))
        elsewhere = (top + SIDE // 2) % SIDE
        pictures[video, when : when + 6, elsewhere : elsewhere + size, left : left + size] = 220
    return pictures, classes


def test_the_part_that_decides_is_found() -> None:
    for top, left in ((8, 4), (44, 40)):
        pictures, classes = pictures_with_a_spot(top, left)
        look = look_linearly(pictures, {"label": classes}, [str(video) for video in range(VIDEOS)])
        smallest = look.parts[-1]
        assert smallest.accuracy > 0.9
        high, start, low, end = (value * SIDE for value in smallest.region)
        assert low - high < SIDE / 2
        assert (high, start) <= (top + 6, left + 6)
        assert low >= top + 10
        assert end >= left + 10


def test_labels_that_the_pictures_do_not_hold_have_no_part() -> None:
    pictures, _ = pictures_with_a_spot(8, 4)
    generator = torch.Generator().manual_seed(1)
    classes = torch.randint(0, 4, (VIDEOS,), generator=generator).tolist()
    look = look_linearly(pictures, {"label": classes}, [str(video) for video in range(VIDEOS)])
    assert not look.parts
    assert abs(look.whole - 0.25) < 0.2


def test_the_videos_of_a_unit_are_held_out_together() -> None:
    """Four copies of each noise with a label of its own: without units they would be recognised."""
    generator = torch.Generator().manual_seed(2)
    few = torch.randint(0, 256, (20, FRAMES, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    pictures, classes = few.repeat(4, 1, 1, 1), torch.randint(0, 2, (20,), generator=generator).repeat(4).tolist()
    together = look_linearly(pictures, {"label": classes}, [str(video % 20) for video in range(80)])
    apart = look_linearly(pictures, {"label": classes}, [str(video) for video in range(80)])
    assert apart.whole > 0.9
    assert together.whole < 0.75
