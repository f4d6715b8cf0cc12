"""What is answered to words that make no command: what it is called in another program, and what here."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Collection, Sequence
from typing import Annotated, Any

USAGE = 2


class Misused(SystemExit):
    """Words that do not make a command. The reason was printed.

    Args:
        said: the reason.
    """

    def __init__(self, said: str) -> None:
        super().__init__(USAGE)
        self.said = said


VERBS = {
    "val": "evaluate",
    "valid": "evaluate",
    "validate": "evaluate",
    "eval": "evaluate",
    "test": "evaluate",
    "infer": "predict",
    "inference": "predict",
    "classify": "predict",
    "detect": "predict",
    "stream": "predict",
    "fit": "train",
    "finetune": "train",
    "fine-tune": "train",
    "benchmark": "bench",
    "info": "doctor",
    "presets": "models",
    "list": "models",
    "embed": "probe",
    "features": "probe",
}
"""Names of verbs elsewhere, and ours."""

FLAGS = {
    "output": ("out",),
    "output-dir": ("out",),
    "output-path": ("out",),
    "save-dir": ("out",),
    "work-dir": ("out",),
    "project": ("out",),
    "o": ("out",),
    "imgsz": ("image-size",),
    "img-size": ("image-size",),
    "input-size": ("image-size",),
    "resolution": ("image-size",),
    "size": ("image-size",),
    "frames": ("num-frames",),
    "clip-len": ("num-frames",),
    "clip-length": ("num-frames",),
    "sampling-rate": ("frame-stride",),
    "stride": ("frame-stride",),
    "source": ("data", "VIDEO", "DATA", "SOURCE"),
    "input": ("data", "VIDEO", "DATA", "SOURCE"),
    "videos": ("VIDEO", "data", "DATA"),
    "data": ("VIDEO", "DATA"),
    "dataset": ("data", "DATA"),
    "data-path": ("data", "DATA"),
    "model": ("preset", "MODEL", "SOURCE", "RUN"),
    "arch": ("preset",),
    "weights": ("init", "MODEL", "SOURCE"),
    "checkpoint": ("init", "MODEL", "SOURCE"),
    "ckpt": ("init", "MODEL", "SOURCE"),
    "pretrained": ("init",),
    "run": ("RUN", "MODEL"),
    "batch": ("batch-size",),
    "bs": ("batch-size",),
    "epoch": ("epochs",),
    "lr0": ("learning-rate",),
    "wd": ("weight-decay",),
    "num-workers": ("workers",),
    "gpu": ("device", "devices"),
    "gpus": ("devices", "device"),
    "amp": ("precision",),
    "fp16": ("precision",),
    "bf16": ("precision",),
    "half": ("precision",),
    "topk": ("top",),
    "top-k": ("top",),
    "force": ("overwrite",),
    "exist-ok": ("overwrite",),
    "q": ("quiet",),
    "silent": ("quiet",),
}
"""Names of flags elsewhere, and what may be meant: a flag, or a word of its own in capitals."""


def hints(words: Sequence[str], options: type) -> list[str]:
    """A sentence for each word that another program would understand and these options do not.

    Args:
        words: after the verb.
        options: the verb's dataclass.
    """
    known, positional = names_of(options)
    found = []
    for word in words:
        if word == "--":
            break
        name, given, value = word.lstrip("-").partition("=")
        name = name.replace("_", "-")
        if given and not word.startswith("-") and name in known:
            found.append(f"{word}: flags are written --{name} {value}")
        elif word.startswith("-") and name in FLAGS and name not in known:
            meant = [one for one in FLAGS[name] if one in known or one in positional]
            found.extend([f"{word}: {_said(meant[0])}"] if meant else [])
    return found


def names_of(options: type) -> tuple[Collection[str], Collection[str]]:
    """The flags of a dataclass of options, without their dashes, and the words that stand without a flag."""
    import tyro  # not above: `tubelet --help` does without it

    marker: Any = tyro.conf.Positional
    flags: set[str] = {"help"}
    positional: set[str] = set()
    types = typing.get_type_hints(options, include_extras=True)
    for field in dataclasses.fields(options):
        kind = types[field.name]
        about: tuple[Any, ...] = getattr(kind, "__metadata__", ()) if typing.get_origin(kind) is Annotated else ()
        metavars = [str(one.metavar).strip("[]").split()[0] for one in about if getattr(one, "metavar", None)]
        if dataclasses.is_dataclass(kind):
            flags |= set(names_of(typing.cast(type, kind))[0])
        elif any(one is marker for one in about):
            positional.update(metavars)
        else:
            named = [one.name for one in about if getattr(one, "name", None)]
            flags.add((named[0] if named else field.name).replace("_", "-"))
    return flags, positional


def _said(meant: str) -> str:
    return f"{meant} is a word of its own, without a flag" if meant.isupper() else f"the flag is --{meant}"
