"""From a video file to the tensor that a model sees: decoding, choosing frames, preprocessing, and writing videos."""

from tubelet.video.clip import Clip, VideoMetadata
from tubelet.video.decode import BACKENDS, open_video, read_video
from tubelet.video.encode import write_video
from tubelet.video.file_part import FilePart, video_exists
from tubelet.video.limits import Limits
from tubelet.video.preprocessing import Preprocessing, Views
from tubelet.video.protocol import Decoder, read_frames
from tubelet.video.rate import RateSampler, sample_at_rate
from tubelet.video.sampling import (
    clip_indices,
    clip_starts,
    random_start,
    uniform_indices,
    whole_length,
    window,
    window_starts,
)
from tubelet.video.views import Clips, WholeVideo, Windows

__all__ = [
    "BACKENDS",
    "Clip",
    "Clips",
    "Decoder",
    "FilePart",
    "Limits",
    "Preprocessing",
    "RateSampler",
    "VideoMetadata",
    "Views",
    "WholeVideo",
    "Windows",
    "clip_indices",
    "clip_starts",
    "open_video",
    "random_start",
    "read_frames",
    "read_video",
    "sample_at_rate",
    "uniform_indices",
    "video_exists",
    "whole_length",
    "window",
    "window_starts",
    "write_video",
]
