"""The demonstration's clips: only time tells the classes apart, and it does."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tubelet.data.generated import CLASSES, PICTURES, PLACES, Motion, render_scene, write_clips
from tubelet.errors import DataError
from tubelet.video import read_video

Videos = dict[str, tuple[NDArray[np.float32], NDArray[np.int64]]]
CHANCE = 1 / len(CLASSES)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Videos:
    """Decoded files: split to pixels [N, T, H, W, 3] in [0, 1] and classes [N]."""
    folder = write_clips(tmp_path_factory.mktemp("demo") / "clips", {"train": 16, "test": 8}, seed=5)
    found = {}
    for split in ("train", "test"):
        pixels, labels = [], []
        for label, motion in enumerate(CLASSES):
            for path in sorted((folder / split / motion.name).glob("*.mp4")):
                pixels.append(read_video(path).frames.permute(0, 2, 3, 1).numpy() / np.float32(255))
                labels.append(label)
        found[split] = np.stack(pixels), np.array(labels)
    return found


def accuracy(videos: Videos, features: dict[str, NDArray[np.float32]], neighbours: bool) -> float:
    classifier = KNeighborsClassifier(3) if neighbours else RidgeClassifier(alpha=100)
    model = make_pipeline(StandardScaler(), classifier)
    model.fit(features["train"], videos["train"][1])
    return float(model.score(features["test"], videos["test"][1]))


def small(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """[..., 64, 64, 3] to [..., 8, 8, 3] by the mean."""
    return pixels.reshape(*pixels.shape[:-3], 8, 8, 8, 8, 3).mean(axis=(-2, -4))


@pytest.mark.parametrize("neighbours", [False, True])
@pytest.mark.parametrize("frame", [0, PICTURES // 2, 2 * PICTURES - 1])
def test_a_single_frame_does_not_tell_the_class(videos: Videos, frame: int, neighbours: bool) -> None:
    features = {split: small(pixels[:, frame]).reshape(len(pixels), -1) for split, (pixels, _) in videos.items()}
    assert accuracy(videos, features, neighbours) < CHANCE + 0.12


@pytest.mark.parametrize("neighbours", [False, True])
def test_all_frames_without_their_order_do_not_tell_the_class(videos: Videos, neighbours: bool) -> None:
    features = {}
    for split, (pixels, _) in videos.items():
        thumbs = small(pixels)
        figures = [thumbs.mean(axis=1), thumbs.std(axis=1), *np.quantile(thumbs, (0.1, 0.5, 0.9), axis=1)]
        features[split] = np.stack(figures, axis=1).reshape(len(pixels), -1).astype(np.float32)
    assert accuracy(videos, features, neighbours) < CHANCE + 0.12


def shift(before: NDArray[np.float32], after: NDArray[np.float32]) -> int:
    """By how many eighths of the width the moving thing went right, -3 to 4: where the two frames agree best."""
    strips = [np.abs(frame - np.median(frame, axis=1, keepdims=True)).sum(axis=(0, 2)) for frame in (before, after)]
    step = len(strips[0]) // PLACES
    agreement = [float(np.dot(np.roll(strips[0], step * places), strips[1])) for places in range(-3, 5)]
    return int(np.argmax(agreement)) - 3


def told_by_hand(pixels: NDArray[np.float32]) -> Motion:
    """The class of a clip [T, H, W, 3], by measuring how the shape moves and which colour follows which."""
    moved = pixels - np.median(pixels, axis=0)
    shifts = [shift(before, after) for before, after in pairwise(moved)]
    typical = float(np.median(shifts))
    strongest = moved.max(axis=(1, 2)).argmax(axis=1)  # which of red, green and blue stands out
    turns = [(b - a) % 3 for a, b in pairwise(strongest) if a != b]
    return Motion(
        "right" if typical > 0 else "left",
        "fast" if abs(typical) > 1.5 else "slow",
        "rgb" if np.mean([turn == 1 for turn in turns]) > 0.5 else "rbg",
    )


def test_time_does_tell_the_class(videos: Videos) -> None:
    pixels, labels = videos["test"]
    right = [told_by_hand(clip) == CLASSES[label] for clip, label in zip(pixels, labels, strict=True)]
    assert np.mean(right) > 0.85


def test_every_class_is_an_order_of_the_same_pictures() -> None:
    assert all(sorted(motion.ring()) == list(range(PICTURES)) for motion in CLASSES)
    starts = [tuple(ring[start:] + ring[:start]) for ring in map(Motion.ring, CLASSES) for start in range(PICTURES)]
    assert len(set(starts)) == len(CLASSES) * PICTURES


def test_played_backwards_a_class_turns_in_the_other_direction_with_the_other_colours() -> None:
    rings = {motion: motion.ring() for motion in CLASSES}
    for motion, ring in rings.items():
        direction = "left" if motion.direction == "right" else "right"
        other = Motion(direction, motion.speed, "rbg" if motion.colours == "rgb" else "rgb")
        backwards = ring[::-1]
        assert any(backwards[start:] + backwards[:start] == rings[other] for start in range(PICTURES))


def test_held_out_scenes_come_in_every_class_and_training_scenes_once(videos: Videos) -> None:
    def scenes(pixels: NDArray[np.float32]) -> int:
        """How many different backgrounds there are."""
        backgrounds = np.median(small(pixels), axis=1).reshape(len(pixels), -1)
        apart = np.abs(backgrounds[:, None] - backgrounds).mean(axis=2) > 0.01
        return len({tuple(row) for row in apart.tolist()})

    (train, _), (test, _) = videos["train"], videos["test"]
    assert scenes(train) == len(train)
    assert scenes(test) == len(test) // len(CLASSES)


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    def digests(folder: Path) -> dict[str, str]:
        files = sorted(folder.rglob("*.mp4"))
        return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    scenes = {"train": 1, "test": 1}
    first = digests(write_clips(tmp_path / "a", scenes, seed=3))
    assert len(first) == 2 * len(CLASSES)
    assert digests(write_clips(tmp_path / "b", scenes, seed=3)) == first
    assert set(digests(write_clips(tmp_path / "c", scenes, seed=4)).values()).isdisjoint(first.values())


def test_shuffled_clips_hold_the_same_pictures_in_another_order(tmp_path: Path) -> None:
    write_clips(tmp_path / "a", {"test": 1}, seed=3)
    write_clips(tmp_path / "b", {"test": 1}, seed=3, shuffled=True)
    for label, motion in enumerate(CLASSES):
        pictures = render_scene(np.random.default_rng([3, 0, 0, label, 0])).astype(np.float32)
        found = []
        for folder in ("a", "b"):
            frames = read_video(tmp_path / folder / "test" / motion.name / "000.mp4").frames
            pixels = frames.permute(0, 2, 3, 1).numpy().astype(np.float32)
            found.append([int(np.abs(pictures - frame).mean(axis=(1, 2, 3)).argmin()) for frame in pixels])
        assert sorted(found[0]) == sorted(found[1]) == sorted([*range(PICTURES), *range(PICTURES)])
        assert found[0] != found[1]


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="is not empty"):
        write_clips(tmp_path, {"train": 1})
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.txt"]
