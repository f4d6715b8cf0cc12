"""ViViT, the Video Vision Transformer: the four models of the paper, from a folder of videos to a prediction.

The public names below are imported when they are first used, so that `import tubelet` costs milliseconds.
So are the rooms, `tubelet.video` for example.
`evaluate`, `predict`, `pretrain`, `probe` and `train` are packages that can be called (see `tubelet.callable_module`).
"""

import importlib
from typing import TYPE_CHECKING, Any

from tubelet.version import __version__

if TYPE_CHECKING:
    from tubelet.config import ModelConfig, PreprocessingConfig
    from tubelet.errors import ConfigError, DataError, TubeletError, VideoError, WeightsError
    from tubelet.evaluate import evaluate
    from tubelet.fast import merge_tokens, optimise
    from tubelet.model import ViViT
    from tubelet.predict import predict, stream
    from tubelet.presets import create
    from tubelet.pretrain import pretrain
    from tubelet.probe import probe
    from tubelet.train import train
    from tubelet.video import Clip, read_video, write_video
    from tubelet.weights import convert, initialise, load, save
    from tubelet.weights.hub import from_pretrained, push_to_hub

__all__ = [
    "Clip",
    "ConfigError",
    "DataError",
    "ModelConfig",
    "PreprocessingConfig",
    "TubeletError",
    "ViViT",
    "VideoError",
    "WeightsError",
    "__version__",
    "convert",
    "create",
    "evaluate",
    "from_pretrained",
    "initialise",
    "load",
    "merge_tokens",
    "optimise",
    "predict",
    "pretrain",
    "probe",
    "push_to_hub",
    "read_video",
    "save",
    "stream",
    "train",
    "write_video",
]

_HOMES = {
    "tubelet.config": ("ModelConfig", "PreprocessingConfig"),
    "tubelet.errors": ("ConfigError", "DataError", "TubeletError", "VideoError", "WeightsError"),
    "tubelet.fast": ("merge_tokens", "optimise"),
    "tubelet.model": ("ViViT",),
    "tubelet.predict": ("stream",),
    "tubelet.presets": ("create",),
    "tubelet.video": ("Clip", "read_video", "write_video"),
    "tubelet.weights": ("convert", "initialise", "load", "save"),
    "tubelet.weights.hub": ("from_pretrained", "push_to_hub"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_ROOMS = (
    "config",
    "data",
    "errors",
    "evaluate",
    "features",
    "fast",
    "nn",
    "predict",
    "presets",
    "pretrain",
    "probe",
    "report",
    "studies",
    "train",
    "video",
    "weights",
)


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"tubelet.{name}")  # the import binds the name
    if name not in _HOME_OF:
        raise AttributeError(f"module 'tubelet' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
