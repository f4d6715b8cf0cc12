"""What a mirrored or reversed clip shows."""

from __future__ import annotations

import pytest

from tubelet.config import AugmentationConfig, train_config
from tubelet.data import LabelMap, mirror_note, require_labels_stay_right, suggest_flip_labels
from tubelet.errors import ConfigError

CLASSES = {"label": ["swipe left", "wave", "swipe right"], "hand": ["left", "right"]}


def test_pairs_go_both_ways_and_others_keep_their_label() -> None:
    flip = LabelMap({"label": {"swipe left": "swipe right"}, "hand": {"left": "right"}}, CLASSES, "flip_labels")
    assert flip({"label": (0,), "hand": (1,)}) == {"label": (2,), "hand": (0,)}
    assert flip({"label": (2,), "hand": (0,)}) == {"label": (0,), "hand": (1,)}
    assert flip({"label": (1,), "hand": (0,)}) == {"label": (1,), "hand": (1,)}


def test_a_clip_is_named_if_all_its_heads_are() -> None:
    only_label = LabelMap({"label": {"swipe left": "swipe right"}}, CLASSES, "reverse_labels")
    assert only_label.names({"label": (0,), "hand": (0,)})
    assert not only_label.names({"label": (1,), "hand": (0,)})
    assert not LabelMap({}, CLASSES, "reverse_labels").names({"label": (0,), "hand": (0,)})


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


def test_names_of_many_directions_are_compared_at_once() -> None:
    one, other = "left " * 40 + "wave", "right " * 40 + "wave"
    assert suggest_flip_labels({"label": [one, other, "left " * 39 + "jump wave"]}) == {"label": {one: other}}


def test_flipping_mirror_images_without_a_map_is_told() -> None:
    note = mirror_note(CLASSES, AugmentationConfig(flip=0.5))
    assert note is not None
    assert "swipe left / swipe right; left / right" in note
    assert mirror_note(CLASSES, AugmentationConfig(flip=0.0)) is None
    named = {"hand": {"left": "right"}, "label": {"swipe left": "swipe right"}}
    assert mirror_note(CLASSES, AugmentationConfig(flip_labels=named)) is None
    kept = {"hand": {"left": "left", "right": "right"}, "label": {"swipe left": "swipe right"}}
    assert mirror_note(CLASSES, AugmentationConfig(flip_labels=kept)) is None
    forgotten = mirror_note(CLASSES, AugmentationConfig(flip_labels={"hand": {"left": "right"}}))
    assert forgotten is not None
    assert "swipe left / swipe right. " in forgotten
    assert '{"label": {"swipe left": "swipe right"}, "hand": {"left": "right"}}' in forgotten
    assert mirror_note({"label": ["jump", "run"]}, AugmentationConfig()) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SwipeLeft", "SwipeRight"),
        ("swipeleft", "swiperight"),
        ("arm-left2", "arm-right2"),
        ("turn_anti_clockwise", "turn_clockwise"),
        ("nach links wischen", "nach rechts wischen"),
        ("from left to right", "from right to left"),
        ("left-handed throw", "right-handed throw"),
    ],
)
def test_however_left_and_right_are_written(one: str, other: str) -> None:
    assert suggest_flip_labels({"label": [one, "wave", other]}) == {"label": {one: other}}
    with pytest.raises(ConfigError, match="look like mirror images"):
        require_labels_stay_right({"label": [one, other]}, AugmentationConfig(flip=0.1))


def test_names_that_only_look_like_it_are_left_alone() -> None:
    names = ["bright", "copyright", "leftovers", "L", "R", "wink", "links", "swipe left"]
    require_labels_stay_right({"label": names}, AugmentationConfig(flip=0.5))


def test_a_turn_that_makes_left_right_is_caught_and_a_small_one_is_not() -> None:
    classes = {"label": ["swipe up", "swipe down", "turn clockwise", "turn counterclockwise"]}
    require_labels_stay_right(classes, AugmentationConfig(flip=0.0, rotate=90.0))
    with pytest.raises(ConfigError, match=r"swipe up / swipe down\. Turn them by at most 90 degrees"):
        require_labels_stay_right(classes, AugmentationConfig(flip=0.0, rotate=180.0))
    require_labels_stay_right({"label": classes["label"][2:]}, AugmentationConfig(flip=0.0, rotate=180.0))


def test_the_recipe_of_something_something_names_its_pairs() -> None:
    augmentation = train_config("something-something-v2").augmentation
    pairs = augmentation.flip_labels["label"]
    names = [*pairs, *pairs.values(), "Turning the camera upwards while filming something"]
    assert suggest_flip_labels({"label": names}) == {"label": pairs}
    require_labels_stay_right({"label": names}, augmentation)
