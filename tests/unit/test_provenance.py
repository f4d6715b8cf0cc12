"""The list of videos that is kept with weights: written and read, and carried along by everything that copies them."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

import tubelet
from tubelet.errors import DataError
from tubelet.provenance import PROVENANCE_FILE, KnownVideo, Provenance
from tubelet.weights.native import save
from unit.training.conftest import TINY_MODEL

ODD = 'a, "b"\nc'
CHAIN = Provenance(
    (
        KnownVideo("first", "learned", "train", f"/videos/{ODD}.mp4", "00ff", 0.5, None),
        KnownVideo("second", "chose", "val", "/videos/2.mp4", None),
    ),
    unknown=("google/vivit-b-16x2-kinetics400",),
)


def model_of(provenance: Provenance | None) -> tubelet.ViViT:
    model = tubelet.create("vivit_tiny_16x2_fe", **TINY_MODEL, num_classes=2)
    model.provenance = provenance
    return model


def test_a_list_is_read_as_it_was_written(tmp_path: Path) -> None:
    CHAIN.write(tmp_path / PROVENANCE_FILE)
    assert Provenance.read(tmp_path / PROVENANCE_FILE) == CHAIN


HEADER = "run,use,split,start,end,content,path\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "run,use\nr,learned\n",
        HEADER + "r,eaten,,,,,\n",
        HEADER + "r,learned,train,,\n",
        HEADER + "r,learned,train,,,,/a.mp4,more\n",
        HEADER + "r,learned,train,nan,,,/a.mp4\n",
        HEADER + 'r,learned,train,,,,"/a.mp4\n',
    ],
    ids=["empty", "columns", "use", "short row", "long row", "no time", "open quote"],
)
def test_a_damaged_list_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    """An empty one too: read as a list of no videos, every figure would count as unseen."""
    file = tmp_path / PROVENANCE_FILE
    file.write_text(text)
    with pytest.raises(DataError, match=PROVENANCE_FILE):
        Provenance.read(file)


def test_a_second_run_of_the_same_name_stays_apart() -> None:
    video = KnownVideo("r", "learned", "train", "/a.mp4", None)
    chain = Provenance().followed_by("r", [video]).followed_by("r", [video])
    assert [one.run for one in chain.videos] == ["r", "r-2"]
    assert chain.run == "r-2"


def test_weights_keep_their_list_through_saving_adapting_optimising_and_converting(tmp_path: Path) -> None:
    model = model_of(CHAIN)
    save(model, tmp_path / "a")
    loaded = tubelet.load(tmp_path / "a")
    assert loaded.provenance == CHAIN
    assert tubelet.load(tmp_path / "a", num_classes=3).provenance == CHAIN
    assert tubelet.optimise(loaded).provenance == CHAIN
    assert copy.deepcopy(loaded).provenance == CHAIN
    tubelet.convert(tmp_path / "a", tmp_path / "b")
    assert tubelet.load(tmp_path / "b").provenance == CHAIN


def test_a_converted_folder_of_transformers_keeps_the_list(tmp_path: Path) -> None:
    model = tubelet.create("vivit_tiny_16x2", **{**TINY_MODEL, "temporal_layers": None}, num_classes=2)
    model.provenance = CHAIN
    tubelet.convert(model, tmp_path / "hf", format="transformers")
    assert tubelet.load(tmp_path / "hf").provenance == CHAIN


def test_weights_without_a_list_say_where_they_are_from(tmp_path: Path) -> None:
    save(model_of(None), tmp_path / "bare")
    assert tubelet.load(tmp_path / "bare").provenance == Provenance(unknown=(str(tmp_path / "bare"),))


def test_saving_over_a_model_takes_its_list_away(tmp_path: Path) -> None:
    save(model_of(CHAIN), tmp_path)
    save(model_of(None), tmp_path, overwrite=True)
    assert not (tmp_path / PROVENANCE_FILE).exists()


def test_others_are_shown_content_and_no_paths() -> None:
    public = CHAIN.without_paths()
    assert [(video.path, video.content) for video in public.videos] == [("", "00ff")]
    assert public.unknown == ("vivit-b-16x2-kinetics400",)
