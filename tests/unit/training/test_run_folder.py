"""What a run folder is like: modes, places it can be in, and what becomes of it where the machine refuses."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from reporters import KilledAt, KilledError, Told
from tubelet.config import TrainConfig, override
from tubelet.errors import ConfigError, DataError, InUseError, StorageError, WeightsError
from tubelet.folder_lock import FolderLock
from tubelet.training import SilentReporter, read_events, train
from tubelet.training import checkpoint as checkpoint_module
from tubelet.training import trainer as trainer_module
from tubelet.training.run_folder import RunFolder, appearing
from tubelet.weights import load


@pytest.fixture(params=[0o022, 0o007])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_every_file_of_a_run_may_be_read_by_whom_the_umask_lets(
    clips: Path, tmp_path: Path, tiny: TrainConfig, umask: int
) -> None:
    train(clips, tmp_path / "run", config=override(tiny, epochs=1), reporter=SilentReporter())
    files = [file for file in (tmp_path / "run").rglob("*") if file.is_file()]
    assert {file.name for file in files} >= {"model.safetensors", "state.pt", "config.json", "run.json"}
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in files} == {
        file.name: oct(0o666 & ~umask) for file in files
    }


def test_the_present_folder_can_be_a_run_if_it_is_empty(
    clips: Path, tmp_path: Path, tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train(clips, ".", config=override(tiny, epochs=1), reporter=SilentReporter())
    assert load(tmp_path).config.num_layers == 2
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(("place", "reason"), [("file/run", "is a file"), ("x" * 300, "too long")])
def test_a_place_that_cannot_be_is_an_error_of_one_line(
    clips: Path, tmp_path: Path, tiny: TrainConfig, place: str, reason: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=reason) as raised:
        train(clips, tmp_path / place, config=tiny, reporter=SilentReporter())
    assert str(tmp_path) in str(raised.value)
    assert raised.value.exit_code == 1


@pytest.mark.parametrize("good", [0, 1])
def test_a_full_disk_is_named_and_a_start_that_failed_leaves_no_folder(
    clips: Path, tmp_path: Path, tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch, good: int
) -> None:
    """The first checkpoint cannot be written, or the second one."""
    real, written = torch.save, []

    def full(*args: Any, **kwargs: Any) -> None:
        if len(written) >= good:
            raise RuntimeError("[enforce fail at inline_container.cc:659] . unexpected pos 1944576 vs 1944464")
        written.append(args)
        real(*args, **kwargs)

    monkeypatch.setattr(checkpoint_module.torch, "save", full)
    with pytest.raises(StorageError, match=r"the disk is full .* free"):
        train(clips, tmp_path / "run", config=tiny, reporter=SilentReporter())
    assert list(tmp_path.iterdir()) == []


def test_the_first_checkpoint_comes_early(
    clips: Path, tmp_path: Path, tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "FIRST_CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KilledError):
        train(clips, tmp_path / "run", config=tiny, reporter=KilledAt(2))
    told = Told()
    train(out=tmp_path / "run", resume=True, reporter=told)
    assert "resumed after 0 epochs and 1 steps of the next" in told.messages


def older_version(run: RunFolder) -> None:
    """It kept one checkpoint, and was killed between the two renames."""
    run.last.rename(run.last.with_name("last.previous"))
    shutil.rmtree(run.previous)


def killed(clips: Path, tmp_path: Path, tiny: TrainConfig, step: int = 5) -> RunFolder:
    """A run that was killed after so many steps, of which every one wrote a checkpoint."""
    with pytest.raises(KilledError):
        train(clips, tmp_path / "run", config=override(tiny, checkpoint_steps=1), reporter=KilledAt(step))
    return RunFolder(tmp_path / "run")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


DAMAGE: dict[str, tuple[Callable[[RunFolder], Any], str | None]] = {
    "nothing": (lambda run: None, None),
    "last gone": (lambda run: shutil.rmtree(run.last), "previous"),
    "killed between two renames": (lambda run: run.last.rename(run.last.with_name("last.writing")), "previous"),
    "of an older version": (older_version, None),
    "weights cut": (lambda run: cut(run.last / "model.safetensors"), "previous"),
    "state of something else": (lambda run: torch.save({"position": {"step": 1}}, run.last / "state.pt"), "previous"),
    "two damaged": (lambda run: (cut(run.last / "state.pt"), shutil.rmtree(run.previous)), "best"),
}


@pytest.fixture(scope="module")
def whole(clips: Path, tiny: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights of the run that was not disturbed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return train(clips, out, config=tiny, reporter=SilentReporter()).model.state_dict()


@pytest.fixture(scope="module")
def killed_once(clips: Path, tiny: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A killed run, to be copied."""
    return killed(clips, tmp_path_factory.mktemp("killed"), tiny)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_run_goes_on_from_the_newest_whole_checkpoint_and_ends_as_if_undisturbed(
    tmp_path: Path, whole: dict[str, torch.Tensor], killed_once: RunFolder, damage: str
) -> None:
    run = RunFolder(shutil.copytree(killed_once.path, tmp_path / "run"))
    spoil, used = DAMAGE[damage]
    spoil(run)
    told = Told()
    again = train(out=run.path, resume=True, reporter=told)
    pairs = zip(whole.values(), again.model.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert (used is None) == (not any("goes on from" in message for message in told.messages))
    assert used is None or any(
        f"goes on from {run.path / 'checkpoints' / used}" in message for message in told.messages
    )
    assert sorted(path.name for path in run.last.parent.iterdir()) == ["best", "last", "previous"]
    assert not list(run.path.glob(".*"))


def test_a_run_without_a_whole_checkpoint_names_each_and_stays_as_it_is(
    clips: Path, tmp_path: Path, tiny: TrainConfig
) -> None:
    run = killed(clips, tmp_path, tiny)
    for folder in (run.last, run.previous, run.best):
        cut(folder / "state.pt")
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    with pytest.raises(WeightsError, match=r"no checkpoint to go on from: .*last.*previous.*best"):
        train(out=run.path, resume=True, reporter=SilentReporter())
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("left", [0, 100])
def test_a_log_that_lost_lines_is_told_of_and_stays_readable(
    clips: Path, tmp_path: Path, tiny: TrainConfig, left: int
) -> None:
    run = killed(clips, tmp_path, tiny)
    whole = run.metrics.read_bytes()
    run.metrics.write_bytes(whole[:left]) if left else run.metrics.unlink()
    told = Told()
    train(out=run.path, resume=True, reporter=told)
    assert any("metrics.jsonl is not what it was" in message for message in told.messages)
    assert [event["step"] for event in read_events(run.metrics, "train")] == [5, 6]


def test_a_list_of_videos_that_lost_rows_is_not_gone_on_with(clips: Path, tmp_path: Path, tiny: TrainConfig) -> None:
    run = killed(clips, tmp_path, tiny, step=2)
    rows = run.splits.read_text().splitlines(keepends=True)
    run.splits.write_text("".join(rows[:-2]))
    with pytest.raises(DataError, match=r"splits\.csv lists .* train, .* and the run was given .*: rows are missing"):
        train(out=run.path, resume=True, reporter=SilentReporter())
    run.splits.write_text("".join(rows))
    train(out=run.path, resume=True, reporter=SilentReporter())


@pytest.mark.usefixtures("impatient")
def test_two_processes_do_not_work_in_one_run(clips: Path, tmp_path: Path, tiny: TrainConfig) -> None:
    """The second one says which is there, and changes nothing."""
    raised: list[str] = []

    class Second(SilentReporter):
        def step(self, step: int, text: str) -> None:
            with pytest.raises(InUseError) as error:
                train(out=tmp_path / "run", resume=True, reporter=SilentReporter())
            raised.append(str(error.value))

    train(clips, tmp_path / "run", config=override(tiny, epochs=1), reporter=Second())
    assert len(raised) == 3
    assert f"process {os.getpid()} on {socket.gethostname()}" in raised[0]
    assert len(read_events(tmp_path / "run" / "metrics.jsonl", "train")) == 3
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.usefixtures("impatient")
def test_a_run_that_is_being_prepared_is_not_prepared_twice(tmp_path: Path) -> None:
    out = RunFolder(tmp_path / "run")
    with out.lock, appearing(out) as hidden:
        hidden.run.write_text("{}")
        second = RunFolder(tmp_path / "run")
        with pytest.raises(InUseError, match=f"process {os.getpid()}"), second.lock, appearing(second):
            pass
        assert hidden.run.is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert [path.name for path in out.path.iterdir()] == ["run.json"]


def test_a_start_in_the_present_folder_that_was_killed_on_its_last_steps_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of the run are in their place already, but not `run.json`. A file of somebody else is left alone."""
    monkeypatch.chdir(tmp_path)
    for folder in (".preparing", "checkpoints/last"):
        Path(folder).mkdir(parents=True)
    for file in (".preparing/run.json", ".preparing/splits.csv", "metrics.jsonl", "notes.txt"):
        Path(file).write_text("old")
    with pytest.raises(ConfigError, match="is not a run"), appearing(RunFolder(".")):
        pass
    assert Path("metrics.jsonl").exists()
    Path("notes.txt").unlink()
    out = RunFolder(".")
    with out.lock, appearing(out) as hidden:
        hidden.run.write_text("new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("run.json", "new")]


@pytest.mark.usefixtures("impatient")
def test_a_lock_ends_with_its_process_also_where_a_child_lives_on(tmp_path: Path) -> None:
    """A loader's workers live for seconds after a training was killed."""
    code = (
        "import os, sys, time; from pathlib import Path; from tubelet.folder_lock import FolderLock\n"
        "FolderLock().hold(Path(sys.argv[1]))\n"
        "if os.fork() == 0: print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with FolderLock() as lock, pytest.raises(InUseError, match=f"process {process.pid} on"):
            lock.hold(tmp_path)
        process.kill()
        process.wait()
        with FolderLock() as lock:
            lock.hold(tmp_path)
        assert list(tmp_path.iterdir()) == []
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("how", ["removed", "renamed"])
def test_a_training_whose_folder_is_gone_ends_with_an_error(
    clips: Path, tmp_path: Path, tiny: TrainConfig, how: str
) -> None:
    class Gone(SilentReporter):
        def step(self, step: int, text: str) -> None:
            if step == 4 and how == "removed":
                shutil.rmtree(tmp_path / "run")
            elif step == 4:
                (tmp_path / "run").rename(tmp_path / "elsewhere")

    with pytest.raises(StorageError, match=r"run was removed or renamed.*--resume"):
        train(clips, tmp_path / "run", config=tiny, reporter=Gone())
    assert not (tmp_path / "run").exists()
    if how == "renamed":
        train(out=tmp_path / "elsewhere", resume=True, reporter=SilentReporter())
