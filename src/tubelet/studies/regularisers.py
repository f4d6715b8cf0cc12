"""The study `regularisers`: the ablation of the paper's Table 4, and each regulariser left out alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from tubelet.config import NO_AUGMENTATION, ModelConfig, TrainConfig, override
from tubelet.errors import ConfigError
from tubelet.presets import preset
from tubelet.studies.study import Cell, Hypothesis, Plan, Setting, Study
from tubelet.text import did_you_mean

EPIC = "EPIC-Kitchens' actions"
BASIC = ("temporal", "crop", "scale_jitter", "rotate", "flip", "colour", "grey")
TIME = ("speed", "coverage", "warp", "reverse")
MODEL = ("drop_path", "dropout", "attention_dropout", "token_drop")


@dataclass(frozen=True)
class Regulariser:
    """One step.

    Attributes:
        name: on the command line, and of folders.
        label: in tables.
        off: the fields that it consists of, with the values of a training without it.
        default: their values where the base has it off.
        paper: top-1 of the paper's ablation with it and all before it (Table 4: actions of EPIC-Kitchens, ViViT-B/16x2
            factorised encoder); None where it is not of the paper's.
    """

    name: str
    label: str
    off: Mapping[str, Any]
    default: Callable[[TrainConfig], Mapping[str, Any]]
    paper: float | None = None

    def of(self, base: TrainConfig) -> dict[str, Any]:
        """Its fields as the base has them; the default where it is off there."""
        theirs = {name: value_of(base, name) for name in self.off}
        return dict(theirs) if self.is_on(base) else {**theirs, **self.default(base)}

    def is_on(self, base: TrainConfig) -> bool:
        """Whether the base has it."""
        if self.name == "rand-augment":
            return bool(base.augmentation.rand_augment_layers)
        return any(value_of(base, name) != off for name, off in self.off.items())


def _always(**fields: Any) -> Callable[[TrainConfig], Mapping[str, Any]]:
    return lambda base: fields


def _time_jitter(base: TrainConfig) -> Mapping[str, Any]:
    """Clips that are dense vary in speed; clips that are spread over the video vary in how much of it they cover."""
    uniform = base.preprocessing.get("sampling") == "uniform"
    return {"coverage": (0.7, 1.0)} if uniform else {"speed": (0.8, 1.25)}


_NONE = {name: getattr(NO_AUGMENTATION, name) for name in (*BASIC, *TIME)}

STEPS = (
    Regulariser(
        "basic",
        "crop, flip, jitter",
        {name: _NONE[name] for name in BASIC},
        _always(temporal="random", crop="random", scale_jitter=(0.9, 1.33)),
        38.4,
    ),
    Regulariser("init", "pretrained weights", {"init": None}, _always(), 39.6),
    Regulariser("drop-path", "stochastic depth", {"drop_path": 0.0}, _always(drop_path=0.2), 40.2),
    Regulariser(
        "rand-augment",
        "RandAugment",
        {"rand_augment_layers": 0, "rand_augment_magnitude": 10.0},
        _always(rand_augment_layers=2, rand_augment_magnitude=15.0),
        41.1,
    ),
    Regulariser("label-smoothing", "label smoothing", {"label_smoothing": 0.0}, _always(label_smoothing=0.2), 43.1),
    Regulariser("mixup", "mixup", {"mixup": 0.0}, _always(mixup=0.1), 43.7),
    Regulariser("time-jitter", "jitter in time", {name: _NONE[name] for name in TIME}, _time_jitter),
    Regulariser("erasing", "random erasing", {"erase": 0.0}, _always(erase=0.25)),
    Regulariser("cutmix", "cutmix", {"cutmix": 0.0}, _always(cutmix=1.0)),
    Regulariser("dropout", "dropout", {"dropout": 0.0, "attention_dropout": 0.0}, _always(dropout=0.1)),
    Regulariser("token-drop", "token dropping", {"token_drop": 0.0}, _always(token_drop=0.25)),
    Regulariser("ema", "average of the weights", {"ema_decay": None}, _always(ema_decay=0.99)),
)
"""The paper's first, in its order, with the values of its EPIC-Kitchens recipe (Table 7) as defaults; then ours."""

NAMES = tuple(step.name for step in STEPS)


def value_of(config: TrainConfig, name: str) -> Any:
    """A field of the training or of its groups; of the model, the preset's value unless it is set."""
    if name in MODEL:
        if name in config.model:
            return config.model[name]
        model = preset(config.preset) if config.preset is not None else ModelConfig()
        return getattr(model, name)
    for group in (config, config.augmentation, config.optimisation):
        if hasattr(group, name):
            value = getattr(group, name)
            return None if name == "ema_decay" and not value else value
    raise AttributeError(name)


