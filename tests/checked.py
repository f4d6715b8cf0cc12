"""Every signature of tubelet is checked while the tests run: types by beartype, shapes by jaxtyping.

jaxtyping's import hook adds its decorator to every function. That decorator binds the arguments of each call and checks
them twice, and it does so in functions without shapes too: half of the time of a small training. `checked` takes its
place.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype

SHAPE = re.compile(r"\b(Bool|Float|Float64|Int|UInt8)\[")
TYPES = beartype(conf=BeartypeConf(violation_type=TypeError))


def check_signatures(modules: Sequence[str]) -> None:
    """Check the functions of modules, and of those inside them, that are imported from now on."""
    jaxtyping.jaxtyped = _decorator
    jaxtyping.install_import_hook(modules, "beartype.beartype")


def _decorator(*, typechecker: Any) -> Callable[[Any], Any]:
    """What the hook calls, with a type checker of its own."""
    return checked


def checked(found: Any) -> Any:
    """A function with its types checked, and its shapes if it names any; a dataclass with those of its fields.

    A function inside a function is checked if it names shapes: it is decorated anew in each call, which takes 2 ms.
    """
    if isinstance(found, type):
        if dataclasses.is_dataclass(found) and "__init__" in vars(found):
            found.__init__ = checked(found.__init__)
        return found
    shaped = any(SHAPE.search(str(annotation)) for annotation in found.__annotations__.values())
    if not shaped and "<locals>" in found.__qualname__:
        return found
    typed = TYPES(_readable(found))
    if not shaped:
        return typed

    @functools.wraps(found)
    def with_shapes(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        with AXES:
            return typed(*args, **kwargs)

    return with_shapes


def _readable(function: Any) -> Any:
    """The function; an annotation that cannot be evaluated yet, such as its own class, is not checked."""
    for name, annotation in function.__annotations__.items():
        try:
            eval(annotation, function.__globals__)
        except (NameError, TypeError):  # TypeError: a class that is generic in its stub file alone
            function.__annotations__[name] = Any
    return function


AXES = jaxtyping.jaxtyped("context")
"""Sizes of axes are equal within a call, and forgotten after it."""
