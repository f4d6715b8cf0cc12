"""Re-encoding a video, smaller and with many key frames, for fast reading of clips."""

from __future__ import annotations

import errno
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
from torch import Tensor

from tubelet.errors import VideoError
from tubelet.video.clip import damage_in_words
from tubelet.video.decode import open_video
from tubelet.video.encode import add_h264_stream, yuv_frame
from tubelet.video.protocol import VisitingDecoder, until_settled
from tubelet.video.resize import resize_frames

TIME_BASE = Fraction(1, 720_000)
"""Seconds of one unit. The usual frame rates are whole numbers of it; any time is met to less than a microsecond."""


def transcode(
    source: str | Path, path: Path, *, short_side: int, keyframe_interval: int, crf: int, use_damaged: bool = False
) -> float:
    """Write the frames of a video as an H.264 MP4, upright, each at its own time; the first is at 0 there.

    Every frame is decoded, so a video that is known to be damaged anywhere is an error. Sound is left out.

    Args:
        source: a video file or a folder of images.
        path: of the MP4; written over.
        short_side: pixels of the shorter side; smaller videos keep their size, but for an odd last row or column.
        keyframe_interval: at most so many frames from one key frame to the next.
        crf: constant rate factor.
        use_damaged: encode what the decoder makes of damaged frames.

    Returns:
        seconds of the first frame, from the start of `source`.

    Raises:
        VideoError: it cannot be decoded, has damaged frames, is a single pixel wide or high, or its frames are too far
            apart in time for an MP4.
    """
    with open_video(source, threads=1) as decoder:
        assert isinstance(decoder, VisitingDecoder)

        def write() -> None:
            with _Writer(path, decoder, short_side, keyframe_interval, crf) as writer:
                decoder.visit(range(decoder.metadata.num_frames), writer.add)

        try:
            until_settled(decoder, write)
        except av.FFmpegError as error:
            if isinstance(error, OSError) or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS):
                raise
            raise VideoError(source, f"cannot be encoded as an MP4 ({error.strerror}); re-encode it first") from error
        if decoder.damaged and not use_damaged:
            raise VideoError(source, damage_in_words(sorted(decoder.damaged), decoder.metadata.num_frames))
        return decoder.metadata.start


def stored_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) of a stored frame: the aspect ratio is kept as `Preprocessing.resize` keeps it, both are even."""
    if min(height, width) > short_side:
        if height <= width:
            height, width = short_side, width * short_side // height
        else:
            height, width = height * short_side // width, short_side
    return height // 2 * 2, width // 2 * 2


class _Writer:
    """Frames in, in their order, an MP4 out. Starts over if the first frame comes again."""

    def __init__(self, path: Path, decoder: VisitingDecoder, short_side: int, keyframe_interval: int, crf: int) -> None:
        metadata = decoder.metadata
        self._size = stored_size(metadata.height, metadata.width, short_side)
        if not all(self._size):
            raise VideoError(metadata.path, f"{metadata.width}x{metadata.height} pixels are too few to encode")
        self._resizes = min(metadata.height, metadata.width) > short_side
        self._times = [round(time / TIME_BASE) for time in (decoder.timestamps - decoder.timestamps[0]).tolist()]
        self._rate = Fraction(metadata.frame_rate or 25).limit_denominator(1_001)
        self._path, self._interval = path, keyframe_interval
        self._options = {"crf": str(crf), "preset": "fast"}
        self._next = 0
        self._open()

    def _open(self) -> None:
        self._container = av.open(f"file:{self._path}", "w", format="mp4", options={"movflags": "+faststart"})
        height, width = self._size
        self._stream = add_h264_stream(
            self._container,
            height=height,
            width=width,
            frame_rate=self._rate,
            gop=self._interval,
            options=self._options,
        )
        self._stream.codec_context.time_base = TIME_BASE

    def add(self, number: int, picture: Tensor) -> None:
        """Encode frame `number`, uint8 [3, H, W]."""
        if number == 0 and self._next:
            self._container.close()
            self._open()
            self._next = 0
        if number >= len(self._times):
            return  # decoding has shown that there are more frames than the file promised; all is done again then
        height, width = self._size
        if self._resizes:
            picture = resize_frames(picture, (height, width))
        frame = yuv_frame(picture[:, :height, :width].permute(1, 2, 0).numpy(), "yuv420p")
        frame.pts, frame.time_base = self._times[number], TIME_BASE
        self._container.mux(self._stream.encode(frame))
        self._next = number + 1

    def __enter__(self) -> _Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()
