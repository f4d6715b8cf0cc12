"""A model over a million videos: resumable, and provably without a loss. It needs `tubelet[corpus]`."""

from importlib.util import find_spec

from tubelet.errors import ConfigError

if find_spec("pyarrow") is None:
    raise ConfigError("a corpus is a folder of Parquet files, which needs pyarrow: pip install 'tubelet[corpus]'")

from tubelet.corpus.checking import Summary, check  # it imports pyarrow
from tubelet.corpus.converting import convert
from tubelet.corpus.labels import Agreement, compare_labels, select
from tubelet.corpus.retrieval import Retrieval, retrieval
from tubelet.corpus.running import run
from tubelet.corpus.searching import Match, duplicates, search

__all__ = [
    "Agreement",
    "Match",
    "Retrieval",
    "Summary",
    "check",
    "compare_labels",
    "convert",
    "duplicates",
    "retrieval",
    "run",
    "search",
    "select",
]
