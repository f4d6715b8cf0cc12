"""Frames with torchcodec, an optional second decoder, which needs FFmpeg's libraries on the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tubelet.errors import VideoError
from tubelet.video.file_part import FilePart
from tubelet.video.frame_index import FrameIndex, describe, index_from_frames, time_base
from tubelet.video.limits import LIMITS, Limits
from tubelet.video.protocol import BaseDecoder, checked_indices
from tubelet.video.pyav_scan import read_index
from tubelet.video.pyav_stream import PacketDecoder

BATCH = 16
"""Frames that are asked for in one call."""


class TorchCodecDecoder(BaseDecoder):
    """A video file, decoded by torchcodec in its exact mode.

    Frames and their times are listed from the file's packets, as the PyAV backend does it, and torchcodec's
    frames are checked against that list. The stream is the same. `Limits.seconds` bounds listing, not decoding.

    Args:
        path: a file.
        threads: of the decoder; 0 uses all cores.
        limits: of what is decoded.

    Raises:
        VideoError: torchcodec is not installed or does not find FFmpeg; the file cannot be decoded, or has a palette.
    """

    def __init__(self, path: str | Path, *, threads: int = 0, limits: Limits = LIMITS) -> None:
        super().__init__(str(path), limits)
        video_decoder = _load(self._path)
        reader = PacketDecoder(self._path, threads=1, limits=limits)
        try:
            if reader.stream.codec_context.pix_fmt == "pal8":
                raise VideoError(self._path, "torchcodec loses its palette when it seeks; use backend='pyav'")
            index = read_index(reader, trust_header=False)
            stream = reader.stream
            try:
                part = FilePart.parse(self._path)
                file = str(Path(path).absolute()) if part is None else part.read(part.length)
                self._decoder = video_decoder(file, stream_index=stream.index, num_ffmpeg_threads=threads)
                first = self._decoder.get_frame_at(0)
            except (RuntimeError, ValueError, IndexError) as error:
                raise self._failed(error) from error
            if index is None or len(index.pts) != len(self._decoder):
                unit = time_base(stream)
                index = index_from_frames([round(time / unit) for time in self._decode_times()], stream)
            self._describe(index, first, reader)
        finally:
            reader.close()

    def _describe(self, index: FrameIndex, first: Any, reader: PacketDecoder) -> None:
        height, width = first.data.shape[-2:]
        rotation = round((self._decoder.metadata.rotation or 0) / 90) * 90 % 360
        self._origin = float(index.origin)
        self.timestamps = torch.from_numpy(index.seconds())
        self.metadata = describe(
            self._path, index, reader.stream, height=height, width=width, rotation=rotation, backend="torchcodec"
        )

    def _decode_times(self) -> list[float]:
        """When each frame is shown, learnt by decoding them all."""
        count = len(self._decoder)
        times: list[float] = []
        try:
            for start in range(0, count, BATCH):
                times += self._decoder.get_frames_in_range(start, min(start + BATCH, count)).pts_seconds.tolist()
        except (RuntimeError, ValueError, IndexError) as error:
            raise self._failed(error) from error
        return times

    def visit(self, indices: Sequence[int], visitor: Callable[[int, Tensor], None]) -> None:
        """See `VisitingDecoder`."""
        numbers = sorted(set(checked_indices(self._path, indices, self.metadata.num_frames)))
        for start in range(0, len(numbers), BATCH):
            few = numbers[start : start + BATCH]
            try:
                batch = self._decoder.get_frames_at(few)
            except (RuntimeError, ValueError, IndexError) as error:
                raise self._failed(error) from error
            late = (batch.pts_seconds.double() - self._origin - self.timestamps[few]).abs()
            if late.max() > 1e-4:
                number = few[int(late.argmax())]
                raise VideoError(
                    self._path,
                    f"torchcodec's frame {number} is another than the one that is shown at "
                    f"{self.timestamps[number]:.3f} s (off by {late.max():.3f} s); use backend='pyav'",
                )
            for number, frame in zip(few, batch.data, strict=True):
                visitor(number, frame)

    def close(self) -> None:
        """See `Decoder`."""
        self._decoder = None

    def _failed(self, error: Exception) -> VideoError:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        if "libtorchcodec" in lines[0]:
            return _without_ffmpeg(self._path)
        return VideoError(self._path, f"torchcodec cannot decode it ({lines[0]}); re-encode it, or try backend='pyav'")


def _load(path: str) -> Any:
    """torchcodec's `VideoDecoder`, or a VideoError about what is missing."""
    try:
        from torchcodec.decoders import VideoDecoder
    except ImportError as error:
        raise VideoError(
            path, "backend='torchcodec' needs it installed: pip install 'tubelet[torchcodec]'; or use 'pyav'"
        ) from error
    except (RuntimeError, OSError) as error:
        raise _without_ffmpeg(path) from error
    return VideoDecoder


def _without_ffmpeg(path: str) -> VideoError:
    return VideoError(
        path,
        "torchcodec is installed, but cannot load FFmpeg's libraries; install an FFmpeg with shared libraries that it "
        "supports, or use backend='pyav', which brings its own",
    )
