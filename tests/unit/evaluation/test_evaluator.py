"""Predictions for real (tiny) video files."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

import tubelet
from tubelet.config import PreprocessingConfig
from tubelet.data import read_table
from tubelet.errors import ConfigError, DataError
from tubelet.evaluation import Evaluation, evaluate, predict_views
from tubelet.model import ViViT
from tubelet.video import Preprocessing, open_video, write_video


def logits_of(evaluation: Evaluation) -> dict[str, tuple[float, ...]]:
    return {Path(p.path).as_posix(): p.logits["label"] for p in evaluation.predictions if p.logits is not None}


def test_a_prediction_is_the_mean_of_the_logits_of_views_computed_one_by_one(model: ViViT, folder: Path) -> None:
    evaluation = evaluate(model, read_table(folder), views="2x3")
    model.eval()
    with open_video(folder / "b" / "2.mp4") as decoder, torch.no_grad():
        views = Preprocessing(model.preprocessing).views(decoder, clips=2, crops=3)
        one_by_one = torch.cat([model(view[None]) for view in views.video])
    found = logits_of(evaluation)[(folder / "b" / "2.mp4").as_posix()]
    assert len(one_by_one) == 6
    torch.testing.assert_close(torch.tensor(found), one_by_one.mean(dim=0), rtol=0, atol=1e-6)


def test_probabilities_are_averaged_on_request(model: ViViT, folder: Path) -> None:
    with open_video(folder / "a" / "2.mp4") as decoder:
        video = Preprocessing(model.preprocessing).views(decoder, clips=3).video
    model.eval()
    averaged = predict_views(model, video, average="probabilities")["label"]
    with torch.no_grad():
        expected = model(video).softmax(dim=1).mean(dim=0)
    torch.testing.assert_close(averaged.softmax(dim=0).float(), expected, rtol=0, atol=1e-6)


def test_clips_stand_where_the_original_puts_them(model: ViViT, tmp_path: Path) -> None:
    """250 frames, 32 at stride 2, 4 clips: they start at frames 0, 62, 124 and 186."""
    seen: list[torch.Tensor] = []
    frames = torch.arange(250, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 16, 16).contiguous()
    video = write_video(tmp_path / "long.mp4", frames, crf=0)
    table = tmp_path / "table.csv"
    table.write_text(f"path,label\n{video},a\n")
    model.preprocessing = PreprocessingConfig(num_frames=32, frame_stride=2, resize=16, crop_size=(16, 16))
    model.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    evaluate(model, read_table(table), views="4x1")
    first_grey = [(view[0].mean() * 0.5 + 0.5).item() * 255 for batch in seen for view in batch]
    assert [round(grey) for grey in first_grey] == pytest.approx([0, 62, 124, 186], abs=2)


def test_the_result_does_not_depend_on_order_company_or_workers(model: ViViT, folder: Path) -> None:
    table = read_table(folder)
    whole = logits_of(evaluate(model, table, views="2x1"))
    backwards = logits_of(evaluate(model, table.select(range(len(table) - 1, -1, -1)), views="2x1"))
    alone = logits_of(evaluate(model, table.select([4]), views="2x1"))
    in_processes = logits_of(evaluate(model, table, views="2x1", workers=2))
    assert backwards == whole
    assert alone.items() <= whole.items()
    assert in_processes == whole


def test_views_per_forward_changes_the_last_digits_at_most(model: ViViT, folder: Path) -> None:
    one, many = (logits_of(evaluate(model, folder, views="4x3", views_per_forward=n)) for n in (1, 12))
    for path, logits in one.items():
        assert logits == pytest.approx(many[path], abs=1e-5)


def test_an_unreadable_video_is_named_counts_as_wrong_and_changes_no_other(
    model: ViViT, folder: Path, tmp_path: Path
) -> None:
    root = tmp_path / "videos"
    shutil.copytree(folder, root)
    whole = evaluate(model, root)
    broken = root / "a" / "1.mp4"
    broken.write_bytes(broken.read_bytes()[:200])
    evaluation = evaluate(model, root)
    assert [Path(failure.path).name for failure in evaluation.failures] == ["1.mp4"]
    assert evaluation.failures[0].reason
    assert evaluation.num_videos == 9
    expected = {path: logits for path, logits in logits_of(whole).items() if path != broken.as_posix()}
    assert logits_of(evaluation) == expected
    right = sum(
        p.logits is not None and max(p.logits["label"]) == p.logits["label"][p.labels["label"]]
        for p in evaluation.predictions
    )
    assert evaluation.top1 == pytest.approx(right / 9)
    assert evaluation.metrics["label"].per_class[0].support == 3


def test_classes_are_matched_by_name_and_not_by_number(model: ViViT, folder: Path, tmp_path: Path) -> None:
    """A folder with classes b and c alone numbers them 0 and 1; the model knows them as 1 and 2."""
    for name in "bc":
        shutil.copytree(folder / name, tmp_path / name)
    evaluation = evaluate(model, tmp_path)
    assert evaluation.classes == {"label": ["a", "b", "c"]}
    assert {Path(p.path).parent.name: p.labels["label"] for p in evaluation.predictions} == {"b": 1, "c": 2}
    (tmp_path / "b").rename(tmp_path / "waving")
    with pytest.raises(DataError, match="'waving'"):
        evaluate(model, tmp_path)


def test_a_mask_reaches_the_model(model: ViViT, tmp_path: Path) -> None:
    """The second half of a short video's clip is held and not real."""
    frames = torch.randint(0, 255, (4, 3, 20, 20), dtype=torch.uint8)
    (tmp_path / "a").mkdir()
    write_video(tmp_path / "a" / "short.mp4", frames, crf=0)
    model.preprocessing = dataclasses.replace(model.preprocessing, short_clips="mask")
    masks: list[torch.Tensor | None] = []
    model.register_forward_pre_hook(lambda _, args: masks.append(args[1]))
    evaluate(model, read_table(tmp_path, classes={"label": ["a", "b", "c"]}))
    assert masks[0] is not None
    assert masks[0].tolist() == [[True, True, False, False]]


