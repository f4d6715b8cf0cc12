"""What a study consists of: cells to train, and the findings of the paper that they are held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tubelet.config import PretrainConfig, TrainConfig, to_dict
from tubelet.config.serialise import check_types
from tubelet.data import Table
from tubelet.errors import ConfigError
from tubelet.studies.rows import Row


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """What is varied. Each study has a few of these for its own; the others must be left as they are.

    Attributes:
        leave_one_out: `regularisers`: besides adding one after the other, leave each out alone.
        rungs: `regularisers`: these, in this order; none: the paper's, then what the recipe has besides.
        fractions: `variants`: shares of the training videos to learn from; none: all of them.
        tubelet_lengths: `tokens`: frames of a tubelet; none: what divides the clip, from short to long.
        image_sizes: `tokens`: sides of the frame in pixels; none: the base's, half and three quarters of it.
        frames: `frames`: frames of a clip; none: up to the whole video, and a half and a quarter of it.
    """

    leave_one_out: bool = False
    rungs: tuple[str, ...] = ()
    fractions: tuple[float, ...] = ()
    tubelet_lengths: tuple[int, ...] = ()
    image_sizes: tuple[int, ...] = ()
    frames: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_types(self)
        if any(not 0 < fraction <= 1 for fraction in self.fractions):
            raise ConfigError(f"fractions={self.fractions} are shares of the training videos: above 0, at most 1")
        for name in ("tubelet_lengths", "image_sizes", "frames"):
            if any(number < 1 for number in getattr(self, name)):
                raise ConfigError(f"{name}={getattr(self, name)} must be at least 1")

    def require_only(self, study: str, own: Sequence[str]) -> None:
        """Hold that nothing is set that the study has no use for."""
        default = StudyOptions()
        for name, value in vars(self).items():
            if name not in own and value != getattr(default, name):
                raise ConfigError(
                    f"{name} means nothing in the study {study!r}; its own options: {', '.join(own) or 'none'}"
                )


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One configuration, trained once for each seed.

    Attributes:
        name: of its folder.
        label: in tables.
        config: of the training; the seed is set for each run.
        views: each CLIPSxCROPS to evaluate with; the first is the run's own evaluation.
        split: videos to evaluate on.
        fraction: share of the training videos, by class; smaller ones are part of the larger.
        needs: a source whose weights the training starts from.
        paper: what the paper found for it, by the name of the figure.
        facts: columns of its own in the table.
        note: what a reader must know.
    """

    name: str
    label: str
    config: TrainConfig
    views: tuple[str, ...] = ("1x1",)
    split: str = "test"
    fraction: float = 1.0
    needs: str | None = None
    paper: dict[str, float] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    note: str = ""

    def for_seed(self, seed: int) -> Cell:
        """The cell of one run."""
        return replace(self, config=replace(self.config, seed=seed))

    def row(self, views: str) -> str:
        """The key of the row of the table that holds its results with these views."""
        return self.name if len(self.views) == 1 else f"{self.name} {views}"

    def what_is_learned(self) -> dict[str, Any]:
        """What a finished run must share with this cell to count as it."""
        kept = {name: getattr(self, name) for name in ("views", "fraction", "needs")}
        return {"config": to_dict(self.config), **{name: _plain(value) for name, value in kept.items()}}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Weights that cells start from: an image model, pretrained once for each seed.

    Attributes:
        name: of its folder.
        label: in messages.
        config: of the pretraining; the seed is set for each run.
    """

    name: str
    label: str
    config: PretrainConfig

    def for_seed(self, seed: int) -> Source:
        """The source of one run."""
        return replace(self, config=replace(self.config, seed=seed))

    def what_is_learned(self) -> dict[str, Any]:
        """What a finished run must share with this source to count as it."""
        return {"config": to_dict(self.config)}


Task = Cell | Source


@dataclass(frozen=True)
class Hypothesis:
    """That one row is better than another, as the paper (or the question) has it.

    Attributes:
        text: in words, a sentence without its full stop.
        better: key of a row.
        worse: key of a row.
        paper: the paper's figures for it; empty if it has none.
    """

    text: str
    better: str
    worse: str
    paper: str = ""


@dataclass(frozen=True)
class Setting:
    """What a study is asked to build its cells from.

    Attributes:
        base: the configuration that all cells share.
        options: what is varied.
        table: the videos, in the splits train, test and perhaps val.
    """

    base: TrainConfig
    options: StudyOptions
    table: Table


@dataclass(frozen=True)
class Plan:
    """The runs of a study.

    Attributes:
        cells: in the order of the table.
        hypotheses: that are tested on them.
        sources: what cells start from.
        notes: what was decided, for the reader.
    """

    cells: tuple[Cell, ...]
    hypotheses: tuple[Hypothesis, ...]
    sources: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()


def _no_remarks(rows: Sequence[Row]) -> list[str]:
    return []


@dataclass(frozen=True)
class Study:
    """One of the paper's questions.

    Attributes:
        name: on the command line.
        title: of the page.
        question: in one sentence.
        paper: what the paper did and found, in a sentence or two.
        plan: from a setting to the runs.
        options: fields of `StudyOptions` that it has a use for.
        generated: changes of the base configuration for the generated videos, by field.
        remarks: sentences about the table that belong to this study alone.
    """

    name: str
    title: str
    question: str
    paper: str
    plan: Callable[[Setting], Plan]
    options: tuple[str, ...] = ()
    generated: Mapping[str, Any] = field(default_factory=dict)
    remarks: Callable[[Sequence[Row]], list[str]] = _no_remarks


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
