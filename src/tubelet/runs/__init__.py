"""A whole run: training and what follows it (evaluation, page, sample clips), and what is done with a run later."""

from tubelet.runs.check import BackendCheck, Difference, SampleCheck, check_samples, compare_logits
from tubelet.runs.evaluating import KeptEvaluation, evaluate_and_keep, evaluate_stored_and_keep
from tubelet.runs.explaining import ExplainedMistakes, explain_mistakes
from tubelet.runs.finish import RunEnd, finish_run
from tubelet.runs.precision import optimise
from tubelet.runs.preview import Preview, preview_batch
from tubelet.runs.samples import make_sample_clips
from tubelet.runs.whole_run import RunResult, train
from tubelet.weights.sample_clips import SampleClips

__all__ = [
    "BackendCheck",
    "Difference",
    "ExplainedMistakes",
    "KeptEvaluation",
    "Preview",
    "RunEnd",
    "RunResult",
    "SampleCheck",
    "SampleClips",
    "check_samples",
    "compare_logits",
    "evaluate_and_keep",
    "evaluate_stored_and_keep",
    "explain_mistakes",
    "finish_run",
    "make_sample_clips",
    "optimise",
    "preview_batch",
    "train",
]
