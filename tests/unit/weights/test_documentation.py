"""docs/weights.md names the test behind every row: each must be there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
DOCUMENT = TESTS.parent / "docs" / "weights.md"


def test_every_test_that_the_document_names_exists() -> None:
    code: dict[str, str] = {}
    for file in TESTS.rglob("test_*.py"):  # two of a name, a unit test's and a parity test's, count as one
        code[file.name] = code.get(file.name, "") + file.read_text(encoding="utf-8")
    everything = "\n".join(code.values())
    named = set(re.findall(r"`([^`]*\btest_[^`]*|[^`]*::Test[^`]*)`", DOCUMENT.read_text(encoding="utf-8")))
    assert len(named) > 20
    for name in named:
        where, *rest = name.rpartition("/")[2].split("::")
        if where.endswith(".py"):
            assert where in code, f"{name}: no such file of tests"
        elif where not in ("", "…"):  # short for the file named before
            rest = [where]
        for part in filter(None, rest):
            defined = re.search(rf"(def|class) {re.escape(part.partition('[')[0])}\b", code.get(where, everything))
            assert defined, f"{name}: no test of that name"
