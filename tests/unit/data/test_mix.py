"""Mixup, cutmix and label smoothing of a batch."""

from __future__ import annotations

import pytest
import torch

from tubelet.config import NO_AUGMENTATION, AugmentationConfig
from tubelet.data import Batch, MixupCutmix, batch_generator
from tubelet.errors import ConfigError, DataError

HEADS = {"verb": 3, "noun": 4}
TARGETS = {"verb": torch.tensor([0, 1, 2, 0]), "noun": torch.tensor([3, 2, 1, 0])}


def videos() -> torch.Tensor:
    """Clip b is b everywhere."""
    return torch.arange(4.0).view(4, 1, 1, 1, 1).expand(4, 2, 3, 20, 30).contiguous()


def mix(**options: float) -> MixupCutmix:
    return MixupCutmix(AugmentationConfig(**options), HEADS)


def test_mixup_weighs_clips_and_all_heads_alike() -> None:
    for batch in range(20):
        mixed, soft = mix(mixup=0.8)(videos(), TARGETS, batch_generator(0, 0, batch))
        own = float(mixed[3, 0, 0, 0, 0]) / 3  # partner of clip 3 is clip 0
        torch.testing.assert_close(mixed, own * videos() + (1 - own) * videos().flip(0))
        for head, classes in HEADS.items():
            hot = torch.nn.functional.one_hot(TARGETS[head], classes)
            torch.testing.assert_close(soft[head], own * hot + (1 - own) * hot.flip(0))


def test_the_weight_of_mixup_is_a_beta() -> None:
    weights = torch.tensor(
        [float(mix(mixup=0.3)(videos(), TARGETS, batch_generator(0, 0, b))[0][3, 0, 0, 0, 0]) / 3 for b in range(400)]
    )
    expected = torch.distributions.Beta(0.3, 0.3)
    assert weights.mean() == pytest.approx(0.5, abs=0.05)
    assert weights.std() == pytest.approx(float(expected.stddev), abs=0.03)


def test_cutmix_puts_one_box_through_all_frames_and_weighs_by_what_is_left() -> None:
    boxes = set()
    for batch in range(50):
        mixed, soft = mix(cutmix=1.0)(videos(), TARGETS, batch_generator(0, 0, batch))
        put_in = mixed[3] == 0
        assert torch.equal(put_in, put_in[:1, :1].expand_as(put_in))
        box = put_in[0, 0]
        rows, columns = box.any(dim=1), box.any(dim=0)
        assert int(box.sum()) == int(rows.sum()) * int(columns.sum())
        left = 1 - box.float().mean()
        torch.testing.assert_close(soft["noun"][3], torch.tensor([left, 0.0, 0.0, 1 - left]))
        boxes.add((int(rows.sum()), int(columns.sum())))
    assert len(boxes) > 20


def test_with_both_each_is_used_for_half_of_the_batches() -> None:
    both = [mix(mixup=1.0, cutmix=1.0)(videos(), TARGETS, batch_generator(0, 0, batch))[0][3] for batch in range(300)]
    cut = sum(set(video.unique().tolist()) <= {0.0, 3.0} for video in both)
    assert cut / 300 == pytest.approx(0.5, abs=0.1)


def test_some_batches_are_left_alone_if_asked() -> None:
    mixer = mix(mixup=1.0, mix_probability=0.25)
    alone = sum(torch.equal(mixer(videos(), TARGETS, batch_generator(0, 0, b))[0], videos()) for b in range(400))
    assert alone / 400 == pytest.approx(0.75, abs=0.07)


def test_label_smoothing_comes_after_mixing() -> None:
    plain = mix(mixup=0.5)(videos(), TARGETS, batch_generator(0, 0, 1))[1]
    smooth = mix(mixup=0.5, label_smoothing=0.2)(videos(), TARGETS, batch_generator(0, 0, 1))[1]
    torch.testing.assert_close(smooth["noun"], plain["noun"] * 0.8 + 0.05)
    only = MixupCutmix(NO_AUGMENTATION, HEADS)(videos(), TARGETS, batch_generator(0, 0, 0))
    assert torch.equal(only[0], videos())
    assert torch.equal(only[1]["verb"], torch.nn.functional.one_hot(TARGETS["verb"], 3).float())


def test_a_batch_is_mixed_by_where_it_stands_in_the_run() -> None:
    mixer = mix(mixup=1.0, cutmix=1.0)
    first = mixer(videos(), TARGETS, batch_generator(3, 4, 5))
    again = mixer(videos(), TARGETS, batch_generator(3, 4, 5))
    other = mixer(videos(), TARGETS, batch_generator(3, 4, 6))
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])


def test_videos_are_not_changed_in_place() -> None:
    given = videos()
    mix(cutmix=1.0)(given, TARGETS, batch_generator(0, 0, 0))
    assert torch.equal(given, videos())


def test_a_frame_is_real_if_either_clip_has_it() -> None:
    mask = torch.tensor([[True, False], [True, True], [True, False], [True, False]])
    batch = Batch(videos(), mask, TARGETS, torch.arange(4))
    assert mix(mixup=1.0).batch(batch, batch_generator(0, 0, 0)).frame_mask.tolist() == [
        [True, False],
        [True, True],
        [True, True],
        [True, False],
    ]
    assert torch.equal(MixupCutmix(NO_AUGMENTATION, HEADS).batch(batch, batch_generator(0, 0, 0)).frame_mask, mask)


def test_an_empty_batch_and_one_clip_can_be_mixed() -> None:
    none = mix(mixup=1.0)(
        videos()[:0], {head: target[:0] for head, target in TARGETS.items()}, batch_generator(0, 0, 0)
    )
    assert none[1]["noun"].shape == (0, 4)
    one, soft = mix(cutmix=1.0)(
        videos()[:1], {head: target[:1] for head, target in TARGETS.items()}, batch_generator(0, 0, 0)
    )
    assert torch.equal(one, videos()[:1])
    torch.testing.assert_close(soft["verb"], torch.tensor([[1.0, 0, 0]]))


def test_what_cannot_be_mixed() -> None:
    with pytest.raises(ConfigError, match="no labels"):
        MixupCutmix(AugmentationConfig(), {})
    with pytest.raises(DataError, match="targets for verb, expected verb, noun"):
        mix(mixup=1.0)(videos(), {"verb": TARGETS["verb"]}, batch_generator(0, 0, 0))
