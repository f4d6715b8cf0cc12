"""Labelled video files of classes that differ in the order of frames alone.

A shape crosses the frame and comes in again on the other side, in three colours by turns. A class is made of three
attributes with two values each:

    direction   it moves left or right
    speed       by one position a frame, or by two
    colours     red is followed by green and green by blue (rgb), or the other way round (rbg)

A scene (background, shape, lane, colours, noise) is drawn once, as a set of pictures: the shape at each of `PLACES`
positions in each of three colours. The eight classes are eight orders of this one set,

    right-slow-rgb   red 0 1 2 3   green 4 5 6 7   blue 0 1 2 3   red 4 5 6 7   green 0 1 2 3   blue 4 5 6 7
    left-fast-rgb    red 7 5 3 1   green 6 4 2 0   blue 7 5 3 1   red 6 4 2 0   green 7 5 3 1   blue 6 4 2 0

and so on, each a cycle that is repeated twice from a random start. So neither a single frame, nor its time, nor all
frames without their order say anything about the class. Every held-out scene is filmed in all eight classes: a model
that ignores the order of frames gives the same prediction eight times, and is right once.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tubelet.device import usable_cores
from tubelet.errors import DataError
from tubelet.video import write_video

PLACES = 8
COLOURS = 3
HOLD = 4
"""Frames for which a colour stays."""
PICTURES = COLOURS * PLACES
ROUNDS = 2
SIZE = 64
FRAME_RATE = 16.0

HUES = ((-0.05, 0.06), (0.27, 0.40), (0.55, 0.68))
"""Ranges of red, green and blue on the colour circle (0 red, 1/3 green, 2/3 blue)."""

Direction = Literal["left", "right"]
Speed = Literal["slow", "fast"]
Colours = Literal["rgb", "rbg"]
Pictures = NDArray[np.uint8]
"""Frames [T, H, W, 3], RGB."""


@dataclass(frozen=True)
class Motion:
    """One class: the order of the pictures of a scene."""

    direction: Direction
    speed: Speed
    colours: Colours

    @property
    def name(self) -> str:
        """The class's name, and its folder's."""
        return f"{self.direction}-{self.speed}-{self.colours}"

    def ring(self) -> list[int]:
        """Indices into a scene's pictures (all places in red, then in green, then in blue), each once, in order."""
        places = list(range(PLACES))
        if self.speed == "fast":
            places = places[::2] + places[1::2]
        if self.direction == "left":
            places = places[::-1]
        colours = (0, 1, 2) if self.colours == "rgb" else (0, 2, 1)
        return [PLACES * colours[time // HOLD % COLOURS] + places[time % PLACES] for time in range(PICTURES)]


CLASSES: tuple[Motion, ...] = tuple(
    Motion(direction, speed, colours)
    for direction in get_args(Direction)
    for speed in get_args(Speed)
    for colours in get_args(Colours)
)
"""All eight, in the order of their indices."""


def write_clips_once(folder: Path, scenes: dict[str, int], *, seed: int = 0, shuffled: bool = False) -> Path:
    """`write_clips`, whole or not at all, unless the folder is there."""
    if not folder.exists():
        unfinished = folder.with_name(f".{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        write_clips(unfinished, scenes, seed=seed, shuffled=shuffled)
        unfinished.rename(folder)
    return folder


def write_clips(
    folder: str | Path,
    scenes: dict[str, int],
    *,
    seed: int = 0,
    shuffled: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Film scenes in all eight classes: `folder/SPLIT/CLASS/NUMBER.mp4`. The same arguments give the same videos.

    In the first split every video has a scene of its own; in the others the videos of one number share theirs.

    Args:
        folder: is made; must not hold anything yet.
        scenes: videos of each class, by split: {"train": 60, "test": 15}. No scene is in two splits.
        seed: of everything that is drawn.
        shuffled: show the pictures of each clip in a random order, which removes all information about the class.
        progress: called with (videos written, videos in all).

    Returns:
        the folder.

    Raises:
        DataError: the folder is there and not empty.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty; name a new folder, nothing is overwritten")
    videos = [
        (place, split, number, label)
        for place, (split, count) in enumerate(scenes.items())
        for number in range(count)
        for label in range(len(CLASSES))
    ]

    def film(video: tuple[int, str, int, int]) -> None:
        place, split, number, label = video
        scene = np.random.default_rng((seed, place, number, label if place == 0 else 0, 0))
        order = np.random.default_rng((seed, place, number, label, 1))
        pictures = render_scene(scene)
        ring, start = CLASSES[label].ring(), int(order.integers(PICTURES))
        if shuffled:
            ring = order.permutation(ring).tolist()
        frames = (ring[start:] + ring[:start]) * ROUNDS
        path = folder / split / CLASSES[label].name / f"{number:03d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, pictures[frames], FRAME_RATE, preset="superfast", crf=23)

    with ThreadPoolExecutor(usable_cores()) as pool:  # encoding releases the GIL
        for written, _ in enumerate(pool.map(film, videos), 1):
            if progress is not None:
                progress(written, len(videos))
    return folder


def render_scene(generator: np.random.Generator) -> Pictures:
    """The pictures of a random scene, [PICTURES, SIZE, SIZE, 3], by colour, then by position."""
    background = _background(generator)
    radius = generator.uniform(6.0, 10.0)
    lane = generator.uniform(radius, SIZE - radius)
    first = generator.uniform(0, SIZE)
    colours = [_colour(generator, hue) for hue in HUES]
    shape = generator.choice(["disc", "square", "diamond"])
    noise = generator.uniform(1, 5)
    pictures = np.empty((PICTURES, SIZE, SIZE, 3))
    for index in range(PICTURES):
        centre = first + SIZE * (index % PLACES) / PLACES + generator.normal(0, 0.5)
        covered = _coverage(shape, centre, lane + generator.normal(0, 0.5), radius)
        colour = colours[index // PLACES]
        pictures[index] = background + covered[:, :, None] * (colour - background)
    pictures += generator.normal(0, noise, pictures.shape)
    return pictures.round().clip(0, 255).astype(np.uint8)


def _background(generator: np.random.Generator) -> NDArray[np.float64]:
    """Soft random texture [SIZE, SIZE, 3] in muted colours."""
    coarse = generator.uniform(0, 1, (5, 5, 1)) * 0.8 + generator.uniform(0, 1, (5, 5, 3)) * 0.2
    places = np.linspace(0, 4, SIZE)
    low = np.minimum(places.astype(int), 3)
    blend = np.zeros((SIZE, 5))
    blend[np.arange(SIZE), low] = 1 - (places - low)
    blend[np.arange(SIZE), low + 1] = places - low
    texture: NDArray[np.float64] = np.einsum("ya,xb,abc->yxc", blend, blend, coarse)
    darkest, range_ = generator.uniform(15, 90), generator.uniform(30, 70)
    return darkest + range_ * texture


def _colour(generator: np.random.Generator, hue: tuple[float, float]) -> NDArray[np.float64]:
    """A strong colour [3] of a hue between two points of the colour circle."""
    angle, saturation, value = generator.uniform(*hue) % 1, generator.uniform(0.65, 1), generator.uniform(0.75, 1)
    distance = np.abs((angle * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1
    rgb: NDArray[np.float64] = 255 * value * (1 - saturation * (1 - distance.clip(0, 1)))
    return rgb


def _coverage(shape: str, x: float, y: float, radius: float) -> NDArray[np.float64]:
    """How much of each pixel the shape covers [SIZE, SIZE]; what leaves at one side comes in at the other."""
    pixels = np.arange(SIZE) + 0.5
    across = np.abs((pixels - x + SIZE / 2) % SIZE - SIZE / 2)[None, :]
    down = np.abs(pixels - y)[:, None]
    if shape == "disc":
        distance = np.hypot(across, down) - radius
    elif shape == "square":
        distance = np.maximum(across, down) - 0.89 * radius
    else:
        distance = (across + down - 1.25 * radius) / np.sqrt(2)
    covered: NDArray[np.float64] = (0.5 - distance).clip(0, 1)
    return covered
