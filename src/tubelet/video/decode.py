"""Opening a video with any backend, and reading frames of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from tubelet.errors import VideoError
from tubelet.video.clip import Clip
from tubelet.video.file_part import FilePart
from tubelet.video.limits import LIMITS, Limits
from tubelet.video.protocol import Decoder, read_frames
from tubelet.video.sampling import window

Backend = Literal["auto", "pyav", "torchcodec", "frames"]
BACKENDS: tuple[str, ...] = get_args(Backend)


def open_video(
    path: str | Path,
    backend: str = "auto",
    *,
    threads: int = 0,
    frame_rate: int | float = 25.0,
    limits: Limits = LIMITS,
) -> Decoder:
    """Open a video file or a folder of images.

    Args:
        path: any name, a leading dash or a colon included. URLs are not opened, nor files that are lists of others. A
            video inside a tar is named by a `FilePart`.
        backend: `pyav`; `torchcodec`, if it is installed with FFmpeg's libraries; `frames`, a folder of images;
            `auto`, `frames` for a folder and `pyav` for a file.
        threads: that decode; 0 lets the decoder use all cores, 1 is right inside the workers of a data loader.
        frame_rate: frames per second of a folder of images. Ignored for files.
        limits: of the size of a frame, and of the frames that are asked for at once.

    Raises:
        VideoError: the file does not exist, is no video, or holds no frame that can be decoded.
    """
    name = str(path)
    if backend not in BACKENDS:
        raise VideoError(name, f"unknown backend {backend!r}; use one of {', '.join(BACKENDS)}")
    file = Path(path)
    part = FilePart.parse(name)
    if part is not None:
        part.require()
    elif not file.exists():
        raise VideoError(name, "does not exist")
    if backend == "frames" or (backend == "auto" and file.is_dir()):
        from tubelet.video.frame_folder import FrameFolder

        return FrameFolder(file, frame_rate=frame_rate, threads=threads, limits=limits)
    if file.is_dir():
        raise VideoError(name, f"is a folder, which the backend {backend!r} does not read; use backend='frames'")
    if part is None and not file.is_file():
        raise VideoError(name, "is not a regular file")
    if (file.stat().st_size if part is None else part.length) == 0:
        raise VideoError(name, "is empty (0 bytes); download or export it again")
    if backend == "torchcodec":
        from tubelet.video.torchcodec import TorchCodecDecoder

        return TorchCodecDecoder(file, threads=threads, limits=limits)
    from tubelet.video.pyav import PyAVDecoder

    return PyAVDecoder(file, threads=threads, limits=limits)


def window_indices(decoder: Decoder, start: int | float | None, end: int | float | None) -> range:
    """Indices of the frames shown in [start, end) seconds.

    Raises:
        VideoError: there is none.
    """
    first, last = window(decoder.timestamps, start, end)
    if first == last:
        metadata = decoder.metadata
        stop = metadata.start + metadata.duration
        asked = f"{'the start' if start is None else f'{start:g} s'} to {'the end' if end is None else f'{end:g} s'}"
        raise VideoError(
            metadata.path, f"no frame from {asked}; the video runs from {metadata.start:.3f} s to {stop:.3f} s"
        )
    return range(first, last)


def read_video(
    path: str | Path,
    indices: Sequence[int] | None = None,
    *,
    start: int | float | None = None,
    end: int | float | None = None,
    backend: str = "auto",
    threads: int = 0,
    limits: Limits = LIMITS,
) -> Clip:
    """Read frames of a video: all, the ones with the given numbers, or the ones shown in [start, end).

    Args:
        path: a video file or a folder of images.
        indices: numbers of frames, counted from 0 in the order in which they are shown; any order, repeats allowed.
            With `start` or `end` they count from the first frame of that window.
        start: seconds from the start of the file, as players count them (`VideoMetadata.start` is that of the first
            frame).
        end: seconds; a frame shown exactly then is left out.
        backend: see `open_video`.
        threads: see `open_video`.
        limits: see `open_video`.

    Returns:
        a clip of uint8 [T, 3, H, W] frames, RGB, upright. `Clip.damaged` names those that are known to be damaged.

    Raises:
        VideoError: the file cannot be read, or there is no such frame.
    """

    def choose(decoder: Decoder) -> Sequence[int]:
        inside = window_indices(decoder, start, end)
        if indices is None:
            return inside
        for index in indices:
            if not -len(inside) <= index < len(inside):
                raise VideoError(
                    str(path), f"there is no frame {index}; there are {len(inside)} frames, 0 to {len(inside) - 1}"
                )
        return [inside[index] for index in indices]

    with open_video(path, backend, threads=threads, limits=limits) as decoder:
        return read_frames(decoder, choose)
