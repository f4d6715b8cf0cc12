"""The rows of a proven corpus in the format of a vector database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import pyarrow

from tubelet.corpus.checking import SUCCESS_FILE
from tubelet.corpus.parts import metadata_of, read_parts, schema_of
from tubelet.corpus.plan import read_plan
from tubelet.corpus.store import open_store
from tubelet.errors import ConfigError, DataError, StorageError
from tubelet.files import replacing_folder


def convert(out: str | os.PathLike[str], result: str | os.PathLike[str], to: Literal["lance"] = "lance") -> int:
    """Write the rows of a corpus, in the order of their ids, as a data set of Lance, which LanceDB opens as a table.

    Args:
        out: folder or URL of `tubelet.corpus.run`, proven by `tubelet.corpus.check`.
        result: a folder that is not there yet.
        to: the format.

    Returns:
        how many rows.

    Raises:
        ConfigError: `result` exists, or pylance is not installed.
        DataError: no such corpus, or it is not proven.
        StorageError: `result` cannot be written.
    """
    if to != "lance":
        raise ConfigError(f"to={to!r}: expected lance; Parquet is what a corpus consists of already")
    store = open_store(out)
    plan = read_plan(store)
    if SUCCESS_FILE not in store.names():
        raise DataError(f"{store.address} is not proven: no {SUCCESS_FILE}; run `tubelet corpus check` first")
    place = Path(result).absolute()
    if place.exists():
        raise ConfigError(f"{result} exists and is not overwritten; name another folder, or delete it")
    try:
        import lance
    except ImportError as error:
        raise ConfigError("the format lance needs pylance: pip install 'tubelet[lance]'") from error
    stated = {name: value for name, value in metadata_of(plan, 0).items() if name != "tubelet.task"}
    schema = schema_of(plan).with_metadata(stated)
    batches = (batch for part in read_parts(store, plan) for batch in part.replace_schema_metadata(stated).to_batches())
    try:
        with replacing_folder(place) as partial:
            lance.write_dataset(pyarrow.RecordBatchReader.from_batches(schema, batches), str(partial))
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"cannot write {place}: {' '.join(str(error).split())[:300]}") from error  # of Lance
    return plan.videos
