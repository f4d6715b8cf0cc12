"""Every setting of tubelet as a frozen dataclass. Standard library only, so that the command line starts at once."""

from tubelet.config.data import NO_AUGMENTATION, AugmentationConfig, DataConfig
from tubelet.config.model import ModelConfig, Pool, replace, uniform_frame_indices
from tubelet.config.model_cost import Cost, cost
from tubelet.config.monitoring import MonitoringConfig
from tubelet.config.operating_point import OperatingPoint
from tubelet.config.preprocessing import PreprocessingConfig
from tubelet.config.pretraining import MaskingConfig, PretrainConfig
from tubelet.config.recipes import default_recipe, override, pretrain_config, recipes, train_config
from tubelet.config.serialise import from_dict, to_dict
from tubelet.config.shards import ShardConfig
from tubelet.config.training import (
    AdaptationConfig,
    OptimisationConfig,
    RuntimeConfig,
    TrainConfig,
    ValidationConfig,
)

__all__ = [
    "NO_AUGMENTATION",
    "AdaptationConfig",
    "AugmentationConfig",
    "Cost",
    "DataConfig",
    "MaskingConfig",
    "ModelConfig",
    "MonitoringConfig",
    "OperatingPoint",
    "OptimisationConfig",
    "Pool",
    "PreprocessingConfig",
    "PretrainConfig",
    "RuntimeConfig",
    "ShardConfig",
    "TrainConfig",
    "ValidationConfig",
    "cost",
    "default_recipe",
    "from_dict",
    "override",
    "pretrain_config",
    "recipes",
    "replace",
    "to_dict",
    "train_config",
    "uniform_frame_indices",
]
