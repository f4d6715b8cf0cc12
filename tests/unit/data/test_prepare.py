"""Shards: the same clips as from loose files, whole or not there, readable by others, and resumable."""

from __future__ import annotations

import dataclasses
import errno
import functools
import importlib
import itertools
import json
import os
import shutil
import tarfile
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from torchvision.transforms.v2 import functional as transforms

from tubelet.cli.main import main
from tubelet.config import AugmentationConfig, PreprocessingConfig, ShardConfig
from tubelet.data import ClipDataset, Table, assign_splits, check, make_loader, prepare, read_table, write_table
from tubelet.errors import ConfigError, DataError, InUseError, VideoError
from tubelet.video import FilePart, open_video, read_video, write_video
from tubelet.video.transcode import stored_size

preparing = importlib.import_module("tubelet.data.prepare")  # the function has the same name
COPY = ShardConfig(copy=True, shard_megabytes=0.02)


@pytest.fixture
def table(folder: Path) -> Table:
    """Twelve videos with splits; the first is there twice, as two parts."""
    found = assign_splits(read_table(folder), {"train": 0.7, "val": 0.3}, seed=3)
    first = found.samples[0]
    parts = (dataclasses.replace(first, end=1.0, group="a"), dataclasses.replace(first, start=1.0))
    return dataclasses.replace(found, samples=(*parts, *found.samples[1:]))


def test_clips_of_copied_shards_are_those_of_loose_files_to_the_bit(
    table: Table, tmp_path: Path, small: PreprocessingConfig
) -> None:
    report = prepare(table, tmp_path / "out", COPY, workers=2)
    assert (report.samples, report.videos, report.failures) == (13, 12, ())
    assert report.shards > 3
    again = read_table(tmp_path / "out")
    assert (again.classes, again.splits, again.notes) == (table.classes, table.splits, ())
    assert [again.key(sample) for sample in again.samples] == [table.key(sample) for sample in table.samples]
    assert [sample.group for sample in again.samples] == [sample.group for sample in table.samples]
    augmentation = AugmentationConfig(flip=0.5, rand_augment_layers=2, speed=(0.5, 2.0))
    for name in ("train", "val"):
        loaders = [
            make_loader(ClipDataset(one.split(name), small, augmentation=augmentation, seed=1), 3, workers=workers)
            for one, workers in ((table, 0), (again, 0), (again, 2))
        ]
        for loose, stored, elsewhere in zip(*loaders, strict=True):
            assert not loose.failures
            for other in (stored, elsewhere):
                assert torch.equal(loose.video, other.video)
                assert torch.equal(loose.targets["label"], other.targets["label"])
                assert torch.equal(loose.indices, other.indices)
    views = [ClipDataset(one, small, mode="evaluate", clips=2, crops=3)[5] for one in (table, again)]
    assert torch.equal(views[0]["video"], views[1]["video"])


def test_splits_made_from_shards_are_those_made_from_loose_files(folder: Path, tmp_path: Path) -> None:
    loose = read_table(folder)
    prepare(loose, tmp_path / "out", COPY)
    made = [assign_splits(one, {"train": 0.7, "val": 0.3}, seed=5) for one in (loose, read_table(tmp_path / "out"))]
    assert [sample.split for sample in made[0].samples] == [sample.split for sample in made[1].samples]


def test_a_table_of_shards_survives_the_way_through_csv(table: Table, tmp_path: Path) -> None:
    prepare(table, tmp_path / "out", COPY)
    stored = read_table(tmp_path / "out")
    again = read_table(write_table(stored, tmp_path / "splits.csv"))
    assert again.samples == stored.samples


def test_encoded_videos_keep_their_frames_times_and_pictures(table: Table, tmp_path: Path) -> None:
    prepare(table, tmp_path / "out", ShardConfig(short_side=24, keyframe_interval=5, crf=10))
    for before, after in zip(table.samples, read_table(tmp_path / "out").samples, strict=True):
        with open_video(before.path) as one, open_video(after.path) as other:
            assert torch.allclose(one.timestamps, other.timestamps, rtol=0, atol=1e-6)
            assert (other.metadata.height, other.metadata.width) == (24, 36)
            keys = [frame.key_frame for frame in _frames(after.path)]
            assert max(_gaps(keys)) <= 5
            every = range(one.metadata.num_frames)
            assert len(keys) == len(every)
            small = transforms.resize(one.frames_at(every).frames, [24, 36], antialias=True)
            difference = brightness(other.frames_at(every).frames) - brightness(small)
            assert difference.abs().mean() < 2
        assert (before.start, before.end) == (after.start, after.end)


def brightness(frames: torch.Tensor) -> torch.Tensor:
    """What H.264 stores of every pixel; of colour it stores a quarter."""
    return (frames.float() * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1)


