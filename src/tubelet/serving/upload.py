"""The video of a request, as a temporary file: bounded while it comes, and gone afterwards whatever happens."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from tubelet.files import storage_errors
from tubelet.serving.fetching import fetch, name_of
from tubelet.serving.problem import ProblemError
from tubelet.serving.settings import Settings
from tubelet.text import printable

UPLOADS = frozenset(f"/v1/{name}" for name in ("predict", "timeline", "explain", "preview"))
"""Routes that take a video."""

AT_ONCE = 2**20
"""Bytes that are written to the disk at once, in a thread."""

LONGEST_NAME = 200

BODY: dict[str, Any] = {
    "requestBody": {
        "required": False,
        "description": "A video file: as it is, or as a file of a form. Not with `url`.",
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["video"],
                    "properties": {"video": {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}
"""Of the OpenAPI description."""


@dataclass(frozen=True)
class Upload:
    """A video that was received.

    Attributes:
        path: of the temporary file. Its name has no suffix, so that none means anything.
        folder: a temporary folder for what is made of it.
        name: that the client gave it, or `video`.
        size: bytes.
    """

    path: Path
    folder: Path
    name: str
    size: int


@asynccontextmanager
async def received(
    request: Request, root: Path, settings: Settings, name: str | None = None, url: str | None = None
) -> AsyncIterator[Upload]:
    """Receive the body of a request, or the file at an address; it is there until the end of the `with`.

    Args:
        request: of which nothing was read.
        root: the folder for temporary files.
        settings: of the service.
        name: of the video, where the client gives one.
        url: of the video, where it is not the body.

    Raises:
        ProblemError: too large, too slow, empty, a form without a file, or an address that is not opened.
        StorageError: the disk is full.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > settings.upload_bytes:
        raise _too_large(settings)
    folder = Path(tempfile.mkdtemp(dir=root))
    try:
        path = folder / "upload"
        with storage_errors(path):
            with path.open("xb") as file:
                taker = _taker_of(request, file) if url is None else _Raw(file)
                await _receive(request.stream() if url is None else fetch(url, settings), taker, settings)
            if url is not None:
                name = name or name_of(url)
            elif name is None:
                name = taker.name
        if not taker.size:
            raise ProblemError(400, taker.nothing)
        yield Upload(path, folder, _shown(name), taker.size)
    finally:  # in a thread, for which no answer waits: some disks take milliseconds
        asyncio.get_running_loop().run_in_executor(None, shutil.rmtree, folder, True)


async def _receive(coming: AsyncGenerator[bytes, None], taker: _Raw, settings: Settings) -> None:
    size = 0
    loop = asyncio.get_running_loop()
    until = loop.time() + settings.upload_seconds
    try:
        while True:
            patience = min(settings.upload_seconds / 2, until - loop.time())
            part = await asyncio.wait_for(anext(coming), max(patience, 0))
            size += len(part)
            if size > settings.upload_bytes:
                raise _too_large(settings)
            taker.take(part)
            if taker.waiting >= AT_ONCE:
                await run_in_threadpool(taker.flush)
    except StopAsyncIteration:
        taker.end()
        await run_in_threadpool(taker.flush)
    except TimeoutError:
        raise ProblemError(408, f"the upload took longer than {settings.upload_seconds:g} s, or stopped") from None
    except ClientDisconnect:
        raise ProblemError(400, "the client left before the end of the upload") from None
    except FormParserError as error:
        raise ProblemError(
            400, f"the form cannot be read ({error}); send multipart/form-data, or the file as it is"
        ) from None
    finally:
        await coming.aclose()


class _Raw:
    """A body that is the file."""

    nothing = "the body is empty; send a video file"

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._parts: list[bytes] = []
        self.name: str | None = None
        self.size = self.waiting = 0

    def take(self, part: bytes) -> None:
        """Take a part of the body."""
        self._keep(part)

    def end(self) -> None:
        """The body has ended."""

    def _keep(self, part: bytes) -> None:
        self._parts.append(part)
        self.size += len(part)
        self.waiting += len(part)

    def flush(self) -> None:
        """Write what waits."""
        parts, self._parts, self.waiting = self._parts, [], 0
        self._file.write(b"".join(parts))


class _Form(_Raw):
    """A form; its first file is the video, and other fields are passed over."""

    nothing = "the form has no file; send one field with a video: curl -F video=@clip.mp4"

    def __init__(self, file: IO[bytes], boundary: bytes) -> None:
        super().__init__(file)
        self._headers: dict[bytes, bytes] = {}
        self._field = self._value = b""
        self._inside = self._found = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._data,
                "on_part_end": self._part_end,
            },
        )

    def take(self, part: bytes) -> None:
        self._parser.write(part)

    def end(self) -> None:
        self._parser.finalize()

    def _begin(self) -> None:
        self._headers = {}

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._inside = not self._found and b"filename" in options
        if self._inside:
            self._found = True
            self.name = options[b"filename"].decode(errors="replace")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._inside:
            self._keep(data[start:end])

    def _part_end(self) -> None:
        self._inside = False


def _taker_of(request: Request, file: IO[bytes]) -> _Raw:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data":
        return _Raw(file)
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise ProblemError(400, "a multipart body needs a boundary in its Content-Type")
    return _Form(file, boundary)


def _too_large(settings: Settings) -> ProblemError:
    most = settings.upload_bytes
    return ProblemError(413, f"the upload has more than {most:,} bytes; re-encode it smaller, or cut out what matters")


def _shown(name: str | None) -> str:
    """The last part of a name, without characters that something obeys."""
    return printable((name or "").replace("\\", "/").rpartition("/")[2])[:LONGEST_NAME] or "video"
