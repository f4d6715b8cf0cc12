"""The container: no root, nothing copied that is not there, and words that `tubelet serve` takes."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from tubelet.cli.arguments import parse
from tubelet.cli.serve import Options

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage of the Dockerfile."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: list[list[tuple[str, str]]] = []
    for line in filter(None, text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["tubelet"])


def test_the_image_is_slim_and_runs_without_root(stages: list[list[tuple[str, str]]]) -> None:
    last = dict(stages[-1])
    assert last["FROM"].endswith("-slim")
    assert int(last["USER"]) > 0
    assert "pip install" not in str(stages[-1])
    assert json.loads(last["ENTRYPOINT"]) == ["tubelet", "serve"]  # no shell, which would keep SIGTERM


def test_what_it_copies_is_there_and_not_ignored(stages: list[list[tuple[str, str]]]) -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copies = [rest.split()[:-1] for word, rest in stages[0] if word == "COPY"]
    for name in (name for names in copies for name in names):
        assert (ROOT / name).exists()
        assert any(fnmatch(name, one) for one in kept), name


def test_its_question_after_health_is_python(stages: list[list[tuple[str, str]]]) -> None:
    words = json.loads(dict(stages[-1])["HEALTHCHECK"].partition("CMD ")[2])
    assert words[:2] == ["python", "-c"]
    compile(words[2], "healthcheck", "exec")


def test_compose_starts_it_with_words_that_it_takes(service: dict[str, Any]) -> None:
    options = parse(Options, service["command"], prog="tubelet serve")
    assert options.host == "0.0.0.0"
    assert str(options.key_file) == "/run/secrets/key"
    assert service["ports"] == [f"127.0.0.1:{options.port}:{options.port}"]
    assert any(volume.endswith(f"{options.models[0].partition('=')[2]}:ro") for volume in service["volumes"])


def test_compose_gives_it_no_more_than_it_needs(service: dict[str, Any]) -> None:
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    grace = int(service["stop_grace_period"].removesuffix("s"))
    assert grace >= 60 + 120 + 10  # deadline, upload, spare: `tubelet.serving.server`
