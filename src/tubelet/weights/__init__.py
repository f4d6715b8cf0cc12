"""Weights: our own folders, Scenic's checkpoints, Hugging Face, VideoMAE, and image transformers as a start.

Whatever is wrong with a file or its contents is a `WeightsError` that names the file and the reason.
"""

from tubelet.weights.adapt import adapt
from tubelet.weights.convert import convert
from tubelet.weights.initialise import config_for, initialise
from tubelet.weights.load import from_pretrained, load
from tubelet.weights.native import save
from tubelet.weights.report import Entry, LoadReport

__all__ = ["Entry", "LoadReport", "adapt", "config_for", "convert", "from_pretrained", "initialise", "load", "save"]
