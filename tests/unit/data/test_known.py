"""Which videos of a data set a model knows: by path, by content, and in part."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tubelet.data import Sample, Table, content_key, known, prepare, read_table
from tubelet.data.known import known_videos, select_unlearned, uses_of, with_known_splits
from tubelet.errors import DataError
from tubelet.evaluation.known_videos import KnownVideos
from tubelet.provenance import Provenance, Use


def files(folder: Path, *names: str) -> list[str]:
    """Files whose content is their name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(name)
    return [str(folder / name) for name in names]


def table(*samples: Sample) -> Table:
    return Table(samples, {"label": ["x"]}, "/")


def sample(path: str, split: str | None = None, start: float | None = None, end: float | None = None) -> Sample:
    return Sample(path, {"label": 0}, start, end, split)


def learned(samples: Table, run: str = "run", chooses: str | None = "val") -> Provenance:
    return Provenance().followed_by(run, known_videos(samples, run=run, chooses=chooses))


def test_a_video_is_known_where_it_was_and_wherever_it_was_copied_to(tmp_path: Path) -> None:
    train, val, test, new = files(tmp_path / "here", "train", "val", "test", "new")
    chain = learned(table(sample(train, "train"), sample(val, "val"), sample(test, "test")))
    (tmp_path / "there").mkdir()
    for name in ("train", "val", "new"):
        shutil.copy(tmp_path / "here" / name, tmp_path / "there" / f"renamed-{name}")
    (tmp_path / "link").symlink_to(train)
    paths = [train, val, test, new, *(str(tmp_path / "there" / f"renamed-{n}") for n in ("train", "val", "new"))]
    uses = uses_of(table(*map(sample, paths), sample(str(tmp_path / "link"))), chain)
    assert uses == ["learned", "chose", "held_out", None, "learned", "chose", None, "learned"]


def test_a_video_that_is_gone_is_known_by_its_path_and_one_that_was_replaced_too(tmp_path: Path) -> None:
    gone, replaced = files(tmp_path, "gone", "replaced")
    chain = learned(table(sample(gone, "train"), sample(replaced, "train")))
    Path(gone).unlink()
    Path(replaced).write_text("another encoding of it")
    assert uses_of(table(sample(gone), sample(replaced)), chain) == ["learned", "learned"]


@pytest.mark.parametrize(
    ("part", "use"),
    [
        ((0.0, 2.0), "learned"),  # the part that was trained on
        ((4.0, 6.0), "chose"),  # the part that was validated on
        ((1.0, 3.0), "learned"),  # half of it was trained on
        ((8.0, 9.0), "learned"),  # neither, but another moment of a video that was trained on
        ((None, None), "learned"),  # all of it
    ],
)
def test_parts_of_a_video(tmp_path: Path, part: tuple[float | None, float | None], use: Use) -> None:
    (path,) = files(tmp_path, "video")
    chain = learned(table(sample(path, "train", 0.0, 2.0), sample(path, "val", 4.0, 6.0)))
    assert uses_of(table(sample(path, None, *part)), chain) == [use]


def test_what_an_earlier_run_learned_from_counts_most(tmp_path: Path) -> None:
    paths = files(tmp_path, "one", "two")
    before = learned(table(sample(paths[0], "train")), "pretraining")
    chain = before.followed_by(
        "run", known_videos(table(sample(paths[0], "test"), sample(paths[1], "train")), run="run", chooses=None)
    )
    assert uses_of(table(*map(sample, paths)), chain) == ["learned", "learned"]


def test_a_run_that_keeps_its_last_weights_chose_nothing(tmp_path: Path) -> None:
    (path,) = files(tmp_path, "video")
    chain = learned(table(sample(path, "val")), chooses=None)
    assert uses_of(table(sample(path)), chain) == ["held_out"]


def test_a_moved_data_set_gets_its_splits_again_and_new_videos_none(tmp_path: Path) -> None:
    paths = files(tmp_path / "clips" / "x", "a.mp4", "b.mp4", "c.mp4")
    chain = learned(table(*(sample(path, split) for path, split in zip(paths, ("train", "val", "test"), strict=True))))
    shutil.move(tmp_path / "clips", tmp_path / "elsewhere")
    files(tmp_path / "elsewhere" / "x", "d.mp4")
    found = with_known_splits(read_table(tmp_path / "elsewhere"), chain)
    assert {Path(one.path).name: one.split for one in found.samples} == {
        "a.mp4": "train",
        "b.mp4": "val",
        "c.mp4": "test",
        "d.mp4": None,
    }


def test_splits_that_the_data_has_are_not_touched(tmp_path: Path) -> None:
    (path,) = files(tmp_path, "video")
    given = table(sample(path, "test"))
    assert with_known_splits(given, learned(table(sample(path, "train")))) is given


def test_learned_videos_are_left_out_unless_they_are_asked_for_by_name(tmp_path: Path) -> None:
    paths = files(tmp_path, "a", "b", "c")
    chain = learned(table(sample(paths[0], "train"), sample(paths[1], "val")))
    data = table(*map(sample, paths))
    chosen = select_unlearned(data, chain)
    assert [one.path for one in chosen.table.samples] == paths[1:]
    assert (chosen.left_out, chosen.uses, chosen.unknown) == (1, ("chose", None), None)
    everything = select_unlearned(data, chain, include_learned=True)
    assert (everything.left_out, everything.uses.count("learned"), everything.uses.count("chose")) == (0, 1, 1)
    by_name = select_unlearned(data, chain, split="training")
    assert ([one.path for one in by_name.table.samples], by_name.uses) == (paths[:1], ("learned",))
    with pytest.raises(DataError, match="learned from all 1 videos of 'test'"):
        select_unlearned(table(sample(paths[0], "test")), chain, split="test")


def test_data_that_was_moved_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = learned(table(*(sample(path, "train") for path in files(tmp_path / "here", "a", "b"))))
    opened: list[str] = []
    monkeypatch.setattr(known, "content_key", lambda path: (opened.append(path), content_key(path))[1])
    there = files(tmp_path / "there", "a", "b", "new")
    assert select_unlearned(table(*map(sample, there)), chain, include_learned=True).uses == ("learned",) * 2 + (None,)
    assert sorted(opened) == there


def test_what_cannot_be_known_is_said(tmp_path: Path) -> None:
    (path,) = files(tmp_path, "video")
    nothing = select_unlearned(table(sample(path)), None)
    assert nothing.unknown is not None
    assert KnownVideos.counted(nothing.uses, nothing.left_out, nothing.unknown).learned_from is None
    partly = select_unlearned(table(sample(path)), Provenance(unknown=("google/vivit",)))
    assert partly.unknown is not None
    assert "google/vivit" in partly.unknown


def test_a_video_in_shards_is_known_by_what_it_was_encoded_from(folder: Path, tmp_path: Path) -> None:
    loose = read_table(folder)
    prepare(loose, tmp_path / "shards")
    shards = read_table(tmp_path / "shards")
    count = len(loose)
    assert uses_of(shards, learned(loose.with_splits(lambda _: "train"))) == ["learned"] * count
    assert uses_of(loose, learned(shards.with_splits(lambda _: "train"))) == ["learned"] * count
