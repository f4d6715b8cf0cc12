"""From a video to what is in it: a model that is loaded once, and results made to be read."""

from tubelet.callable_module import make_callable
from tubelet.predict.decision import Decision
from tubelet.predict.interruptions import Interruptions
from tubelet.predict.predictor import Predictor, predict
from tubelet.predict.result import HeadResult, Result
from tubelet.predict.sources import Source, find_videos
from tubelet.predict.stream_source import StreamSource
from tubelet.predict.streaming import Stream, stream
from tubelet.predict.timeline import Event, Timeline, find_events
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
    "Timeline",
    "find_events",
    "find_videos",
    "predict",
    "stream",
]

make_callable(__name__)