def _frames(path: str) -> Any:
    part = FilePart.parse(path)
    assert part is not None
    with av.open(part.url) as container:
        yield from container.decode(video=0)


def _gaps(keys: list[bool]) -> list[int]:
    places = [place for place, key in enumerate(keys) if key] + [len(keys)]
    return [after - before for before, after in itertools.pairwise(places)]


def test_a_video_that_starts_late_or_runs_unevenly_keeps_its_times(tmp_path: Path) -> None:
    path = tmp_path / "clips" / "a" / "odd.mkv"
    path.parent.mkdir(parents=True)
    times = [2.0, 2.04, 2.12, 2.16, 2.5, 2.6, 3.0]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 34, 32, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(
                torch.full((32, 34, 3), 20 + 30 * number, dtype=torch.uint8).numpy(), format="rgb24"
            )
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    loose = read_table(tmp_path / "clips")
    part = dataclasses.replace(loose.samples[0], start=0.1, end=0.55)  # seconds count from the start of the file
    prepare(dataclasses.replace(loose, samples=(part,)), tmp_path / "out")
    (sample,) = read_table(tmp_path / "out").samples
    assert sample.start == pytest.approx(0.1)
    clip = read_video(sample.path, start=sample.start, end=sample.end)
    assert clip.timestamps.tolist() == pytest.approx([0.12, 0.16, 0.5], abs=1e-3)
    expected = torch.tensor([80.0, 110.0, 140.0])
    assert torch.allclose(clip.frames.float().mean((1, 2, 3)), expected, atol=3)


def test_webdataset_reads_the_shards(table: Table, tmp_path: Path) -> None:
    reading = pytest.importorskip("webdataset.tariterators")
    prepare(table, tmp_path / "out", COPY)
    found = {}
    with ExitStack() as stack:  # its `WebDataset` opens the files itself, and leaves them open
        shards = sorted((tmp_path / "out").glob("train-*.tar"))
        streams = [{"url": str(path), "stream": stack.enter_context(path.open("rb"))} for path in shards]
        for sample in reading.group_by_keys(reading.tar_file_expander(iter(streams))):
            facts = json.loads(sample["json"])
            found[facts["path"]] = (sample["mp4"], [one["labels"]["label"] for one in facts["samples"]])
    expected = {
        table.key(dataclasses.replace(sample, start=None, end=None)): sample
        for sample in table.samples
        if sample.split == "train"
    }
    assert set(found) == set(expected)
    for name, sample in expected.items():
        content, labels = found[name]
        assert content == Path(sample.path).read_bytes()
        assert set(labels) == set(table.class_names(sample))


def test_line_separators_in_names_end_no_line(folder: Path, tmp_path: Path) -> None:
    odd = tmp_path / "clips" / "wave\u2028hand"
    odd.mkdir(parents=True)
    shutil.copytree(folder / "clap", tmp_path / "clips" / "clap")
    for number in range(2):
        shutil.copy(folder / "wave" / f"{number}.mp4", odd / f"{number}\u2028\x85\u2029.mp4")
    table = read_table(tmp_path / "clips")
    prepare(table, tmp_path / "out", COPY)
    again = read_table(tmp_path / "out")
    assert again.classes == {"label": ["clap", "wave\u2028hand"]}
    assert [again.key(sample) for sample in again.samples] == [table.key(sample) for sample in table.samples]
    for loose, stored in zip(table.samples, again.samples, strict=True):
        assert torch.equal(read_video(loose.path).frames, read_video(stored.path).frames)


def test_the_group_column_that_is_named_is_kept(folder: Path, tmp_path: Path) -> None:
    rows = "".join(f"clap/{number}.mp4,clap,{'ab'[number % 2]}\n" for number in range(4))
    (tmp_path / "videos.csv").write_text("path,label,person\n" + rows)
    words = [str(tmp_path / "videos.csv"), str(tmp_path / "out"), "--video-root", str(folder), "--copy", "-q"]
    assert main(["data", "prepare", *words, "--group-column", "person"]) == 0
    assert [sample.group for sample in read_table(tmp_path / "out").samples] == ["a", "b", "a", "b"]


def test_any_tar_reader_finds_the_bytes_where_the_index_says(table: Table, tmp_path: Path) -> None:
    prepare(table, tmp_path / "out", COPY)
    for line in (tmp_path / "out" / "index.jsonl").read_text().splitlines():
        row = json.loads(line)
        with tarfile.open(tmp_path / "out" / row["shard"]) as tar:
            (member,) = [one for one in tar.getmembers() if one.offset_data == row["offset"]]
            assert (member.size, Path(member.name).suffix) == (row["length"], ".mp4")


