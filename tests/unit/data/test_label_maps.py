"""What a mirrored or reversed clip shows."""

from __future__ import annotations

import pytest

from tubelet.config import AugmentationConfig
from tubelet.data import LabelMap, mirror_note, suggest_flip_labels
from tubelet.errors import ConfigError

CLASSES = {"label": ["swipe left", "wave", "swipe right"], "hand": ["left", "right"]}


def test_pairs_go_both_ways_and_others_keep_their_label() -> None:
    flip = LabelMap({"label": {"swipe left": "swipe right"}, "hand": {"left": "right"}}, CLASSES, "flip_labels")
    assert flip({"label": 0, "hand": 1}) == {"label": 2, "hand": 0}
    assert flip({"label": 2, "hand": 0}) == {"label": 0, "hand": 1}
    assert flip({"label": 1, "hand": 0}) == {"label": 1, "hand": 1}


def test_a_clip_is_named_if_all_its_heads_are() -> None:
    only_label = LabelMap({"label": {"swipe left": "swipe right"}}, CLASSES, "reverse_labels")
    assert only_label.names({"label": 0, "hand": 0})
    assert not only_label.names({"label": 1, "hand": 0})
    assert not LabelMap({}, CLASSES, "reverse_labels").names({"label": 0, "hand": 0})


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ({"lable": {}}, "flip_labels: no head 'lable'; did you mean 'label'"),
        (
            {"label": {"swipe left": "swipe rihgt"}},
            "no class 'swipe rihgt' in the head 'label'; did you mean 'swipe right'",
        ),
        ({"label": {"swipe left": "swipe right", "swipe right": "wave"}}, "cannot become both"),
    ],
)
def test_what_cannot_be_meant(pairs: dict[str, dict[str, str]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LabelMap(pairs, CLASSES, "flip_labels")


def test_pairs_are_found_by_their_names() -> None:
    found = suggest_flip_labels(
        {
            "label": [
                "Pushing something from left to right",
                "Pushing something from right to left",
                "right_arm_swipe_to_the_left",
                "right_arm_swipe_to_the_right",
                "circle clockwise",
                "circle counter-clockwise",
                "leftovers",
                "turn right",
            ],
            "digit": ["one", "two"],
        }
    )
    assert found == {
        "label": {
            "Pushing something from left to right": "Pushing something from right to left",
            "right_arm_swipe_to_the_left": "right_arm_swipe_to_the_right",
            "circle clockwise": "circle counter-clockwise",
        }
    }


def test_the_whole_mirror_is_preferred_to_half_of_it() -> None:
    names = ["left hand up left", "left hand up right", "right hand up right", "right hand up left"]
    assert suggest_flip_labels({"label": names}) == {
        "label": {"left hand up left": "right hand up right", "left hand up right": "right hand up left"}
    }


def test_flipping_mirror_images_without_a_map_is_told() -> None:
    note = mirror_note(CLASSES, AugmentationConfig(flip=0.5))
    assert note is not None
    assert "swipe left / swipe right; left / right" in note
    assert mirror_note(CLASSES, AugmentationConfig(flip=0.0)) is None
    assert mirror_note(CLASSES, AugmentationConfig(flip_labels={"hand": {"left": "right"}})) is None
    assert mirror_note({"label": ["jump", "run"]}, AugmentationConfig()) is None
