"""The description of the routes is right: requests made out of it get what it says, whatever is in them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from serving_help import Running

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="guarded processes are bounded on Linux")

REFUSED = """\
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "404", "422"]
"""
"""Bytes that no schema calls wrong need be no video, a name no model, and a class none of its classes."""


def test_schemathesis_finds_nothing(served: Running, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(REFUSED)
    words = ["run", f"{served.address}/openapi.json", "--max-examples", "25", "--seed", "1", "--no-color"]
    ran = subprocess.run(
        [Path(sys.executable).parent / "schemathesis", "--config-file", "schemathesis.toml", *words],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=280,
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr
    assert "8 selected / 8 total" in ran.stdout


def test_another_method_is_told_those_that_there_are(served: Running) -> None:
    assert served.client.options("/v1/preview").headers["allow"] == "POST"
    assert served.client.post("/healthz").headers["allow"] == "GET"
    assert served.client.post("/page.js").status_code == 405
