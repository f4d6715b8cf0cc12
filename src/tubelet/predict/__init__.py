"""From a video to what is in it: a model that is loaded once, and results made to be read."""

from tubelet.callable_module import make_callable
from tubelet.predict.predictor import Predictor, predict
from tubelet.predict.result import HeadResult, Result
from tubelet.predict.sources import VIDEO_SUFFIXES, Source, find_videos

__all__ = ["VIDEO_SUFFIXES", "HeadResult", "Predictor", "Result", "Source", "find_videos", "predict"]

make_callable(__name__)