def with_fields(config: TrainConfig, fields: Mapping[str, Any]) -> TrainConfig:
    """The training with other values of these."""
    model = {name: value for name, value in fields.items() if name in MODEL}
    others = {name: value for name, value in fields.items() if name not in MODEL}
    return override(config, **others, **({"model": model} if model else {}))


def chosen_steps(base: TrainConfig, names: tuple[str, ...]) -> tuple[Regulariser, ...]:
    """The steps that were asked for; else the paper's and those that the base has besides."""
    known = {step.name: step for step in STEPS}
    for name in names:
        if name not in known:
            raise ConfigError(f"rungs: no regulariser is called {name!r}{did_you_mean(name, known)}")
    if "init" in names and base.init is None:
        raise ConfigError("rungs: pretrained weights are a step only where there are some; name them with init")
    if names:
        return tuple(known[name] for name in dict.fromkeys(names))
    return tuple(
        step for step in STEPS if step.is_on(base) or (step.paper is not None and step.name not in ("init", "basic"))
    )


def plan(setting: Setting) -> Plan:
    """From nothing, one more at a time; then all but one."""
    base = setting.base
    steps = chosen_steps(base, setting.options.rungs)
    notes = [_basic_note(base)]
    if base.init is not None and base.preset is None:
        steps = tuple(step for step in steps if step.name != "init")
        notes.append(
            f"all cells start from {base.init}, which the architecture is taken from; name a preset for a step"
        )
    bare = with_fields(base, {name: value for step in STEPS if step.name != "init" for name, value in step.off.items()})
    if any(step.name == "init" for step in steps):
        bare = replace(bare, init=None)
    cells, config = [Cell(name="none", label="none", config=bare)], bare
    for step in steps:
        config = with_fields(config, step.of(base))
        paper = {} if step.paper is None else {"EPIC action": step.paper}
        fields = _in_words(step, base)
        cells.append(
            Cell(name=f"plus-{step.name}", label=f"+ {step.label}", config=config, paper=paper, facts={"value": fields})
        )
    hypotheses = _step_hypotheses(cells, steps)
    if setting.options.leave_one_out:
        for step in steps[:-1]:  # without the last one is the cell before it
            without = with_fields(config, step.off)
            label = f"all but {step.label}"
            cells.append(Cell(name=f"without-{step.name}", label=label, config=without, facts={"value": "off"}))
        hypotheses += _leave_out_hypotheses(cells, steps)
    return Plan(tuple(cells), tuple(hypotheses), notes=tuple(notes))


def _in_words(step: Regulariser, base: TrainConfig) -> str:
    on = {name: value for name, value in step.of(base).items() if value != step.off[name]}
    text = ", ".join(f"{name} {_number(value)}" for name, value in on.items())
    return text if step.is_on(base) else f"{text} (the recipe has it off)"


def _number(value: Any) -> str:
    if isinstance(value, tuple):
        return " to ".join(f"{part:g}" for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _basic_note(base: TrainConfig) -> str:
    augmentation = base.augmentation
    off = [name for name in ("flip", "colour", "grey") if not getattr(augmentation, name)]
    if not off:
        return "The basic augmentation is the recipe's."
    return f"The basic augmentation is the recipe's, which has no {' and no '.join(off)}."


def _step_hypotheses(cells: list[Cell], steps: tuple[Regulariser, ...]) -> list[Hypothesis]:
    before = {step.name: below.paper for below, step in pairwise(STEPS)}
    hypotheses = []
    for below, cell, step in zip(cells, cells[1:], steps, strict=False):
        without = before.get(step.name)
        paper = "" if step.paper is None or without is None else f"{step.paper:.1f} against {without:.1f} % of {EPIC}"
        hypotheses.append(Hypothesis(f"Adding {step.label} helps", cell.name, below.name, paper))
    if len(steps) > 1:
        hypotheses.append(
            Hypothesis(
                f"All of them together are better than {steps[0].label} alone",
                cells[-1].name,
                cells[1].name,
                f"43.7 against 38.4 % of {EPIC}, pretrained weights among them; 65.4 against 60.4 % on "
                "Something-Something v2"
                if steps[0].name == "basic"
                else "",
            )
        )
    return hypotheses


def _leave_out_hypotheses(cells: list[Cell], steps: tuple[Regulariser, ...]) -> list[Hypothesis]:
    full = f"plus-{steps[-1].name}"
    return [
        Hypothesis(f"All of them are better than all but {step.label}", full, f"without-{step.name}")
        for step in steps[:-1]
    ]


STUDY = Study(
    name="regularisers",
    title="Regularisers",
    question="What does each regulariser add, and which of them matters?",
    paper=(
        "Table 4 of the paper adds them one after the other to a factorised encoder (ViViT-B/16x2) on EPIC-Kitchens: "
        "38.4 % of the actions with crop, flip and colour jitter, 43.7 % with all; on Something-Something v2 60.4 "
        "becomes 65.4 %."
    ),
    plan=plan,
    options=("leave_one_out", "rungs"),
)