def test_broken_videos_are_left_out_and_listed_and_classes_stay(folder: Path, tmp_path: Path, capsys: Any) -> None:
    data = tmp_path / "clips"
    shutil.copytree(folder, data)
    (data / "jump" / "1.mp4").write_bytes(b"no video")
    cut = (data / "wave" / "2.mp4").read_bytes()
    (data / "wave" / "2.mp4").write_bytes(cut[: len(cut) // 2])
    for other in ("0", "2", "3"):
        (data / "jump" / f"{other}.mp4").unlink()
    words = ["data", "prepare", str(data), str(tmp_path / "out"), "--short-side", "24", "--json"]
    assert main(words) == 1
    told = json.loads(capsys.readouterr().out)
    assert sorted(Path(one["path"]).name for one in told["failures"]) == ["1.mp4", "2.mp4"]
    listed = [json.loads(line) for line in (tmp_path / "out" / "failures.jsonl").read_text().splitlines()]
    assert listed == told["failures"]
    table = read_table(tmp_path / "out")
    assert table.classes == {"label": ["clap", "jump", "wave"]}
    assert table.counts("label") == [4, 0, 3]
    assert "2 videos could not be read" in table.notes[0]
    assert main(["data", "check", str(tmp_path / "out"), "--thorough"]) == 0


# --- whole or not there ----------------------------------------------------------------------------------------------


class StoppedError(Exception):
    """Stands for the end of a process."""


def test_a_stopped_preparation_goes_on_and_ends_as_an_undisturbed_one(table: Table, tmp_path: Path) -> None:
    config = ShardConfig(short_side=24, shard_megabytes=0.004)

    def stop_at(count: int) -> Any:
        def progress(done: int, total: int) -> None:
            if done == count:
                raise StoppedError

        return progress

    for count in (4, 9):
        with pytest.raises(StoppedError):
            prepare(table, tmp_path / "out", config, progress=stop_at(count))
        with pytest.raises(DataError, match="no finished shards"):
            read_table(tmp_path / "out")
    with pytest.raises(ConfigError, match="with other settings"):
        prepare(table, tmp_path / "out", dataclasses.replace(config, crf=30))
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tar")}
    assert kept
    prepare(table, tmp_path / "out", config, workers=2)
    prepare(table, tmp_path / "whole", config, workers=1)
    files = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == files
    assert all(path.stat().st_mtime_ns == before for path, before in kept.items())
    with pytest.raises(ConfigError, match="never overwritten"):
        prepare(table, tmp_path / "out", config)


def test_a_preparation_that_was_killed_when_all_was_there_is_done_with_the_same_call(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies while it removes what it needs no longer, at each file in turn."""
    whole = prepare(table, tmp_path / "whole", COPY)
    files = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    for number in range(100):
        out, removed = tmp_path / f"out{number}", 0

        def dying(path: Any, *args: Any, real: Any, out: Path = out, number: int = number, **options: Any) -> None:
            nonlocal removed
            removed += (out / "shards.json").exists()
            if removed > number:
                raise StoppedError
            real(path, *args, **options)

        with monkeypatch.context() as patched:
            for name in ("unlink", "rmdir"):
                patched.setattr(os, name, functools.partial(dying, real=getattr(os, name)))
            try:
                prepare(table, out, COPY)
                break
            except StoppedError:
                pass
        assert (out / ".preparing").is_dir()
        with pytest.raises(ConfigError, match="go on with those"):
            prepare(table, out, dataclasses.replace(COPY, seed=7))
        again = prepare(table, out, COPY)
        assert {path.name: path.read_bytes() for path in out.iterdir()} == files
        assert dataclasses.replace(again, folder=whole.folder, seconds=whole.seconds) == whole
    assert number > 3, "it died several times"


def test_a_preparation_is_not_taken_up_with_videos_that_have_changed(folder: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(folder, data)

    def stop(done: int, total: int) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        prepare(read_table(data), out, COPY, progress=stop)
    video = data / "wave" / "3.mp4"
    content = video.read_bytes()
    os.utime(video, (1, 1))  # the time of a file says nothing of its content
    with pytest.raises(StoppedError):
        prepare(read_table(data), out, COPY, progress=stop)
    video.write_bytes(content[:-8] + bytes(8))  # the same size
    with pytest.raises(ConfigError, match="videos that have changed since"):
        prepare(read_table(data), out, COPY)
    video.write_bytes(content)
    assert prepare(read_table(data), out, COPY).videos == 12


@pytest.mark.usefixtures("impatient")
def test_two_preparations_of_one_folder_are_kept_apart(table: Table, tmp_path: Path) -> None:
    raised = []

    def again(done: int, total: int) -> None:
        with pytest.raises(InUseError, match=f"process {os.getpid()} on") as error:
            prepare(table, tmp_path / "out", COPY)
        raised.append(error)

    assert prepare(table, tmp_path / "out", COPY, progress=again).videos == len(raised) == 12
    assert not list((tmp_path / "out").glob(".*"))


def test_a_video_that_cannot_be_encoded_anew_is_left_out_and_a_full_disk_is_not_its_fault(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = table.samples[-1].path

    def encode(source: str, path: Path, **settings: Any) -> float:
        if source == refused:
            raise av.error.PatchWelcomeError(1, "Not yet implemented in FFmpeg, patches welcome")
        path.write_bytes(b"video")
        return 0.0

    monkeypatch.setattr(preparing, "transcode", encode)
    report = prepare(table, tmp_path / "out")
    assert [(one.path, report.videos) for one in report.failures] == [(refused, 11)]

    def full(source: str, path: Path, **settings: Any) -> float:
        raise av.error.err_check(-errno.ENOSPC, str(path))

    monkeypatch.setattr(preparing, "transcode", full)
    with pytest.raises(OSError, match="No space left"):
        prepare(table, tmp_path / "second")


def test_a_shard_that_is_missing_or_cut_off_is_named(table: Table, tmp_path: Path) -> None:
    prepare(table, tmp_path / "out", COPY)
    sample = read_table(tmp_path / "out").samples[-1]
    part = FilePart.parse(sample.path)
    assert part is not None
    content = Path(part.file).read_bytes()
    Path(part.file).write_bytes(content[: part.offset + part.length // 2])
    with pytest.raises(DataError, match=rf"{Path(part.file).name} has .* bytes, expected {len(content)}"):
        read_table(tmp_path / "out")
    with pytest.raises(VideoError, match="cut off"):
        open_video(sample.path)
    Path(part.file).unlink()
    with pytest.raises(DataError, match="is missing"):
        read_table(tmp_path / "out")
    with pytest.raises(VideoError, match="does not exist"):
        open_video(sample.path)


def test_folders_with_other_things_are_left_alone(table: Table, tmp_path: Path) -> None:
    (tmp_path / "dear.txt").write_text("to you")
    with pytest.raises(ConfigError, match="new or empty"):
        prepare(table, tmp_path, COPY)
    assert os.listdir(tmp_path) == ["dear.txt"]


def test_what_cannot_be_meant_is_an_error(table: Table, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must be even.*use 256"):
        ShardConfig(short_side=255)
    with pytest.raises(ConfigError, match="at least 1"):
        ShardConfig(keyframe_interval=0)
    prepare(table, tmp_path / "out", COPY)
    with pytest.raises(DataError, match="in a shard already"):
        prepare(read_table(tmp_path / "out"), tmp_path / "second", COPY)
    with pytest.raises(DataError, match="leave the columns out"):
        read_table(tmp_path / "out", split_column="fold")
    with pytest.raises(DataError, match="no labels 'verb'"):
        read_table(tmp_path / "out", labels=["verb"])
    assert read_table(tmp_path / "out", labels=[]).classes == {}


# --- names and sizes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wave/01.mp4", "../other/x%2E.mp4", "a#1+2/b.tar#3+4/c.mp4", "./ä b,:.mp4"])
def test_the_address_of_a_part_says_everything_and_survives_tidying(name: str) -> None:
    part = FilePart("/data/out,x/train-000000.tar", 512, 99, name)
    assert FilePart.parse(os.path.abspath(str(part))) == part


def test_a_file_that_is_called_like_a_part_is_that_file(tmp_path: Path) -> None:
    path = tmp_path / "x.tar#0+10" / "clip.mp4"
    path.parent.mkdir()
    write_video(path, torch.zeros(3, 3, 16, 16, dtype=torch.uint8))
    assert len(read_video(path)) == 3


def test_duplicates_in_shards_are_found_as_in_loose_files(tmp_path: Path, clips: Any) -> None:
    for name in ("a", "b"):
        (tmp_path / "clips" / name).mkdir(parents=True)
        write_video(tmp_path / "clips" / name / "1.mp4", clips["ramp"](8), 10.0)
    loose = read_table(tmp_path / "clips")
    prepare(loose, tmp_path / "out", COPY)
    reports = [check(one) for one in (loose, read_table(tmp_path / "out"))]
    assert [len(report.conflicts) for report in reports] == [1, 1]
    assert reports[0].frames == reports[1].frames
    assert reports[0].codecs == reports[1].codecs


@pytest.mark.parametrize(
    ("size", "expected"),
    [((240, 320), (240, 320)), ((480, 854), (256, 454)), ((1920, 1080), (454, 256)), ((33, 47), (32, 46))],
)
def test_stored_sizes_are_even_and_keep_the_aspect_ratio(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert stored_size(*size, 256) == expected
