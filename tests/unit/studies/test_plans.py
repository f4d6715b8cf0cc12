"""What the other studies compare."""

from __future__ import annotations

from pathlib import Path

import pytest

from tubelet.config import TrainConfig, cost, train_config
from tubelet.data import read_table
from tubelet.data.temporal_sampling import check_temporal
from tubelet.studies import STUDIES, StudyOptions, generated_config
from tubelet.studies.cell import part_of
from tubelet.studies.models import model_of
from tubelet.studies.study import Plan, Setting
from tubelet.training.model import preprocessing_for


def planned(name: str, clips: Path, base: TrainConfig | None = None, **options: object) -> Plan:
    study = STUDIES[name]
    setting = Setting(base or generated_config(study), StudyOptions(**options), read_table(clips))  # type: ignore[arg-type]
    return study.plan(setting)


@pytest.mark.parametrize("name", list(STUDIES))
@pytest.mark.parametrize("recipe", [None, "small-data", "kinetics400"])
def test_every_cell_can_be_built_and_every_hypothesis_is_about_rows(name: str, recipe: str | None, clips: Path) -> None:
    plan = planned(name, clips, None if recipe is None else train_config(recipe))
    keys = {cell.row(views) for cell in plan.cells for views in cell.views}
    assert len({cell.name for cell in plan.cells}) == len(plan.cells)
    for cell in plan.cells:
        model = model_of(cell.config)  # raises if fields do not fit together
        preprocessing = preprocessing_for(model, cell.config.preprocessing)
        check_temporal(cell.config.augmentation, preprocessing)  # as every training does
        assert cell.needs is None or cell.needs in {source.name for source in plan.sources}
    for hypothesis in plan.hypotheses:
        assert {hypothesis.better, hypothesis.worse} <= keys


def test_variants_differ_in_the_model_alone_and_take_as_many_steps(clips: Path) -> None:
    plan = planned("variants", clips, fractions=(0.5, 1.0))
    cells = {cell.name: cell for cell in plan.cells}
    assert len(cells) == 10
    assert model_of(cells["average-pool"].config).temporal_layers == 0
    variants = {model_of(cells[f"model-{number}"].config).variant for number in (1, 2, 3, 4)}
    assert len(variants) == 4
    half, whole = cells["model-2-0.5"], cells["model-2"]
    table = read_table(clips)
    videos = [len(part_of(table, cell.fraction).split("train")) for cell in (half, whole)]
    assert videos == [8, 16]
    steps = [count * cell.config.optimisation.epochs for count, cell in zip(videos, (half, whole), strict=True)]
    assert steps[0] == steps[1]
    assert half.config.augmentation == whole.config.augmentation


def test_parts_of_the_training_videos_are_nested_and_leave_the_test_videos(clips: Path) -> None:
    table = read_table(clips)
    half = part_of(table, 0.5)
    assert {sample.path for sample in half.samples} < {sample.path for sample in table.samples}
    assert len(half.split("test")) == len(table.split("test"))
    assert {sample.labels["label"] for sample in half.split("train").samples} == set(range(8))


def test_embeddings_have_as_many_tokens_and_start_from_one_image_model(clips: Path) -> None:
    plan = planned("embeddings", clips)
    assert len({cost(model_of(cell.config)).tokens for cell in plan.cells}) == 1
    assert [source.name for source in plan.sources] == ["image-model"]
    image = plan.sources[0].config
    assert image.model["num_frames"] == 1
    assert image.splits == ("train",)
    inits = {cell.name: cell.config.adaptation.tubelet_init for cell in plan.cells if cell.needs}
    assert inits["central"] == "central_frame"
    assert inits["inflation"] == "inflation"
    assert inits["random"] == "random"
    given = planned("embeddings", clips, train_config("small-data", init="vit.npz"))
    assert given.sources == ()
    assert all(cell.config.init == "vit.npz" for cell in given.cells if cell.name != "scratch")


def test_frames_and_views_cost_the_same_up_to_the_whole_video(clips: Path) -> None:
    plan = planned("frames", clips)
    frames = [model_of(cell.config).num_frames for cell in plan.cells]
    assert frames == [12, 24, 48]  # the generated videos have 48
    assert [cell.views for cell in plan.cells] == [("1x1", "4x1"), ("1x1", "2x1"), ("1x1",)]


def test_tokens_vary_one_thing_at_a_time(clips: Path) -> None:
    plan = planned("tokens", clips, tubelet_lengths=(2, 4), image_sizes=(16, 32))
    models = {cell.name: model_of(cell.config) for cell in plan.cells}
    assert {name: (model.tubelet_size[0], model.image_size[0]) for name, model in models.items()} == {
        "t2": (2, 32),
        "t4": (4, 32),
        "size16": (2, 16),
    }
    sizes = {cell.name: cell.config.preprocessing["resize"] for cell in plan.cells}
    assert sizes == {"t2": 36, "t4": 36, "size16": 18}
