"""Masked pretraining: hide most of each clip, reconstruct it, and keep the encoder to start a training from."""

from tubelet.pretraining.loop import PretrainResult, pretrain
from tubelet.pretraining.masking import Visible
from tubelet.pretraining.model import Guess, MaskedTubelets
from tubelet.pretraining.picture import reconstructions

__all__ = ["Guess", "MaskedTubelets", "PretrainResult", "Visible", "pretrain", "reconstructions"]
