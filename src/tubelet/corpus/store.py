"""The folder of a corpus: on a disk, or in an object store (fsspec)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any, Protocol

from tubelet.errors import ConfigError, DataError
from tubelet.files import replacing_shared, storage_errors
from tubelet.video.live import is_address


class Store(Protocol):
    """Named files, each written whole or not at all.

    Attributes:
        address: a path, or the URL of a folder in an object store.
    """

    address: str

    def names(self) -> set[str]:
        """Of all files."""

    def open(self, name: str) -> IO[bytes]:
        """A file, to be read at any place. An OSError if it is not there."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file. A StorageError if it cannot be written."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""


def open_store(address: str | os.PathLike[str], *, make: bool = False) -> Store:
    """The store at an address.

    Args:
        address: a path, or a URL (`s3://bucket/folder`).
        make: make a folder that is not there.

    Raises:
        DataError: there is no such folder.
        StorageError: it cannot be made.
    """
    name = os.fspath(address).removeprefix("file://")
    return ObjectStore(name) if is_address(name) else FolderStore(name, make)


class FolderStore:
    """A folder."""

    def __init__(self, folder: str, make: bool) -> None:
        self._folder = Path(folder).absolute()
        self.address = str(self._folder)
        if make:
            with storage_errors(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)
        elif not self._folder.is_dir():
            raise DataError(f"{folder}: no such folder; expected the --out of `tubelet corpus run`")

    def names(self) -> set[str]:
        return set(os.listdir(self._folder))

    def open(self, name: str) -> IO[bytes]:
        return (self._folder / name).open("rb")

    def write(self, name: str, data: bytes) -> None:
        with replacing_shared(self._folder / name) as partial:
            partial.write_bytes(data)

    def remove(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)


class ObjectStore:
    """A folder of an object store, where a file is put in one request and is there when that ends."""

    def __init__(self, url: str) -> None:
        self._files, self._folder = file_system(url.rstrip("/"))
        self.address = url

    def names(self) -> set[str]:
        self._files.invalidate_cache()
        try:
            return {entry.rsplit("/", 1)[-1] for entry in self._files.ls(self._folder, detail=False)}
        except FileNotFoundError:
            return set()

    def open(self, name: str) -> IO[bytes]:
        return self._files.open(f"{self._folder}/{name}", "rb")

    def write(self, name: str, data: bytes) -> None:
        with storage_errors(Path(f"{self.address}/{name}")):
            self._files.pipe_file(f"{self._folder}/{name}", data)

    def remove(self, name: str) -> None:
        if self._files.exists(f"{self._folder}/{name}"):
            self._files.rm_file(f"{self._folder}/{name}")


def file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the path in it.

    Raises:
        ConfigError: fsspec does not know it, or needs a package for it.
    """
    from fsspec.core import url_to_fs

    try:
        files, path = url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"{url}: {error}") from error
    return files, path
