"""The dispatcher: what it says when asked, when misspoken to, and when something goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from tubelet.cli import main as command
from tubelet.errors import DataError

SOURCE = Path(command.__file__).resolve().parents[2]


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tubelet", *words],
        cwd=SOURCE,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verb `fail` that raises whatever `errors` says."""

    def dispatch(words: list[str]) -> int:
        raise ERRORS[words[0]]

    monkeypatch.setattr(command, "_dispatch", dispatch)


ERRORS: dict[str, BaseException] = {
    "data": DataError("no videos in x;\nname another folder"),
    "defect": RuntimeError("oh dear"),
    "interrupt": KeyboardInterrupt(),
}


def test_help_lists_every_verb_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--help"]) == 0
    text = capsys.readouterr().out
    for name, verb in command.VERBS.items():
        assert f"  {name} " in text
        assert verb.help in text
    assert "exit codes" in text


def test_without_a_verb_the_help_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "verbs:" in captured.err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["modles"], "did you mean 'models'?"),
        (["data", "chekc"], "did you mean 'check'?"),
        (["data"], "needs one more word: check, preview"),
        (["--hepl"], "did you mean"),
    ],
)
def test_a_misspelt_verb_names_the_nearest(words: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    if words == ["--hepl"]:
        hint = "unknown option '--hepl'"
    assert command.main(words) == 2
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize("verb", list(command.VERBS))
def test_every_verb_has_help_and_json(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([*verb.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert f"tubelet {verb}" in text
    assert "--json" in text


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (["train", "clips", "--epcohs", "3"], "--epochs"),
        (["predict", "run", "a.mp4", "--tpo", "3"], "--top"),
        (["evaluate", "run", "--vews", "4x3"], "--views"),
        (["data", "check", "clips", "--thorogh"], "--thorough"),
    ],
)
def test_a_misspelt_flag_names_the_nearest(
    words: list[str], nearest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips").mkdir()
    assert command.main(words) == 2
    assert nearest in capsys.readouterr().err


def test_help_verb_is_the_help_of_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["help", "predict"]) == 0
    assert "tubelet predict" in capsys.readouterr().out


@pytest.mark.usefixtures("failing")
def test_an_error_of_ours_is_one_line_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["data"]) == 2
    assert capsys.readouterr().err == "tubelet: error: no videos in x; name another folder\n"


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize("by_variable", [True, False])
def test_a_traceback_comes_on_request(
    by_variable: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_variable:
        monkeypatch.setenv("TUBELET_TRACEBACK", "1")
    assert command.main(["data"] if by_variable else ["data", "--traceback"]) == 2
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert "tubelet: error: no videos in x" in text


@pytest.mark.usefixtures("failing")
def test_a_defect_is_code_1_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["defect"]) == 1
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert "unexpected RuntimeError: oh dear" in text


@pytest.mark.usefixtures("failing")
def test_ctrl_c_is_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["interrupt"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_stopped_training_says_how_to_go_on_and_which_signal_it_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tubelet.training import TrainingInterrupted

    def dispatch(words: list[str]) -> int:
        raise TrainingInterrupted("stopped after step 3; go on with --resume", 15)

    monkeypatch.setattr(command, "_dispatch", dispatch)
    assert command.main(["train"]) == 143
    assert "go on with --resume" in capsys.readouterr().err


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    shell = f"{sys.executable} -m tubelet models | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], cwd=SOURCE, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 141)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1


def test_colours_are_left_out_where_they_are_not_wanted() -> None:
    done = run("models", "vivit_base_*", NO_COLOR="1", FORCE_COLOR="")
    assert done.returncode == 0
    assert "\x1b[" not in done.stdout
    assert "vivit_base_16x2_fe " in done.stdout


def test_a_terminal_that_knows_ascii_alone_does_not_end_it(tmp_path: Path) -> None:
    name = str(tmp_path / "vidéo–1.mp4")
    done = run("predict", str(tmp_path), name, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("tubelet: error:")


def test_a_verb_is_imported_only_when_it_is_called() -> None:
    code = (
        "import sys; from tubelet.cli.main import main; main(['models', '--json', 'vivit_tiny_16x2']);"
        "heavy = [name for name in ('torch', 'av', 'matplotlib') if name in sys.modules];"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=SOURCE, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_verb_with_its_own_parser_gets_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    from tubelet.cli import arguments

    seen: dict[str, object] = {}

    def parse(words: list[str], prog: str) -> arguments.CommonOptions:
        seen.update(words=words, prog=prog)
        return arguments.CommonOptions(json=True)

    def run_it(options: arguments.CommonOptions, output: object) -> int:
        return 7 if options.json else 0

    module = types.SimpleNamespace(parse=parse, run=run_it)
    assert arguments.run_verb("x", module, ["a", "b"]) == 7
    assert seen == {"words": ["a", "b"], "prog": "tubelet x"}
