"""What is tried, and what never is."""

from __future__ import annotations

from typing import Any

from tubelet.config import train_config
from tubelet.tuning.candidates import GROWTH, Candidate, candidates, rounds, shipped
from tubelet.tuning.looks import Looks
from tubelet.tuning.regions import LinearLook, Part

HALF, THIRD = Part("half", (0.25, 0.25, 0.75, 0.75), 0.6), Part("third", (0.3, 0.3, 0.633, 0.633), 0.58)


def looks(*parts: Part, classes: tuple[str, ...] = ("clap", "wave"), frames: int = 67) -> Looks:
    return Looks(100, 100, {"label": list(classes)}, frames, LinearLook(0.6, 0.3, 0.03, parts))


def tried(seen: Looks, number: int, best: Candidate | None = None, **typed: Any) -> dict[str, Candidate]:
    base = best or shipped(train_config(**typed))
    return {one.name: one for one in candidates(rounds(seen)[number - 1], base, seen, typed)}


def test_the_smallest_part_that_decides_comes_first_with_every_frame() -> None:
    (only,) = tried(looks(HALF, THIRD), 1).values()
    config = only.config
    assert config.model["num_frames"] == 66
    top, left, bottom, right = config.preprocessing["region"]
    side = config.model["image_size"] / config.preprocessing["resize"] * (bottom - top) / GROWTH
    assert abs(side - 1 / 3) < 0.02
    assert abs((top + bottom) / 2 - (left + right) / 2) < 0.01
    assert config.augmentation.warp == 0


def test_without_a_part_the_whole_picture_stays_in_its_place() -> None:
    (only,) = tried(looks(), 1).values()
    assert only.config.preprocessing["region"] is None
    assert only.config.model["num_frames"] == 66


def test_what_the_user_set_is_never_changed() -> None:
    for number in range(1, 5):
        for one in tried(looks(HALF), number, model={"num_frames": 8}, rotate=20.0, mixup=0.0, flip=0.0).values():
            assert one.config.model["num_frames"] == 8
            assert one.config.augmentation.rotate == 20
            assert one.config.augmentation.mixup == 0
            assert one.config.augmentation.flip == 0


def test_clips_are_not_mirrored_where_a_class_would_become_another() -> None:
    assert "mirrored" in tried(looks(), 3)
    assert "mirrored" not in tried(looks(classes=("swipe left", "swipe right")), 3)
    assert tried(looks(), 1)["still"].config.augmentation.flip == 0.5
    assert tried(looks(classes=("swipe left", "swipe right")), 1)["still"].config.augmentation.flip == 0


def test_twice_the_frames_need_as_many_in_the_videos() -> None:
    assert "frames" in tried(looks(frames=40), 4)
    assert "frames" not in tried(looks(frames=30), 4)


def test_moves_are_put_on_the_best_so_far() -> None:
    seen = looks(HALF)
    best = tried(seen, 1)["still-half"]
    found = tried(seen, 3, best)
    assert set(found) == {"still-half-mixed"}
    assert all(one.config.preprocessing["region"] == best.config.preprocessing["region"] for one in found.values())


def test_ways_to_adapt_come_first_where_weights_are_adapted() -> None:
    base = shipped(train_config(init="runs/other"))
    found = candidates(rounds(looks(), adapts=True)[0], base, looks(), {})
    settings = {one.name: one.config.optimisation for one in found}
    assert set(settings) >= {"probe", "stages", "decay"}
    assert settings["probe"].freeze == "encoder"
    assert settings["stages"].freeze_epochs == round(base.config.optimisation.epochs / 6)
    typed = {"freeze": "spatial"}
    kept = candidates(rounds(looks(), adapts=True)[0], shipped(train_config(init="a", **typed)), looks(), typed)
    assert {one.config.optimisation.freeze for one in kept} == {"spatial"}
