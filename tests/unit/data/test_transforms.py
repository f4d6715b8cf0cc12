"""What is done to the pixels of a training clip."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torchvision.transforms.v2 import functional as transforms

from tubelet.config import NO_AUGMENTATION, AugmentationConfig, PreprocessingConfig
from tubelet.data.colour_jitter import jitter_colour, rotate_hue
from tubelet.data.draws import Draws
from tubelet.data.geometry import crop_region, rotated_crop
from tubelet.data.rand_augment import OPERATIONS, rand_augment
from tubelet.data.random_erasing import random_erasing
from tubelet.data.transforms import augment
from tubelet.video import Preprocessing

PIXELS = PreprocessingConfig(num_frames=6, resize=40, crop_size=(32, 32), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
EACH: dict[str, dict[str, Any]] = {
    "scale jitter": {"scale_jitter": (0.7, 1.5)},
    "random crop": {"crop": "random"},
    "rotate": {"rotate": 30.0},
    "flip": {"flip": 0.5},
    "colour": {"colour": 1.0},
    "grey": {"grey": 0.5},
    "rand augment": {"rand_augment_layers": 2},
    "torchvision's": {"rand_augment_layers": 2, "rand_augment_ops": "torchvision"},
    "all": dataclasses.asdict(AugmentationConfig(rand_augment_layers=2, rand_augment_magnitude=15, grey=0.5)),
}


def alone(**changes: Any) -> AugmentationConfig:
    """One augmentation and nothing else."""
    return dataclasses.replace(NO_AUGMENTATION, **changes)


def still(frames: int = 6, seed: int = 0) -> torch.Tensor:
    """A picture of soft colours, the same in all frames."""
    generator = torch.Generator().manual_seed(seed)
    picture = torch.nn.functional.interpolate(
        torch.rand(1, 3, 5, 5, generator=generator), (40, 50), mode="bilinear", align_corners=True
    )
    return (picture * 255).to(torch.uint8).expand(frames, -1, -1, -1).contiguous()


@pytest.mark.parametrize("name", EACH)
def test_one_draw_holds_for_all_frames(name: str) -> None:
    preprocessing = Preprocessing(PIXELS)
    for index in range(12):
        video = augment(still(seed=index), alone(**EACH[name]), preprocessing, Draws(0, 0, index))
        assert torch.equal(video, video[:1].expand_as(video)), f"clip {index} differs from frame to frame"


@pytest.mark.parametrize("name", EACH)
def test_the_same_draws_give_the_same_clip_and_others_do_not(name: str) -> None:
    preprocessing = Preprocessing(PIXELS)

    def clips(seed: int, epoch: int) -> list[torch.Tensor]:
        torch.rand(3)  # torch's own generator plays no part
        return [augment(still(), alone(**EACH[name]), preprocessing, Draws(seed, epoch, index)) for index in range(12)]

    first = clips(0, 0)
    assert all(torch.equal(a, b) for a, b in zip(first, clips(0, 0), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(first, clips(0, 1), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(first, clips(1, 0), strict=True))
    assert any(not torch.equal(a, first[0]) for a in first)


def test_torchs_own_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    config = alone(rand_augment_layers=2, rand_augment_ops="torchvision", erase=1.0, colour=1.0)
    augment(still(), config, Preprocessing(PIXELS), Draws(0, 0, 0))
    assert torch.equal(torch.rand(4), expected)


def test_switching_one_augmentation_on_does_not_change_the_draws_of_others() -> None:
    crops = [
        crop_region(256, 340, config, PreprocessingConfig(), Draws(0, 0, index))
        for config in (AugmentationConfig(), AugmentationConfig(flip=0.0, rand_augment_layers=2, erase=0.5))
        for index in range(10)
    ]
    assert crops[:10] == crops[10:]


def test_without_augmentation_training_sees_what_evaluation_sees() -> None:
    preprocessing = Preprocessing(dataclasses.replace(PIXELS, crop_size=(31, 24)))
    frames = still()
    assert torch.equal(
        augment(frames, NO_AUGMENTATION, preprocessing, Draws(0, 0, 0)), preprocessing.spatial(frames)[0]
    )


def test_scale_jitter_covers_its_range_independently_for_height_and_width() -> None:
    """Crop 224 of 256 x 340: the region is 224 / U(0.9, 1.33) in each direction, as far as the frame reaches."""
    config = AugmentationConfig()
    regions = torch.tensor([crop_region(256, 340, config, PreprocessingConfig(), Draws(0, 0, i)) for i in range(800)])
    top, left, height, width = regions.double().unbind(1)
    assert 168 <= height.min() <= 171
    assert 246 <= height.max() <= 249
    assert (224 / height).mean() == pytest.approx(1.115, abs=0.015)
    assert abs(torch.corrcoef(torch.stack([height, width]))[0, 1]) < 0.1
    assert (top + height <= 256).all()
    assert (left + width <= 340).all()
    share = left / (340 - width)
    assert share.mean() == pytest.approx(0.5, abs=0.03)
    assert share.min() < 0.01
    assert share.max() > 0.99


def test_a_crop_larger_than_the_jittered_frame_takes_the_whole_frame() -> None:
    config = AugmentationConfig(scale_jitter=(0.5, 0.5))
    assert crop_region(32, 32, config, PIXELS, Draws(0, 0, 0)) == (0, 0, 32, 32)


def test_a_jittered_crop_keeps_things_in_their_place() -> None:
    """A bright edge in the middle of the frame lies where the region says it does."""
    frames = torch.zeros(1, 3, 40, 80, dtype=torch.uint8)
    frames[..., 40:] = 255
    config = alone(scale_jitter=(0.8, 1.6), crop="random")
    for index in range(20):
        _, left, _, width = crop_region(40, 80, config, PIXELS, Draws(0, 0, index))
        video = augment(frames, config, Preprocessing(PIXELS), Draws(0, 0, index))
        assert 32 - video[0, 0, 16].sum() == pytest.approx(min(max((40 - left) * 32 / width, 0), 32), abs=0.75)


def test_a_grey_model_gets_one_channel() -> None:
    preprocessing = Preprocessing(dataclasses.replace(PIXELS, mean=(0.5,), std=(0.5,)))
    assert augment(still(), AugmentationConfig(), preprocessing, Draws(0, 0, 0)).shape == (6, 1, 32, 32)


# --- colour -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", [-0.5, -0.2, 0.0, 0.1, 0.33, 0.5])
def test_hue_turns_as_torchvision_turns_it(turn: float) -> None:
    picture = torch.rand(2, 3, 20, 20)
    picture[0, :, :4] = torch.rand(4, 20)  # grey has no hue
    picture[0, :, 5:8] = torch.tensor([0.0, 1.0, 1.0]).view(3, 1, 1)
    torch.testing.assert_close(rotate_hue(picture, turn), transforms.adjust_hue(picture, turn), atol=3e-6, rtol=0)


def test_brightness_is_added_and_stays_within_its_range() -> None:
    config = alone(colour=1.0, saturation=(1, 1), contrast=(1, 1), hue=0.0)
    frames = torch.full((1, 3, 8, 8), 128, dtype=torch.uint8)
    changes = torch.tensor(
        [float(jitter_colour(frames, config, Draws(0, 0, i)).float().mean()) - 128 for i in range(300)]
    )
    assert changes.abs().max() <= 32
    assert changes.max() > 30
    assert changes.min() < -30
    assert changes.mean() == pytest.approx(0, abs=3)


def test_a_grey_clip_stays_grey_under_colour_jitter() -> None:
    frames = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(3, 3, 16, 16)
    for index in range(10):
        jittered = jitter_colour(frames, alone(colour=1.0), Draws(0, 0, index))
        assert torch.equal(jittered[:, 0], jittered[:, 1])
        assert torch.equal(jittered[:, 0], jittered[:, 2])


def test_grey_and_colour_happen_as_often_as_asked() -> None:
    frames = still(frames=1)
    greys = [jitter_colour(frames, alone(grey=0.1), Draws(0, 0, index)) for index in range(600)]
    share = sum(bool(torch.equal(video[:, 0], video[:, 1])) for video in greys) / 600
    assert share == pytest.approx(0.1, abs=0.04)
    changed = sum(not torch.equal(jitter_colour(frames, alone(colour=0.8), Draws(0, 0, i)), frames) for i in range(300))
    assert changed / 300 == pytest.approx(0.8, abs=0.07)


def test_large_frames_are_jittered_as_small_ones(clips: dict[str, Callable[..., torch.Tensor]]) -> None:
    """The work is cut into pieces: the result must not show where."""
    frames = clips["coloured"](5, 3)
    large = frames.repeat(1, 1, 12, 12)
    config = alone(colour=1.0)
    small = jitter_colour(frames, config, Draws(0, 0, 4))
    difference = (jitter_colour(large, config, Draws(0, 0, 4))[..., :32, :48].int() - small.int()).abs().max()
    assert difference <= 1


# --- erasing ----------------------------------------------------------------------------------------------------------


def test_erasing_takes_one_rectangle_through_all_frames() -> None:
    config = alone(erase=1.0)
    areas = []
    for index in range(100):
        video = random_erasing(torch.zeros(4, 3, 50, 60), config, Draws(0, 0, index))
        erased = (video != 0).any(dim=1)
        assert torch.equal(erased, erased[:1].expand_as(erased))
        rows, columns = erased[0].any(dim=1).nonzero(), erased[0].any(dim=0).nonzero()
        box = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
        assert int(box) == int(erased[0].sum())
        areas.append(int(box) / 3000)
    assert min(areas) >= 0.01
    assert max(areas) <= 0.36
    assert sum(areas) / 100 == pytest.approx(0.17, abs=0.04)


def test_erased_pixels_are_noise_fresh_in_every_frame() -> None:
    video = random_erasing(torch.full((8, 3, 64, 64), 7.0), alone(erase=1.0, erase_area=(0.3, 0.33)), Draws(0, 0, 0))
    noise = video[video != 7.0]
    assert noise.mean() == pytest.approx(0, abs=0.05)
    assert noise.std() == pytest.approx(1, abs=0.05)
    assert not torch.equal(video[0], video[1])


# --- RandAugment ------------------------------------------------------------------------------------------------------


def test_operations_at_known_strengths() -> None:
    frames = (
        torch.tensor([0, 60, 127, 128, 200, 255], dtype=torch.uint8).view(1, 1, 1, 6).expand(2, 3, 1, 6).contiguous()
    )
    generator = torch.Generator().manual_seed(0)

    def after(name: str, magnitude: float) -> list[int]:
        return OPERATIONS[name](frames, magnitude / 10, generator)[1, 2, 0].tolist()

    assert after("invert", 3) == [255, 195, 128, 127, 55, 0]
    assert after("posterise", 10) == [0, 48, 112, 128, 192, 240]
    assert after("posterise", 20) == [0, 60, 127, 128, 200, 255]
    assert after("solarise", 5) == [0, 60, 127, 127, 55, 0]
    assert after("solarise", 15) == [0, 60, 127, 128, 200, 255]
    assert after("solarise_add", 10) == [110, 170, 237, 128, 200, 255]
    assert after("brightness", 5) == [0, 60, 127, 128, 200, 255]
    assert after("brightness", 0) == [0, 6, 12, 12, 20, 25]
    assert after("colour", 10) == [0, 60, 127, 128, 200, 255]


def test_contrast_and_equalise_look_at_the_whole_clip() -> None:
    """A dark frame and a bright one: seen alone each would be stretched to the same."""
    frames = torch.full((2, 3, 32, 32), 100, dtype=torch.uint8)
    frames[1] = 150
    stretched = OPERATIONS["auto_contrast"](frames, 1.0, torch.Generator())
    assert stretched[0].unique().tolist() == [0]
    assert stretched[1].min() >= 254
    contrast = OPERATIONS["contrast"](frames, 1.0, torch.Generator())
    assert contrast[0].float().mean() == pytest.approx(125 - 25 * 1.9, abs=1)
    assert contrast[1].float().mean() == pytest.approx(125 + 25 * 1.9, abs=1)
    assert (OPERATIONS["equalise"](frames, 1.0, torch.Generator())[0] < 100).all()


def test_cutout_is_forty_pixels_each_way_at_224() -> None:
    frames = torch.full((2, 3, 224, 224), 9, dtype=torch.uint8)
    sizes = []
    for seed in range(40):
        cut = OPERATIONS["cutout"](frames, 1.0, torch.Generator().manual_seed(seed)) == 0
        sizes.append(int(cut[0, 0].sum()))
        assert torch.equal(cut[0], cut[1])
    assert max(sizes) == 80 * 80
    assert min(sizes) >= 40 * 40
    assert frames.min() == 9


def test_every_operation_and_the_identity_come_up() -> None:
    config = alone(rand_augment_layers=1, rand_augment_magnitude=9)
    frames = still(frames=2)
    results = [rand_augment(frames, config, Draws(0, 0, index)) for index in range(600)]
    unchanged = sum(torch.equal(result, frames) for result in results) / 600
    assert unchanged == pytest.approx(1 / 12, abs=0.04)
    distinct = {result.numpy().tobytes() for result in results}
    assert len(distinct) > 11


def test_a_turned_crop_is_the_picture_turned_about_the_middle_of_the_region() -> None:
    frames = torch.randint(0, 256, (2, 3, 24, 30), dtype=torch.uint8)
    region = (4, 7, 16, 16)
    cropped = frames[..., 4:20, 7:23]
    assert torch.equal(rotated_crop(frames, region, 0.0, (16, 16)), cropped)
    assert torch.equal(rotated_crop(frames, region, 90.0, (16, 16)), torch.rot90(cropped, -1, (-2, -1)))
    assert torch.equal(rotated_crop(frames, region, -90.0, (16, 16)), torch.rot90(cropped, 1, (-2, -1)))


def test_a_turned_crop_looks_beyond_its_region_and_holds_the_edge_of_the_frame() -> None:
    frames = torch.zeros(1, 3, 20, 20, dtype=torch.uint8)
    frames[..., :4, :] = 200  # above the region
    assert rotated_crop(frames, (4, 4, 12, 12), 45.0, (12, 12)).amax() == 200
    assert rotated_crop(torch.full_like(frames, 90), (0, 0, 20, 20), 45.0, (20, 20)).unique().tolist() == [90]
