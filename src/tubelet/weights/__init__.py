"""Weights: our own folders, the original's checkpoints, Hugging Face, VideoMAE, and image transformers as a start."""

from tubelet.weights.adapt import adapt
from tubelet.weights.convert import convert
from tubelet.weights.initialise import config_for, initialise
from tubelet.weights.load import load
from tubelet.weights.native import save
from tubelet.weights.report import Entry, LoadReport

__all__ = ["Entry", "LoadReport", "adapt", "config_for", "convert", "initialise", "load", "save"]
