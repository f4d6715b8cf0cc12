"""Results say and show the frames that the model saw, wherever these came from."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from torch import Tensor

import tubelet
from tubelet.data import prepare, read_table
from tubelet.errors import VideoError
from tubelet.model import ViViT
from tubelet.prediction import Result, Timeline, find_videos, predict, stream
from tubelet.prediction.sources import no_video
from tubelet.prediction.timeline import Event
from tubelet.video import read_video


def ramp(count: int = 40) -> Tensor:
    """Frame n is grey n * 6."""
    levels = torch.arange(count, dtype=torch.int32) * 6
    return levels.to(torch.uint8)[:, None, None, None].expand(count, 3, 32, 32).contiguous()


@pytest.fixture
def ramp_file(tmp_path: Path) -> Path:
    (tmp_path / "ramps" / "up").mkdir(parents=True)
    return tubelet.write_video(tmp_path / "ramps" / "up" / "ramp.mp4", ramp(), 10.0, crf=1)


def one(found: Result | list[Result]) -> Result:
    assert isinstance(found, Result)
    return found


def shown_frames(result: Result) -> list[int]:
    """The numbers of the frames that a notebook shows of a ramp."""
    pictures = re.findall(r"data:image/jpeg;base64,([^\"]+)", result._repr_html_())
    levels = [numpy.asarray(Image.open(io.BytesIO(base64.b64decode(one)))).mean() for one in pictures]
    return [round(level / 6) for level in levels]


def test_a_part_of_a_video_names_and_shows_the_frames_of_the_video(model: ViViT, ramp_file: Path) -> None:
    result = one(predict(model, read_video(ramp_file, start=3.0)))
    assert result.indices == (32, 34, 36, 38) or result.indices == (31, 33, 35, 37)
    assert result.timestamps == pytest.approx([index / 10 for index in result.indices])
    assert shown_frames(result) == list(result.indices)


def test_a_clip_that_runs_backwards_is_told_in_its_own_order(model: ViViT, ramp_file: Path) -> None:
    backwards = read_video(ramp_file, list(range(20, 9, -1)))
    result = one(predict(model, backwards))
    assert list(result.indices) == sorted(result.indices, reverse=True)
    assert shown_frames(result) == list(result.indices)
    decisions = list(stream(model, backwards, hop=2))
    assert decisions[0].frames == (20, 14)
    assert decisions[-1].frames[0] < 20


def test_what_was_changed_in_memory_is_shown_as_it_was_seen(model: ViViT, ramp_file: Path) -> None:
    from dataclasses import replace

    clip = read_video(ramp_file)
    black = one(predict(model, replace(clip, frames=torch.zeros_like(clip.frames))))
    assert set(shown_frames(black)) == {0}


def test_frames_in_memory_are_shown_where_the_model_looked(model: ViViT) -> None:
    result = one(predict(model, ramp()))
    assert shown_frames(result) == list(result.indices)


def test_decisions_about_a_part_of_a_video_count_in_the_video(model: ViViT, ramp_file: Path) -> None:
    first = next(stream(model, read_video(ramp_file, start=3.0), hop=1))
    assert first.frames == (30, 36)
    assert first.start == pytest.approx(3.0)


def test_of_a_video_in_a_shard_only_what_is_needed_is_decoded(
    model: ViViT, ramp_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(read_table(ramp_file.parent.parent), tmp_path / "shards")
    (path,) = find_videos(tmp_path / "shards") or []
    assert ".tar#" in path
    assert path.endswith("ramp.mp4")
    from tubelet.video.pyav import PyAVDecoder

    decoded: list[int] = []
    visit = PyAVDecoder.visit

    def counted(self: PyAVDecoder, indices: list[int], visitor: object) -> None:
        decoded.extend(indices)
        visit(self, indices, visitor)  # type: ignore[arg-type]

    monkeypatch.setattr(PyAVDecoder, "visit", counted)
    result = one(predict(model, path))
    assert len(decoded) == 4
    assert result.path == path
    assert shown_frames(result) == list(result.indices)


@pytest.mark.parametrize("folder", ["clips", "clips/wave"])
def test_folders_are_read_as_for_training(folder: str, tmp_path: Path) -> None:
    """Folders of frames in folders, rare suffixes, and nothing that is hidden."""
    frames = tmp_path / "clips" / "wave" / "01"
    frames.mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (8, 8)).save(frames / f"{number}.png")
    for name in ("02.3g2", "03.divx", ".hidden.mp4"):
        (tmp_path / "clips" / "wave" / name).touch()
    (tmp_path / "clips" / "wave" / ".cache").mkdir()
    (tmp_path / "clips" / "wave" / ".cache" / "04.mp4").touch()
    trained = {sample.path for sample in read_table(tmp_path / "clips").samples}
    assert set(find_videos(tmp_path / folder) or []) == trained
    assert {Path(path).name for path in trained} == {"01", "02.3g2", "03.divx"}


def test_an_array_with_channels_last_is_taken(model: ViViT) -> None:
    last = ramp().permute(0, 2, 3, 1).numpy()
    assert torch.equal(one(predict(model, last)).logits, one(predict(model, ramp())).logits)
    frozen = last[::-1]
    frozen.flags.writeable = False
    assert one(predict(model, frozen)).ok


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (b"0000", "written to a file first"),
        (0, "number of a camera"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "stacked"),
    ],
)
def test_what_is_no_video_is_told_what_to_do(thing: object, said: str) -> None:
    assert said in str(no_video(thing))


def test_an_address_and_a_single_picture_are_told_what_they_are(model: ViViT, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="is an address") as caught:
        predict(model, "https://user:word@host/x.mp4?token=1")
    assert "word" not in str(caught.value)
    assert "token" not in str(caught.value)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg")
    with pytest.raises(VideoError, match="single picture"):
        predict(model, tmp_path / "a.jpg")


def test_a_name_that_the_system_refuses_stops_no_other(model: ViViT, videos: list[Path]) -> None:
    results = predict(model, ["x" * 5000 + ".mp4", videos[0]])
    assert isinstance(results, list)
    assert [result.ok for result in results] == [False, True]


def test_logits_are_tensors_like_any_other(model: ViViT) -> None:
    logits = one(predict(model, ramp())).logits
    logits += 1
    assert (logits * torch.ones(3, dtype=torch.float64, requires_grad=True)).sum().requires_grad
    decision = next(stream(model, ramp()))
    decision.head.logits.requires_grad_()


def test_weights_in_half_precision_predict(model: ViViT) -> None:
    expected = one(predict(model, ramp())).logits
    assert torch.allclose(one(predict(model.to(torch.bfloat16), ramp())).logits, expected, atol=0.2, rtol=0.1)
    assert next(stream(model, ramp())).head.classes == ("run", "walk", "sit")


def test_what_happened_before_a_connection_broke_is_kept(model: ViViT) -> None:
    decisions = list(stream(model, ramp(), hop=4))

    def broken() -> object:
        yield from decisions[:3]
        raise VideoError("camera 0", "the connection broke")

    timeline = Timeline.of("camera 0", broken())  # type: ignore[arg-type]
    assert timeline.error == "the connection broke"
    assert timeline.to_dict()["error"] == "the connection broke"
    assert timeline.end == decisions[2].end
    assert timeline.events == Timeline.of("camera 0", decisions[:3]).events


def test_subtitles_and_tables_hold_no_control_characters() -> None:
    event = Event("ev\x1b]0;il\x07\u202e", 0.0, 1.0, 0.9, 0.8, 3)
    timeline = Timeline("a.mp4", 0.0, 1.0, (event,))
    for text in (timeline.to_srt(), timeline.to_csv()):
        assert "ev\\x1b]0;il\\x07\\u202e" in text
        assert not set(text) & set("\x1b\x07\u202e")
    assert timeline.to_dict()["events"][0]["label"] == event.label
