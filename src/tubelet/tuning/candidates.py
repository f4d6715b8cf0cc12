"""What a tuning tries, round for round: changes of a recipe that suit one kind of videos and not another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from tubelet.config import TrainConfig, override
from tubelet.data import mirror_note
from tubelet.errors import ConfigError
from tubelet.presets import preset
from tubelet.tuning.looks import Looks
from tubelet.tuning.regions import Part, Region

MOST_FRAMES = 75
"""Of a clip of a whole video; longer videos are sampled."""

SHIPPED = "shipped"
"""Name of the recipe as it is."""

FINE_TUBELET = (3, 8, 8)
FINE_SIDES = {"third": 32, "half": 40, "two thirds": 48}
"""Pixels of a crop, by what the part is of the picture: the larger it is, the fewer for each place in it, as they cost
time."""

WHOLE_SIDE = 32
"""Of a crop of the whole picture."""

MARGIN = 1.2
"""The short side before the crop, in sides of the crop: how far a crop can move."""

GROWTH = 1.05
"""Of a part: a linear classifier finds its place to about a twelfth of the picture."""

LORA_RANK = 8
FROZEN_SHARE = 1 / 6
"""Of the epochs, in which the classifier learns alone."""

STILL = {
    "coverage": (0.92, 1.0),
    "warp": 0.0,
    "scale_jitter": (0.9, 1.1),
    "rotate": 0.0,
    "learning_rate": 1e-3,
    "pooling_rate": 20.0,
}
"""Where place and moment decide: they are hardly changed, and the weights of pooling find them at a high rate."""


@dataclass(frozen=True)
class Candidate:
    """A configuration that is tried.

    Attributes:
        name: of its folder.
        label: in tables: what differs from the recipe.
        why: it is tried, in a sentence.
        config: of the training.
    """

    name: str
    label: str
    why: str
    config: TrainConfig


@dataclass(frozen=True)
class Move:
    """A change that is tried on the best configuration so far.

    Attributes:
        name: of its folder.
        label: in tables.
        why: it is tried, in a sentence.
        fields: that it sets, for a configuration; None where it does not apply.
    """

    name: str
    label: str
    why: str
    fields: Callable[[TrainConfig, Looks], Mapping[str, Any] | None]

    def on(self, best: Candidate, looks: Looks, typed: Mapping[str, Any]) -> Candidate | None:
        """The best so far with this change, but what the user set stays; None where nothing differs."""
        fields = self.fields(best.config, looks)
        if fields is None:
            return None
        try:
            config = override(override(best.config, **fields), **typed)
            if config.preset is not None:
                preset(config.preset, **config.model)  # sizes that do not fit each other
        except ConfigError:
            return None
        if config == best.config:
            return None
        first = best.name == SHIPPED
        return Candidate(
            self.name if first else f"{best.name}-{self.name}",
            self.label if first else f"{best.label}, {self.label}",
            self.why,
            config,
        )


def shipped(config: TrainConfig) -> Candidate:
    """The recipe as it is."""
    return Candidate(
        SHIPPED, f"the recipe {config.recipe or 'given'} as it is", "All others are held against it.", config
    )


def _still(part: Part | None) -> Callable[[TrainConfig, Looks], Mapping[str, Any] | None]:
    def fields(config: TrainConfig, looks: Looks) -> Mapping[str, Any] | None:
        if looks.median_frames is None or config.preprocessing.get("sampling") != "uniform" or config.init is not None:
            return None
        step = FINE_TUBELET[0]
        frames = max(step, min(looks.median_frames, MOST_FRAMES) // step * step)
        region = None if part is None else _with_margin(part.region)
        side = WHOLE_SIDE if part is None else FINE_SIDES[part.name]
        return {
            "model": {"num_frames": frames, "image_size": side, "tubelet_size": FINE_TUBELET},
            "preprocessing": {"region": region, "resize": round(side * MARGIN)},
            **STILL,
            **(_mirrored(config, looks) or {}),
        }

    return fields


def _with_margin(region: Region) -> Region:
    """Larger by what crops move, so that a crop in the middle holds the part and a little more."""
    ends = []
    for low, high in ((region[0], region[2]), (region[1], region[3])):
        more = (GROWTH * MARGIN - 1) * (high - low) / 2
        ends.append((max(0.0, low - more), min(1.0, high + more)))
    (top, bottom), (left, right) = ends
    return round(top, 3), round(left, 3), round(bottom, 3), round(right, 3)


def _region(part: Part) -> Callable[[TrainConfig, Looks], Mapping[str, Any] | None]:
    return lambda config, looks: {"preprocessing": {"region": _with_margin(part.region)}}


def _mirrored(config: TrainConfig, looks: Looks) -> Mapping[str, Any] | None:
    fields = {"flip": 0.5}
    if config.augmentation.flip or mirror_note(looks.classes, override(config, **fields).augmentation) is not None:
        return None
    return fields


def _mixed(config: TrainConfig, looks: Looks) -> Mapping[str, Any] | None:
    return None if config.augmentation.mixes else {"mixup": 0.2}


def _gentle(config: TrainConfig, looks: Looks) -> Mapping[str, Any] | None:
    low, high = config.augmentation.scale_jitter
    if config.augmentation.rotate == 0 and config.augmentation.warp == 0:
        return None
    return {
        "coverage": ((1 + config.augmentation.coverage[0]) / 2, 1.0),
        "warp": config.augmentation.warp / 2,
        "rotate": config.augmentation.rotate / 2,
        "scale_jitter": ((1 + low) / 2, (1 + high) / 2),
    }


def _more_frames(config: TrainConfig, looks: Looks) -> Mapping[str, Any] | None:
    frames = config.model.get("num_frames")
    if frames is None or looks.median_frames is None or 2 * frames > looks.median_frames:
        return None
    return {"model": {"num_frames": 2 * frames}}


def _more_pixels(config: TrainConfig, looks: Looks) -> Mapping[str, Any] | None:
    side, resize = config.model.get("image_size"), config.preprocessing.get("resize")
    if not isinstance(side, int) or resize is None:
        return None
    return {"model": {"image_size": side * 3 // 2}, "preprocessing": {"resize": resize * 3 // 2}}


def _lora(config: TrainConfig, looks: Looks) -> Mapping[str, Any] | None:
    return None if find_spec("peft") is None else {"lora": LORA_RANK}


def _stages(config: TrainConfig, looks: Looks) -> Mapping[str, Any] | None:
    epochs = round(FROZEN_SHARE * config.optimisation.epochs)
    return None if epochs < 1 else {"freeze": "encoder", "freeze_epochs": epochs}


PROBE = Move(
    "probe",
    "the classifier alone",
    "What the weights know may be enough, and few videos teach a classifier.",
    lambda config, looks: {"freeze": "encoder"},
)
LORA = Move("lora", f"LoRA of rank {LORA_RANK}", "Small matrices beside the layers forget little.", _lora)
STAGES = Move("stages", "the classifier first, then all", "A new classifier spoils good layers at first.", _stages)
DECAY = Move(
    "decay",
    "lower layers learn less",
    "What lower layers know is the most general.",
    lambda config, looks: {"layer_decay": 0.5},
)

GENTLE = Move("gentle", "half of the augmentation", "Few changes may already be too many.", _gentle)
MIRRORED = Move(
    "mirrored", "mirrored clips", "A mirrored clip is another one, where no class is its mirror image.", _mirrored
)
MIXED = Move("mixed", "mixup 0.2", "Clips that are mixed keep a model from learning them by heart.", _mixed)
FRAMES = Move("frames", "twice the frames", "Short events fall between frames.", _more_frames)
PIXELS = Move("pixels", "1.5 times the side", "Small things need pixels.", _more_pixels)


def rounds(looks: Looks, *, adapts: bool = False) -> list[list[Move]]:
    """The moves of each round, the most telling ones first.

    Args:
        looks: at the training videos.
        adapts: whether the training starts from the weights of another one: how these are adapted comes first.
    """
    if adapts:
        return [[PROBE, LORA, STAGES, DECAY], [GENTLE, MIRRORED], [MIXED, FRAMES]]
    smallest, *larger = reversed(looks.linear.parts) if looks.linear is not None and looks.linear.parts else (None,)
    if smallest is None:
        first = Move(
            "still",
            "every frame, and the picture stays in its place",
            "Where a moment or a place decides, few frames and moved crops hide it.",
            _still(None),
        )
    else:
        first = Move(
            f"still-{_dashed(smallest)}",
            f"every frame of a {smallest.name} of the picture, which stays in its place",
            f"A linear classifier gets {smallest.accuracy:.1%} of the labels from that part alone.",
            _still(smallest),
        )
    others = [
        Move(f"part-{_dashed(part)}", f"a {part.name} of the picture", "The next larger part.", _region(part))
        for part in larger[:1]
    ]
    return [[first], [*others, GENTLE], [MIRRORED, MIXED], [PIXELS, FRAMES]]


def _dashed(part: Part) -> str:
    return part.name.replace(" ", "-")


def candidates(moves: Sequence[Move], best: Candidate, looks: Looks, typed: Mapping[str, Any]) -> list[Candidate]:
    """What a round tries on the best so far."""
    return [made for move in moves if (made := move.on(best, looks, typed)) is not None]
