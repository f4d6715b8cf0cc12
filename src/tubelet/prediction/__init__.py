"""Classifying videos, and streams window by window, with a model that is loaded once."""

from tubelet.prediction.decision import Decision
from tubelet.prediction.interruptions import Interruptions
from tubelet.prediction.predictor import Predictor, predict
from tubelet.prediction.result import HeadResult, Result
from tubelet.prediction.sources import Source, find_videos
from tubelet.prediction.stream_source import StreamSource
from tubelet.prediction.streaming import Stream, stream
from tubelet.prediction.summary import Summary
from tubelet.prediction.timeline import Event, Timeline, find_events
from tubelet.prediction.timelines import WrittenTimeline, write_timelines
from tubelet.prediction.writing import result_lines
from tubelet.video.suffixes import VIDEO_SUFFIXES

__all__ = [
    "VIDEO_SUFFIXES",
    "Decision",
    "Event",
    "HeadResult",
    "Interruptions",
    "Predictor",
    "Result",
    "Source",
    "Stream",
    "StreamSource",
    "Summary",
    "Timeline",
    "WrittenTimeline",
    "find_events",
    "find_videos",
    "predict",
    "result_lines",
    "stream",
    "write_timelines",
]
