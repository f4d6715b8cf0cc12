"""Lets a package be called like the function that bears its name.

`tubelet.predict` is a package (a room of the house) and `tubelet.predict(...)` is the public function that lives in
it. The import system binds the package to that name whenever anything inside it is imported, so a function put there
would be lost, and a function that stays there would hide the package from `import tubelet.predict.x as x`. So the
name is always the package, and the package can be called:

    # tubelet/predict/__init__.py
    from tubelet.predict.predictor import predict

    make_callable(__name__)

    tubelet.predict(model, "clip.mp4")  # calls tubelet.predict.predict
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


class CallableModule(ModuleType):
    """A module that passes a call on to its function of the same name, with its signature; pickles by name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _function_of(self)(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(_function_of(self))

    def __reduce__(self) -> tuple[Callable[[str], ModuleType], tuple[str]]:
        return importlib.import_module, (self.__name__,)


def make_callable(module_name: str) -> None:
    """Make an imported package callable. Stands at the end of its `__init__.py`: `make_callable(__name__)`.

    Args:
        module_name: full name of a module that holds a function of its own last name (`a.b` holds `b`).

    Raises:
        TypeError: the module has no such function.
    """
    module = sys.modules[module_name]
    _function_of(module)
    module.__class__ = CallableModule


def _function_of(module: ModuleType) -> Callable[..., Any]:
    name = module.__name__.rpartition(".")[2]
    function = vars(module).get(name)
    if not callable(function) or isinstance(function, ModuleType):
        raise TypeError(
            f"{module.__name__} cannot be called: it has no function {name!r}; its __init__.py must import one"
        )
    return function
