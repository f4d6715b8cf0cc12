"""JSON in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tubelet.errors import ConfigError, DataError
from tubelet.json_files import dump_json, parse_json, read_json_lines, read_json_object

ODD = "a\u2028b\u2029c\x85d\udcff é"
"""Line separators of other programs, a byte that is no UTF-8, an accent."""


def test_any_name_makes_one_line_of_utf8_and_comes_back(tmp_path: Path) -> None:
    text = dump_json({"name": ODD})
    assert len(text.splitlines()) == 1
    assert "é" in text
    (tmp_path / "x.jsonl").write_text(text + "\n\n" + text + "\n", encoding="utf-8")
    assert read_json_lines(tmp_path / "x.jsonl") == [(1, {"name": ODD}), (3, {"name": ODD})]


@pytest.mark.parametrize(
    ("text", "strict", "message"),
    [
        (b"\xff\xfe{", False, "is UTF-16 text"),
        (b'{"a":\n"\xe9"}', False, r"line 2 is not UTF-8 text \(byte 0xe9\)"),
        ("[" * 100_000, False, "nested too deeply"),
        ("{", False, "not JSON"),
        ('{"a": NaN}', True, "NaN is no JSON"),
        ('{"a": 1, "a": 2}', True, "has the key 'a' twice"),
    ],
)
def test_what_is_no_json_is_an_error_with_its_place_and_advice(text: Any, strict: bool, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^x\.json: .*{message}.*; write it again$"):
        parse_json(text, "x.json", strict=strict, advice="write it again", error=ConfigError)


def test_an_unfinished_last_line_is_left_out_if_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n{"a": ')
    assert read_json_lines(path, unfinished=True) == [(1, {"a": 1})]
    with pytest.raises(DataError, match=r"x\.jsonl line 2: not JSON"):
        read_json_lines(path)


def test_an_object_is_expected_and_files_far_too_large_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps([1]))
    with pytest.raises(DataError, match="expected a JSON object, got list"):
        read_json_object(path)
    monkeypatch.setattr("tubelet.json_files.LARGEST", 2)
    with pytest.raises(DataError, match="3 bytes are too many"):
        read_json_object(path)
    with pytest.raises(DataError, match=r"y\.json: cannot be read \(No such file"):
        read_json_object(tmp_path / "y.json")
