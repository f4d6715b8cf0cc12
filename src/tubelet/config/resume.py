"""Which settings of a run that was begun may be changed."""

from __future__ import annotations

NOT_LEARNED = frozenset(
    {
        "recipe",
        "runtime",
        "monitoring",
        "data.workers",
        "data.cache",
        "data.cache_gigabytes",
        "data.feature_folder",
    }
)
"""Settings, or whole groups of them, that do not change what is learned."""

MAY_CHANGE = NOT_LEARNED | {"optimisation.minutes", "validation.patience"}
"""Settings that a resumed training need not share with the one that was stopped: besides, when it ends."""
