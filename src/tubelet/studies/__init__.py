"""The paper's questions as experiments: each a set of ordinary runs, a table with its uncertainty, and a page."""

from tubelet.studies.catalogue import STUDIES, find_study
from tubelet.studies.engine import StudyResult, run_study
from tubelet.studies.study import StudyOptions
from tubelet.studies.videos import GeneratedClips, generated_config

__all__ = [
    "STUDIES",
    "GeneratedClips",
    "StudyOptions",
    "StudyResult",
    "find_study",
    "generated_config",
    "run_study",
]
