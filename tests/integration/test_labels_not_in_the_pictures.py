"""What is validated on was not learned from: where labels are not in the pictures, validation is at chance.

Every data set here is of recordings whose labels mean nothing. Whatever makes a recording stand on both sides of a
division (its parts, its copies, links to it, other videos of its group) would let a model know it again, and that would
look like knowledge of the class.
"""

from __future__ import annotations

import csv
import os
import random
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from tubelet.config import DataConfig, TrainConfig, ValidationConfig
from tubelet.config.shards import ShardConfig
from tubelet.data import Sample, Table, assign_splits, hold_out, prepare, read_table
from tubelet.studies.videos import study_table
from tubelet.training.splits import divide
from tubelet.video import FilePart, read_video, write_video

Source = Callable[[Sample], str]
"""A sample to the recording, or the group, that it comes from: what the test knows, and tubelet does not."""

RECORDINGS, PARTS = 12, 4


def recording(sample: Sample) -> str:
    """Files here are called `r03.mp4`, their copies `r03-copy.mp4`, links `r03-link.mp4`, frames `r03`."""
    part = FilePart.parse(sample.path)
    return Path(sample.path if part is None else part.name).stem[:3]


def group_of(sample: Sample) -> str:
    assert sample.group is not None
    return sample.group


def write_rows(folder: Path, rows: Iterable[dict[str, object]], name: str = "table.csv") -> Path:
    rows = list(rows)
    with (folder / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / name


def files(folder: Path, count: int = RECORDINGS) -> list[str]:
    """Names of recordings that are all different, and of the same size, as if they had been encoded so."""
    for number in range(count):
        (folder / f"r{number:02d}.mp4").write_bytes(random.Random(number).randbytes(200))
    return [f"r{number:02d}.mp4" for number in range(count)]


def videos(folder: Path) -> list[str]:
    """Recordings that can be seen; what cannot is no copy of anything."""
    for number in range(RECORDINGS):
        write_video(folder / f"r{number:02d}.mp4", picture(number).repeat(4, 1, 1, 1), 2.0, preset="ultrafast")
    return [f"r{number:02d}.mp4" for number in range(RECORDINGS)]


def parts_of_files(folder: Path) -> tuple[Table, Source]:
    rows = [
        {"path": name, "label": random.Random(f"{name}{part}").choice("ab"), "start": part, "end": part + 1}
        for name in files(folder)
        for part in range(PARTS)
    ]
    return read_table(write_rows(folder, rows)), recording


def parts_of_one_class_each(folder: Path) -> tuple[Table, Source]:
    rows = [
        {"path": name, "label": "ab"[number % 2], "start": part, "end": part + 1}
        for number, name in enumerate(files(folder))
        for part in range(PARTS)
    ]
    return read_table(write_rows(folder, rows)), recording


def files_with_copies(folder: Path) -> tuple[Table, Source]:
    names = videos(folder)
    for name in names[::2]:
        shutil.copy(folder / name, folder / f"{name[:3]}-copy.mp4")
    copied = [f"{name[:3]}-copy.mp4" for name in names[::2]]
    rows = [{"path": name, "label": "ab"[number % 2]} for number, name in enumerate([*names, *copied])]
    return read_table(write_rows(folder, rows)), recording


def files_with_links(folder: Path) -> tuple[Table, Source]:
    """Class folders that are filled with links out of one place, as is done to save space."""
    store = folder / "store"
    store.mkdir()
    for number, name in enumerate(videos(store)):
        for label, link in (("ab"[number % 2], os.symlink), ("ba"[number // 2 % 2], os.link)):
            place = folder / "data" / label / f"{name[:3]}-{link.__name__}.mp4"
            place.parent.mkdir(parents=True, exist_ok=True)
            link(store / name, place)
    return read_table(folder / "data"), recording


def folders_of_frames_with_copies(folder: Path) -> tuple[Table, Source]:
    for number in range(RECORDINGS):
        place = folder / "ab"[number % 2] / f"r{number:02d}"
        place.mkdir(parents=True)
        for frame in range(3):
            pixels = picture(10 * number + frame)[0].permute(1, 2, 0).numpy()
            Image.fromarray(pixels).save(place / f"{frame}.png")
        shutil.copytree(place, folder / "ba"[number // 2 % 2] / f"r{number:02d}-copy")
    return read_table(folder), recording


def groups(folder: Path) -> tuple[Table, Source]:
    rows = [
        {"path": name, "label": "ab"[number % 2], "group": f"g{number % 7}"}
        for number, name in enumerate(files(folder, 3 * RECORDINGS))
    ]
    return read_table(write_rows(folder, rows)), group_of


def groups_and_files_of_which_some_are_settled(folder: Path) -> tuple[Table, Source]:
    rows = [
        {
            "path": name,
            "label": "ab"[number // 7 % 2],
            "start": part,
            "end": part + 1,
            "group": f"g{number % 7}",
            "split": ("test" if number % 7 == 5 else "train") if (number, part) in ((5, 0), (6, 2)) else "",
        }
        for number, name in enumerate(files(folder, 3 * RECORDINGS))
        for part in range(2)
    ]
    return read_table(write_rows(folder, rows)), group_of


def kinetics(folder: Path) -> tuple[Table, Source]:
    """Whole videos of which several parts are annotated."""
    names = files(folder)
    rows = [
        {"label": random.Random(f"{name}{part}").choice("ab"), "youtube_id": name[:3], "time_start": 10 * part}
        | {"time_end": 10 * part + 10}
        for name in names
        for part in range(PARTS)
    ]
    return read_table(write_rows(folder, rows, "kinetics.csv"), format="kinetics"), recording


def epic(folder: Path) -> tuple[Table, Source]:
    for number in range(RECORDINGS):
        (folder / f"P{number // 2:02d}_0{number % 2}.mp4").write_bytes(bytes([number]) * 9)
    rows = [
        {
            "participant_id": f"P{number // 2:02d}",
            "video_id": f"P{number // 2:02d}_0{number % 2}",
            "start_timestamp": f"00:00:0{part}.00",
            "stop_timestamp": f"00:00:0{part}.90",
            "verb_class": random.Random(f"{number}{part}").choice("01"),
            "noun_class": random.Random(f"noun{number}{part}").choice("01"),
        }
        for number in range(RECORDINGS)
        for part in range(PARTS)
    ]
    return read_table(write_rows(folder, rows, "EPIC_100_all.csv"), format="epic"), group_of


def shards(folder: Path) -> tuple[Table, Source]:
    """What `tubelet data prepare` makes of parts, copies and links."""
    rows: list[dict[str, object]] = []
    for number, name in enumerate(videos(folder)):
        shutil.copy(folder / name, folder / f"r{number:02d}-copy.mp4")
        os.symlink(name, folder / f"r{number:02d}-link.mp4")
        for kind, start, end in (("", 0, 1), ("", 1, 2), ("-copy", 0, 2), ("-link", 0, 1)):
            label = random.Random(f"{number}{kind}{start}").choice("ab")
            rows.append({"path": f"r{number:02d}{kind}.mp4", "label": label, "start": start, "end": end})
    table = read_table(write_rows(folder, rows))
    prepare(table, folder / "shards", ShardConfig(short_side=32, shard_megabytes=0.01), workers=2)
    return read_table(folder / "shards"), recording


DATA = [
    parts_of_files,
    parts_of_one_class_each,
    files_with_copies,
    files_with_links,
    folders_of_frames_with_copies,
    groups,
    groups_and_files_of_which_some_are_settled,
    kinetics,
    epic,
    shards,
]


def assert_independent(table: Table, source: Source, what: str) -> None:
    """No recording (or group) is in two splits, and there is something to learn from and to validate on."""
    found: dict[str, set[str | None]] = {}
    for sample in table.samples:
        found.setdefault(source(sample), set()).add(sample.split)
    torn = {name: splits for name, splits in found.items() if len(splits) > 1}
    assert not torn, f"{what}: on both sides: {torn}"
    assert {"train", "val"} <= set(table.splits), what


@pytest.mark.parametrize("made", DATA, ids=lambda made: made.__name__)
def test_no_recording_is_on_both_sides(made: Callable[[Path], tuple[Table, Source]], tmp_path: Path) -> None:
    table, source = made(tmp_path)
    for seed in range(3):
        divided = assign_splits(table, seed=seed)
        assert_independent(divided, source, f"assign_splits, seed {seed}")
        three = assign_splits(table, {"train": 0.6, "val": 0.2, "test": 0.2}, seed=seed)
        assert_independent(three, source, f"three splits, seed {seed}")
        train = divided.split("train")
        assert_independent(hold_out(train, fraction=0.3, seed=seed), source, f"hold_out, seed {seed}")
        config = TrainConfig(seed=seed, validation=ValidationConfig(hold_out=0.3))
        assert_independent(divide(table, config).table, source, f"training with hold_out, seed {seed}")


def test_a_study_divides_no_recording(tmp_path: Path) -> None:
    parts_of_files(tmp_path)
    data = DataConfig(source=str(tmp_path / "table.csv"), fractions={"train": 0.5, "val": 0.25, "test": 0.25})
    for seed in range(3):
        table = study_table(TrainConfig(seed=seed, data=data), None, "train", None)
        assert_independent(table, recording, f"seed {seed}")


# --- and with pictures -----------------------------------------------------------------------------------------------


def picture(number: int) -> torch.Tensor:
    """Noise uint8 [1, 3, 32, 32] that is like no other, and survives an encoder."""
    coarse = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(number))
    return (torch.nn.functional.interpolate(coarse, (32, 32)) * 255).to(torch.uint8)


def nearest_neighbour_accuracy(table: Table, pictures: dict[tuple[str, float | None], torch.Tensor]) -> float:
    """Share of the validation videos whose most similar training video has the same label."""

    def of(split: str) -> tuple[torch.Tensor, torch.Tensor]:
        samples = table.split(split).samples
        shown = torch.stack([pictures[sample.path, sample.start] for sample in samples])
        return shown, torch.tensor([sample.labels["label"] for sample in samples])

    (seen, labels), (asked, expected) = of("train"), of("val")
    return (labels[torch.cdist(asked, seen).argmin(dim=1)] == expected).double().mean().item()


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> tuple[Table, dict[tuple[str, float | None], torch.Tensor]]:
    """Parts of 24 recordings, some of them in copies of the file, with labels that the pictures do not hold."""
    folder = tmp_path_factory.mktemp("noise")
    rows: list[dict[str, object]] = []
    for number in range(24):
        name = f"r{number:02d}.mp4"
        write_video(folder / name, picture(number).repeat(8, 1, 1, 1), 2.0, preset="ultrafast")
        if number % 4 == 0:
            shutil.copy(folder / name, folder / f"r{number:02d}-copy.mp4")
        rows += [
            {"path": f"r{number:02d}-copy.mp4" if part == 2 and number % 4 == 0 else name, "label": "ab"[number % 2]}
            | {"start": part, "end": part + 1}
            for part in range(4)
        ]
    table = read_table(write_rows(folder, rows))
    whole = {path: read_video(path).frames.float() for path in {sample.path for sample in table.samples}}
    return table, {(s.path, s.start): whole[s.path][int(2 * (s.start or 0))].flatten() for s in table.samples}


def test_a_classifier_on_pixels_is_at_chance(
    noise: tuple[Table, dict[tuple[str, float | None], torch.Tensor]],
) -> None:
    table, pictures = noise
    rows = table.with_splits(lambda sample: "val" if sample.start == 3.0 else "train")
    assert nearest_neighbour_accuracy(rows, pictures) == 1, "the mistake that this test looks for can be seen"
    figures = [nearest_neighbour_accuracy(assign_splits(table, seed=seed), pictures) for seed in range(10)]
    assert sum(figures) / len(figures) < 0.7, "chance is 0.5"
    bare = replace(table, samples=tuple(replace(sample, group=None) for sample in table.samples))
    held = [nearest_neighbour_accuracy(hold_out(bare, fraction=0.3, seed=seed), pictures) for seed in range(10)]
    assert sum(held) / len(held) < 0.7, "chance is 0.5"
