"""Masked pretraining: hide most of each clip, reconstruct it, and keep the encoder to start a training from."""

from tubelet.pretraining.loop import PretrainResult, pretrain
from tubelet.pretraining.masking import Visible
from tubelet.pretraining.model import MaskedTubelets, Reconstruction
from tubelet.pretraining.picture import reconstructions

__all__ = ["MaskedTubelets", "PretrainResult", "Reconstruction", "Visible", "pretrain", "reconstructions"]
