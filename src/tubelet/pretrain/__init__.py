"""Pretraining without labels: hide most of each clip, guess it, and keep the encoder to start a training from."""

from tubelet.callable_module import make_callable
from tubelet.pretrain.loop import PretrainResult, pretrain
from tubelet.pretrain.masking import Visible
from tubelet.pretrain.model import Guess, MaskedTubelets
from tubelet.pretrain.picture import reconstructions

__all__ = ["Guess", "MaskedTubelets", "PretrainResult", "Visible", "pretrain", "reconstructions"]

make_callable(__name__)
