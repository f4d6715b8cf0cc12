"""Text that is printed."""

from __future__ import annotations

import time

import pytest

from tubelet.cli.main import main
from tubelet.text import as_message, one_line, shortened


def test_long_names_lose_their_middle_and_short_ones_nothing() -> None:
    assert one_line("the file /a/b.mp4\nis gone") == "the file /a/b.mp4 is gone"
    name = "start" + "x" * 60_000 + "end"
    said = one_line(f"no column {name!r}; did you mean 'x'?")
    assert len(said) < 400
    assert "start" in said and "end'; did you mean 'x'?" in said and "59,7" in said  # noqa: PT018
    assert shortened("a " * 5000) == "a " * 5000
    assert len(one_line("a " * 50_000)) < 9000


def test_an_error_does_not_repeat_a_long_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["y" * 60_000 + "\x1b[31m"]) == 2
    said = capsys.readouterr().err
    assert len(said) < 3000
    assert "\x1b" not in said


@pytest.mark.parametrize(
    "name", ["a" * 100_000, "a:/" * 30_000, "a:/?" + ":" * 100_000 + "x", "a:/b" * 20_000 + "@c", "@" * 100_000]
)
def test_a_huge_name_in_an_error_takes_no_time(name: str) -> None:
    begun = time.process_time()
    assert len(as_message(f"not a whole file: {name} is damaged")) < 5000
    assert time.process_time() - begun < 1.0


def test_a_huge_address_shows_no_password() -> None:
    assert "secret" not in as_message(f"cannot open rtsp://user:secret{'x' * 10_000}@host/door")
