"""A proven corpus becomes a data set of Lance: row for row, with vectors that it can search.

Lance stays in processes of its own: once imported, it warns at every fork of the process.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from own_process import run
from tubelet.corpus import check, convert
from tubelet.errors import ConfigError, DataError

READ = """
import sys
import lance, numpy
from pyarrow import dataset
from tubelet.cli.main import main
from tubelet.corpus import convert
from tubelet.errors import StorageError

corpus, result, *files = sys.argv[1:]
assert main(["corpus", "convert", corpus, result, "--to", "lance"]) == 0
rows = lance.dataset(result).to_table()
assert rows.to_pylist() == dataset.dataset(files).to_table().to_pylist()
vector = numpy.asarray(rows["embedding"][0].as_py(), numpy.float16)
nearest = {"column": "embedding", "q": vector, "k": 1, "metric": "cosine"}
found = lance.dataset(result).to_table(nearest=nearest, columns=["id", "label"]).to_pylist()
assert found[0]["label"] == rows["label"][0].as_py(), found
try:
    convert(corpus, files[0] + "/below.lance")
except StorageError as error:
    assert "cannot write" in str(error)
else:
    raise AssertionError
"""


def test_lance_has_the_rows_and_finds_vectors(corpus: Path, tmp_path: Path) -> None:
    assert check(str(corpus), page=False).ok
    result = tmp_path / "rows.lance"
    run("-c", READ, str(corpus), str(result), *map(str, sorted(corpus.glob("part-*.parquet"))))
    assert [path.name for path in tmp_path.iterdir() if path != corpus] == ["rows.lance"]


def test_only_what_is_proven_is_converted_and_nothing_is_overwritten(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not proven"):
        convert(corpus, tmp_path / "rows.lance")
    check(str(corpus), page=False)
    with pytest.raises(ConfigError, match="exists and is not overwritten"):
        convert(corpus, tmp_path)
    with pytest.raises(ConfigError, match="expected lance"):
        convert(corpus, tmp_path / "rows", "parquet")
