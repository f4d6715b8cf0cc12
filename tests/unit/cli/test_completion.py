"""Completion in a shell: what bash offers at the end of a line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tubelet.cli.main import main
from tubelet.cli.verbs import VERBS

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")

ASK = """
source "$1"
read -ra COMP_WORDS <<< "$2"
[[ $2 == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
_tubelet
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    capture = pytest.MonkeyPatch()
    file = tmp_path_factory.mktemp("completion") / "tubelet"
    with file.open("w", encoding="utf-8") as stream, capture.context() as patch:
        patch.setattr("sys.stdout", stream)
        assert main(["completion", "bash"]) == 0
    return file


def offered(script: Path, line: str) -> list[str]:
    done = subprocess.run(["bash", "-c", ASK, "bash", str(script), line], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""
    return done.stdout.split()


def test_verbs_of_one_word_and_of_two(script: Path) -> None:
    assert {name.split()[0] for name in VERBS} < set(offered(script, "tubelet "))
    assert offered(script, "tubelet pred") == ["predict"]
    assert offered(script, "tubelet corpus se") == ["search", "select"]


def test_flags_of_the_verb_and_of_a_training(script: Path) -> None:
    assert offered(script, "tubelet predict runs/mine --vi") == ["--views"]
    assert offered(script, "tubelet corpus run runs/mine lake/ --emb") == ["--embed"]
    assert offered(script, "tubelet train clips/ --learning-r") == ["--learning-rate"]
    assert offered(script, "tubelet export runs/mine --vi") == []


def test_the_words_that_a_flag_chooses_from(script: Path) -> None:
    assert offered(script, "tubelet predict --precision b") == ["bfloat16"]
    assert set(offered(script, "tubelet train --optimiser ")) == {"adamw", "sgd"}


def test_files_where_nothing_else_fits(script: Path) -> None:
    assert offered(script, "tubelet predict ") == []  # `complete -o default`: bash offers files
    assert "complete -o default" in script.read_text(encoding="utf-8")
