"""Predicting videos: from where, how many at once, and what happens to those that cannot be read."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path

import pytest
import torch

import tubelet
from tubelet.config import ModelConfig, PreprocessingConfig
from tubelet.errors import ConfigError, DataError, VideoError
from tubelet.model import ViViT
from tubelet.prediction import Predictor, Result, find_videos, predict
from tubelet.video import Preprocessing, open_video, read_video


def logits_by_hand(model: ViViT, path: Path, clips: int = 1, crops: int = 1) -> torch.Tensor:
    assert model.preprocessing is not None
    with open_video(path) as decoder, torch.no_grad():
        views = Preprocessing(model.preprocessing).views(decoder, clips, crops)
        out = model.eval()(views.video, views.frame_mask)
    assert isinstance(out, torch.Tensor)
    return out.double().mean(dim=0)


def one(result: Result | list[Result]) -> Result:
    assert isinstance(result, Result)
    return result


def several(result: Result | list[Result]) -> list[Result]:
    assert isinstance(result, list)
    return result


@pytest.mark.parametrize(("views", "clips", "crops"), [("1x1", 1, 1), ("3x3", 3, 3), ((2, 1), 2, 1)])
def test_logits_are_the_mean_over_the_views(
    model: ViViT, videos: list[Path], views: str | tuple[int, int], clips: int, crops: int
) -> None:
    result = one(predict(model, videos[0], views=views))
    assert torch.allclose(result.logits, logits_by_hand(model, videos[0], clips, crops), atol=1e-5)
    assert result.views == (clips, crops)


def test_it_says_what_evaluate_says_to_the_bit(model: ViViT, videos: list[Path], tmp_path: Path) -> None:
    table = tmp_path / "videos.csv"
    table.write_text("path,label\n" + "".join(f"{path},run\n" for path in videos))
    evaluation = tubelet.evaluate(model, table, views="2x3")
    for prediction, result in zip(evaluation.predictions, several(predict(model, videos, views="2x3")), strict=True):
        assert prediction.logits is not None
        assert torch.allclose(torch.tensor(prediction.logits["label"]).double(), result.logits, rtol=1e-7, atol=1e-9)


def test_a_prediction_does_not_depend_on_its_company(model: ViViT, videos: list[Path]) -> None:
    alone = [one(predict(model, path)).logits for path in videos]
    together = [result.logits for result in several(predict(model, videos))]
    backwards = [result.logits for result in several(predict(model, videos[::-1]))][::-1]
    for a, b, c in zip(alone, together, backwards, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)


def test_file_clip_and_pixels_give_the_same(model: ViViT, videos: list[Path]) -> None:
    clip = read_video(videos[0])
    from_file = one(predict(model, str(videos[0])))
    for source in (clip, clip.frames, clip.frames.contiguous().numpy()):
        assert torch.equal(one(predict(model, source)).logits, from_file.logits)


def test_folders_and_patterns_stand_for_their_videos(model: ViViT, videos: list[Path]) -> None:
    folder = videos[0].parent
    assert [result.path for result in several(predict(model, folder))] == [str(path) for path in videos]
    assert [result.path for result in several(predict(model, str(folder / "*.mp4")))] == [
        str(path) for path in videos[:2]
    ]
    both = several(predict(model, [videos[2], folder]))
    assert [result.path for result in both] == [str(videos[2]), *(str(path) for path in videos)]


def test_a_pattern_over_all_levels_gives_each_video_once(videos: list[Path]) -> None:
    assert find_videos(videos[0].parent / "**") == [str(path) for path in videos]


def test_a_name_with_the_characters_of_a_pattern_is_a_file(model: ViViT, videos: list[Path]) -> None:
    odd = videos[0].rename(videos[0].with_name("take [1]*.mp4"))
    assert one(predict(model, odd)).path == str(odd)


def test_a_folder_of_images_is_one_video(model: ViViT, videos: list[Path], tmp_path: Path) -> None:
    from PIL import Image

    frames = tmp_path / "frames"
    frames.mkdir()
    for number, frame in enumerate(read_video(videos[0]).frames):
        Image.fromarray(frame.permute(1, 2, 0).numpy()).save(frames / f"{number:03d}.png")
    assert find_videos(frames) is None
    assert torch.allclose(one(predict(model, frames)).logits, one(predict(model, videos[0])).logits, atol=1e-6)


def test_one_unreadable_video_does_not_stop_the_others(model: ViViT, videos: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no video" * 100)
    results = several(predict(model, [videos[0], broken, tmp_path / "gone.mp4", videos[1]]))
    assert [result.ok for result in results] == [True, False, False, True]
    assert results[2].error == "does not exist"
    assert str(broken) in str(results[1])
    assert torch.equal(results[3].logits, one(predict(model, videos[1])).logits)


def test_the_only_video_being_unreadable_is_an_error(model: ViViT, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="does not exist"):
        predict(model, tmp_path / "gone.mp4")


def test_a_folder_or_pattern_without_videos_is_an_error(model: ViViT, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.raises(DataError, match="no video in this folder"):
        predict(model, tmp_path)
    with pytest.raises(DataError, match="nothing matches"):
        predict(model, str(tmp_path / "*.mp4"))


@pytest.mark.parametrize(
    "pixels",
    [torch.zeros(4, 32, 32, 3, dtype=torch.uint8), torch.zeros(4, 3, 32, 32), torch.zeros(3, 8, 8, dtype=torch.uint8)],
)
def test_pixels_of_another_shape_or_type_are_refused(model: ViViT, pixels: torch.Tensor) -> None:
    with pytest.raises(DataError, match=r"uint8 \[T, 3, H, W\]"):
        predict(model, pixels)


def test_a_stream_may_be_endless_and_is_read_as_it_goes(model: ViViT, videos: list[Path]) -> None:
    taken: list[Path] = []

    def endless() -> object:
        for path in cycle(videos):
            taken.append(path)
            yield str(path)

    results = list(islice(Predictor(model).stream(endless()), 5))
    assert [result.path for result in results] == [str(path) for path in islice(cycle(videos), 5)]
    assert len(taken) <= 8


def test_the_model_is_left_as_it_was(model: ViViT, videos: list[Path]) -> None:
    model.train()
    first = one(predict(model, videos[0])).logits
    assert model.training
    assert torch.equal(first, one(predict(model.eval(), videos[0])).logits)


def test_without_labels_classes_are_numbered(
    config: ModelConfig, preprocessing: PreprocessingConfig, videos: list[Path]
) -> None:
    result = one(predict(ViViT(config, preprocessing), videos[0]))
    assert set(result.classes) == {"class 0", "class 1", "class 2"}


def test_several_heads_are_asked_one_by_one(
    preprocessing: PreprocessingConfig, config: ModelConfig, videos: list[Path]
) -> None:
    labels = {"verb": ["open", "close"], "noun": ["door", "box", "jar"]}
    model = tubelet.create(config, labels=labels)
    model.preprocessing = preprocessing
    result = one(predict(model, videos[0]))
    assert result.heads["verb"].label in labels["verb"]
    assert {name for name, _ in result.heads["noun"].top(None)} == set(labels["noun"])
    assert set(result.to_dict()["heads"]) == {"verb", "noun"}
    with pytest.raises(ConfigError, match=r"several heads \(verb, noun\)"):
        _ = result.label


def test_a_model_that_does_not_know_its_preprocessing_is_refused(config: ModelConfig, videos: list[Path]) -> None:
    with pytest.raises(ConfigError, match="does not say how videos are preprocessed"):
        predict(ViViT(config), videos[0])


def test_a_folder_of_weights_can_be_named_instead_of_a_model(model: ViViT, videos: list[Path], tmp_path: Path) -> None:
    tubelet.save(model, tmp_path / "model")
    from_folder = one(tubelet.predict(tmp_path / "model", videos[0]))
    assert torch.equal(from_folder.logits, one(predict(model, videos[0])).logits)


def test_views_that_do_not_exist_are_refused(model: ViViT, videos: list[Path]) -> None:
    with pytest.raises(ConfigError, match="at least one crop"):
        predict(model, videos[0], views="1x0")
    with pytest.raises(ConfigError, match="belong to an evaluation"):
        predict(model, videos[0], views="whole")
