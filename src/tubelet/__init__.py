"""ViViT, the Video Vision Transformer: the four models of the paper, from a folder of videos to a prediction.

The public names below are imported when they are first used, so that `import tubelet` costs milliseconds.
So are the packages, `tubelet.video` for example.
"""

import importlib
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from tubelet import former_names
from tubelet.version import __version__

if TYPE_CHECKING:
    from tubelet.config import ModelConfig, PreprocessingConfig
    from tubelet.errors import ConfigError, DataError, TubeletError, VideoError, WeightsError
    from tubelet.evaluation import evaluate
    from tubelet.explanation import explain
    from tubelet.exporting import export
    from tubelet.fast import merge_tokens
    from tubelet.model import ViViT
    from tubelet.prediction import predict, stream
    from tubelet.presets import create
    from tubelet.pretraining import pretrain
    from tubelet.probing import probe
    from tubelet.runs import optimise, train
    from tubelet.tuning import tune
    from tubelet.video import Clip, read_video, write_video
    from tubelet.weights import convert, from_pretrained, initialise, load, save
    from tubelet.weights.hub import push_to_hub

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
    "explain",
    "export",
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
    "tune",
    "write_video",
]

_HOMES = {
    "tubelet.config": ("ModelConfig", "PreprocessingConfig"),
    "tubelet.errors": ("ConfigError", "DataError", "TubeletError", "VideoError", "WeightsError"),
    "tubelet.evaluation": ("evaluate",),
    "tubelet.explanation": ("explain",),
    "tubelet.exporting": ("export",),
    "tubelet.fast": ("merge_tokens",),
    "tubelet.model": ("ViViT",),
    "tubelet.prediction": ("predict", "stream"),
    "tubelet.presets": ("create",),
    "tubelet.pretraining": ("pretrain",),
    "tubelet.probing": ("probe",),
    "tubelet.runs": ("optimise", "train"),
    "tubelet.tuning": ("tune",),
    "tubelet.video": ("Clip", "read_video", "write_video"),
    "tubelet.weights": ("convert", "from_pretrained", "initialise", "load", "save"),
    "tubelet.weights.hub": ("push_to_hub",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_PACKAGES = (
    "config",
    "data",
    "errors",
    "evaluation",
    "explanation",
    "exported",
    "exporting",
    "fast",
    "features",
    "nn",
    "prediction",
    "presets",
    "pretraining",
    "probing",
    "report",
    "runs",
    "serving",
    "studies",
    "training",
    "video",
    "weights",
)
_AMERICAN = {"initialize": "initialise", "optimize": "optimise"}

former_names.register()


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"tubelet.{name}")  # the import binds the name
    known = _AMERICAN.get(name, name)
    if known not in _HOME_OF:
        nearest = get_close_matches(name, [*__all__, *_PACKAGES], n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise AttributeError(f"module 'tubelet' has no attribute {name!r}{hint}")
    value = getattr(importlib.import_module(_HOME_OF[known]), known)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_PACKAGES})
