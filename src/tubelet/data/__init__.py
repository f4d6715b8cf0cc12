"""Data sets: reading what describes them, dividing them, and turning them into batches of clips."""

from tubelet.config.split_names import split_name
from tubelet.data.batch import Batch, collate
from tubelet.data.cache import FrameCache
from tubelet.data.check import check
from tubelet.data.check_report import CheckReport
from tubelet.data.class_weights import class_weights
from tubelet.data.content import content_key
from tubelet.data.dataset import ClipDataset
from tubelet.data.draws import Draws, generator_of
from tubelet.data.items import Draw, Failure, Item
from tubelet.data.label_maps import LabelMap, mirror_note, require_labels_stay_right, suggest_flip_labels
from tubelet.data.loader import ClipLoader, make_loader, timed
from tubelet.data.mix import BatchMix, MixupCutmix, batch_generator
from tubelet.data.prepare import PrepareReport, prepare
from tubelet.data.preview import contact_sheet
from tubelet.data.read import read_configured, read_table
from tubelet.data.sampler import EpochBatches
from tubelet.data.splits import assign_splits, hold_out, without_splits
from tubelet.data.table import Sample, Table
from tubelet.data.table_file import write_table
from tubelet.data.train_classes import require_train_classes, untrained_classes
from tubelet.data.units import independent_unit, independent_units

__all__ = [
    "Batch",
    "BatchMix",
    "CheckReport",
    "ClipDataset",
    "ClipLoader",
    "Draw",
    "Draws",
    "EpochBatches",
    "Failure",
    "FrameCache",
    "Item",
    "LabelMap",
    "MixupCutmix",
    "PrepareReport",
    "Sample",
    "Table",
    "assign_splits",
    "batch_generator",
    "check",
    "class_weights",
    "collate",
    "contact_sheet",
    "content_key",
    "generator_of",
    "hold_out",
    "independent_unit",
    "independent_units",
    "make_loader",
    "mirror_note",
    "prepare",
    "read_configured",
    "read_table",
    "require_labels_stay_right",
    "require_train_classes",
    "split_name",
    "suggest_flip_labels",
    "timed",
    "untrained_classes",
    "without_splits",
    "write_table",
]
