"""The direction of imports, and what `import tubelet` and `tubelet --help` may cost."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

import tubelet

CHECKOUT = Path(__file__).resolve().parents[2]
HEAVY = ("av", "einops", "jaxtyping", "matplotlib", "numpy", "scipy", "torch", "torchvision")
HELP = "import sys; sys.argv = ['tubelet', '--help']; from tubelet.cli.main import main; sys.exit(main())"


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh python that finds this checkout's package; the caller looks at the exit status."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT / "src", capture_output=True, text=True, timeout=240, check=False
    )


def heavy_modules_after(code: str) -> list[str]:
    """The heavy packages that a fresh python has loaded after running `code`."""
    report = f"import json, sys; print('\\n' + json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    done = run_python(f"try:\n    {code}\nexcept SystemExit as end:\n    assert not end.code, end.code\n{report}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_imports_go_in_one_direction(capsys: pytest.CaptureFixture[str]) -> None:
    passed = lint_imports(config_filename=str(CHECKOUT / "pyproject.toml"), no_cache=True) == 0
    assert passed, capsys.readouterr().out


def test_importing_tubelet_loads_nothing_heavy() -> None:
    assert heavy_modules_after("import tubelet; tubelet.__version__, dir(tubelet)") == []


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    assert heavy_modules_after("import tubelet.cli.main") == []


def test_help_loads_nothing_heavy() -> None:
    assert heavy_modules_after(HELP) == []


@pytest.mark.skipif(os.name != "posix", reason="the time of child processes is counted by POSIX systems")
def test_help_takes_less_than_half_a_second_of_the_processor() -> None:
    """Not by the clock, which other processes slow down."""

    def seconds() -> float:
        before = os.times()
        done = run_python(HELP)
        assert done.returncode == 0, done.stderr
        assert "usage" in done.stdout.lower()
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    seconds()  # writes the bytecode
    assert min(seconds() for _ in range(3)) < 0.5


@pytest.mark.parametrize("name", tubelet.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert name in dir(tubelet)
    assert getattr(tubelet, name) is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process for each package, without importing torch in each")
def test_a_package_that_an_error_or_a_page_names_is_there_before_any_other_is_imported() -> None:
    done = run_python(
        "import os, torch\n"
        "for name in ('config', 'data', 'errors', 'nn', 'report', 'studies', 'video', 'weights'):\n"
        "    if (child := os.fork()) == 0:\n"
        "        import tubelet\n"
        "        assert name in dir(tubelet)\n"
        "        assert getattr(tubelet, name).__doc__\n"
        "        os._exit(0)\n"
        "    assert os.waitpid(child, 0)[1] == 0, name\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["evaluate", "predict", "pretrain", "probe", "train"])
def test_a_verb_is_a_function(name: str) -> None:
    function = getattr(tubelet, name)
    assert inspect.isfunction(function)
    assert function.__name__ == name
    assert f"tubelet.{function.__module__.split('.')[1]}" in sys.modules


@pytest.mark.parametrize(("american", "british"), [("optimize", "optimise"), ("initialize", "initialise")])
def test_american_spellings_are_aliases(american: str, british: str) -> None:
    assert getattr(tubelet, american) is getattr(tubelet, british)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        AttributeError, match=r"'tubelet' has no attribute 'form_pretrained'; did you mean 'from_pretrained'\?"
    ):
        _ = tubelet.form_pretrained
    with pytest.raises(AttributeError, match=r"'tubelet' has no attribute 'zebra'$"):
        _ = tubelet.zebra
