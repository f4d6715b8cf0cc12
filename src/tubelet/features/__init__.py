"""Features of the frozen part of a model, computed once: in memory, on disk, and as a data set to train on."""

from tubelet.features.clips import FeatureClips
from tubelet.features.split_model import AfterFeatures, Stage, features_of
from tubelet.features.store import FeatureStore, default_folder

__all__ = ["AfterFeatures", "FeatureClips", "FeatureStore", "Stage", "default_folder", "features_of"]
