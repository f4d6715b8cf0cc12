"""The studies that there are."""

from __future__ import annotations

from tubelet.errors import ConfigError
from tubelet.studies import embeddings, frames, regularisers, temporal_init, tokens, variants
from tubelet.studies.study import Study
from tubelet.text import did_you_mean

STUDIES: dict[str, Study] = {
    module.STUDY.name: module.STUDY for module in (variants, embeddings, temporal_init, regularisers, tokens, frames)
}
"""By name, as `tubelet study` takes it."""


def find_study(name: str) -> Study:
    """The study of this name.

    Raises:
        ConfigError: there is none.
    """
    if name not in STUDIES:
        raise ConfigError(f"no study is called {name!r}{did_you_mean(name, STUDIES)}")
    return STUDIES[name]