def test_an_output_that_is_no_number_counts_as_a_failure(model: ViViT, folder: Path) -> None:
    torch.nn.init.constant_(model.head.bias, float("nan"))
    evaluation = evaluate(model, folder)
    assert evaluation.top1 == 0
    assert len(evaluation.failures) == 9
    assert "not finite" in evaluation.failures[0].reason


def test_the_model_is_left_as_it_was(model: ViViT, folder: Path) -> None:
    model.train()
    evaluate(model, folder)
    assert model.training


def test_what_is_saved_is_what_was_found_and_metrics_can_be_computed_again(
    model: ViViT, folder: Path, tmp_path: Path
) -> None:
    evaluation = evaluate(model, folder, views="2x3")
    evaluation.save(tmp_path)
    loaded = Evaluation.load(tmp_path)
    assert loaded == evaluation
    again = Evaluation.of(loaded.predictions, loaded.classes, views=loaded.views)
    assert again.metrics == evaluation.metrics
    figures_alone = Evaluation.load(tmp_path, predictions=False)
    assert figures_alone.metrics == evaluation.metrics
    with pytest.raises(DataError, match="does not exist"):
        Evaluation.load(tmp_path / "elsewhere")


def test_progress_is_told_and_missing_preprocessing_is_an_error(model: ViViT, folder: Path) -> None:
    told: list[tuple[int, int]] = []
    evaluate(model, folder, progress=lambda done, total: told.append((done, total)))
    assert told == [(number, 9) for number in range(1, 10)]
    model.preprocessing = None
    with pytest.raises(ConfigError, match=r"set model\.preprocessing"):
        evaluate(model, folder)


def test_a_folder_is_loaded(model: ViViT, folder: Path, tmp_path: Path) -> None:
    tubelet.save(model, tmp_path / "model")
    assert logits_of(evaluate(tmp_path / "model", folder, device="cpu")) == logits_of(evaluate(model, folder))
