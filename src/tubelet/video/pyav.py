"""Exact frames of a video file with PyAV: seek to the key frame, decode only what is needed, check every timestamp."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import RLock

import torch
from av.video.frame import VideoFrame
from torch import Tensor

from tubelet.errors import VideoError
from tubelet.video.colour import RGBConverter, orientation_of, require_contrast_of
from tubelet.video.frame_index import FrameIndex, describe
from tubelet.video.limits import LIMITS, Limits
from tubelet.video.protocol import BaseDecoder, checked_indices
from tubelet.video.pyav_reader import FrameReader
from tubelet.video.pyav_scan import decode_all, read_index
from tubelet.video.pyav_stream import FramesDisagreeError

WAITING_PICTURES = 8
"""Decoded pictures that may wait for their conversion to RGB, so that decoding runs on but memory stays bounded."""


class PyAVDecoder(BaseDecoder):
    """A video file, decoded by FFmpeg through PyAV.

    Frames are numbered by their presentation timestamps, and a frame is only handed out if it carries the timestamp
    that was asked for. If the file's packets and its frames disagree, the whole file is decoded once to learn the true
    list; from then on frames are found by decoding from the start, and `metadata.frame_list` says `decoded`.

    Of several video streams the one with the most pixels is taken; cover pictures are none. Frames of another size than
    the first are scaled to it; interlaced frames stay interlaced, and pixels that are not square are not stretched. It
    may be used from several threads, which wait for each other.

    Args:
        path: a file.
        threads: 0 decodes on all cores and converts pictures beside that; 1 does everything in the calling thread; any
            other number is that of the decoder's threads.
        limits: of what is decoded.

    Raises:
        VideoError: it is no video, is cut off, or its first frame cannot be decoded.
    """

    def __init__(self, path: str | Path, *, threads: int = 0, limits: Limits = LIMITS) -> None:
        super().__init__(str(path), limits)
        self._lock = RLock()
        self._reader = FrameReader(self._path, threads, limits)
        try:
            self._learn(trust_header=True)
        except BaseException:
            self.close()
            raise

    def visit(self, indices: Sequence[int], visitor: Callable[[int, Tensor], None]) -> None:
        """See `VisitingDecoder`."""
        with self._lock:
            wanted = checked_indices(self._path, indices, self.metadata.num_frames)
            try:
                try:
                    self._decode(wanted, visitor)
                except FramesDisagreeError:
                    self._decode_carefully(wanted, visitor)
            except FramesDisagreeError as error:
                raise VideoError(self._path, "gives other frames each time that it is decoded; re-encode it") from error
            except VideoError:
                self._reader.lose_position()
                raise

    def close(self) -> None:
        """See `Decoder`."""
        with self._lock:
            self._reader.close()

    # --- opening ---------------------------------------------------------------------------------------------------

    def _learn(self, *, trust_header: bool) -> None:
        """Learn which frames there are, and from the first of them their size and orientation."""
        index = read_index(self._reader, trust_header=trust_header)
        if index is None:
            self._decode_everything()
            return
        self._reader.be_strict(index)
        self._reader.seek(index, 0)
        try:
            frame = self._reader.next()
        except FramesDisagreeError:
            frame = None
        first = index.find(frame.pts) if frame is not None else None
        if frame is not None and first is not None and self._begins_with(frame, first, index):
            self._reader.put_back(frame)
            self._describe(index.without_first(first), frame)
        elif index.source == "header":
            self._learn(trust_header=False)
        else:
            self._decode_everything()

    def _begins_with(self, frame: VideoFrame, first: int, index: FrameIndex) -> bool:
        """Whether the video begins with this frame, the first that was decoded, whose number in the index is `first`.

        Frames that the index lists before it do not decode if they refer to a key frame that was cut off. They do if it
        is only its timestamp that is too late: then they come out behind it.
        """
        if first == 0:
            return True
        try:
            following = self._reader.next()
        except FramesDisagreeError:
            return False
        if following is not None:
            self._reader.put_back(following)
        number = None if following is None else index.find(following.pts)
        return index.keys[0].position == first and number is not None and number > first

    def _describe(self, index: FrameIndex, frame: VideoFrame) -> None:
        self._index, self.damaged = index, index.damaged
        self._limits.check_frame(self._path, frame.height, frame.width)
        require_contrast_of(frame, self._path)
        self._orientation, rotation = orientation_of(frame)
        self._size = frame.height, frame.width
        height, width = self._size[::-1] if self._orientation[0] else self._size
        self.timestamps = torch.from_numpy(index.seconds())
        self.metadata = describe(
            self._path, index, self._reader.stream, height=height, width=width, rotation=rotation, backend="pyav"
        )

    # --- decoding --------------------------------------------------------------------------------------------------

    def _decode(self, wanted: list[int], visitor: Callable[[int, Tensor], None]) -> None:
        numbers = sorted(set(wanted))
        counts = self._index.source == "decoded"
        frames = self._reader.count_to(numbers) if counts else self._reader.find(self._index, numbers)
        converter = RGBConverter(self._size, self._orientation)

        def hand_over(number: int, frame: VideoFrame) -> None:
            visitor(number, converter.convert(frame))

        if len(numbers) == 1 or not self._reader.runs_in_threads:
            for number, frame in zip(numbers, frames, strict=True):
                hand_over(number, frame)
            return
        waiting: deque[Future[None]] = deque()
        with ThreadPoolExecutor(1, thread_name_prefix="tubelet-rgb") as pool:
            for number, frame in zip(numbers, frames, strict=True):
                waiting.append(pool.submit(hand_over, number, frame))
                if len(waiting) > WAITING_PICTURES:
                    waiting.popleft().result()
            for picture in waiting:
                picture.result()

    def _decode_carefully(self, wanted: list[int], visitor: Callable[[int, Tensor], None]) -> None:
        """`_decode`, after frames did not come out as the index promises: in one thread, and nothing passed over."""
        self._reader.be_careful()
        if self._index.source == "header":
            self._learn(trust_header=False)
        try:
            self._decode(checked_indices(self._path, wanted, self.metadata.num_frames), visitor)
        except FramesDisagreeError:
            self._decode_everything()
            self._decode(checked_indices(self._path, wanted, self.metadata.num_frames), visitor)

    def _decode_everything(self) -> None:
        """Decode the whole file once, in one thread so that no error is lost, to learn which frames there are."""
        first, index = decode_all(self._reader)
        self._describe(index, first)
        self._reader.rewind()
