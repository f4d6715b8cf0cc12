"""Import paths of before: the same objects, and the functions stay functions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"

PAIRS = [
    ("evaluate", "evaluation", "metrics", "compute_metrics"),
    ("predict", "prediction", "sources", "find_videos"),
    ("pretrain", "pretraining", "masking", "Visible"),
    ("probe", "probing", "knn", "knn_votes"),
    ("train", "training", "step", "DivergedError"),
]


def run_python(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=SOURCE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("former", "package", "module", "name"), PAIRS)
def test_former_paths_give_the_objects_of_the_package(former: str, package: str, module: str, name: str) -> None:
    run_python(
        f"import tubelet.{former}\n"
        f"from tubelet.{former} import {name} as short\n"
        f"from tubelet.{former}.{module} import {name} as former\n"
        f"import inspect, tubelet, tubelet.{package}.{module} as module\n"
        f"assert short is former is module.{name}\n"
        f"assert inspect.isfunction(tubelet.{former})\n"
        f"assert tubelet.{former}.__module__.startswith('tubelet.{package}.')\n"
    )


def test_a_module_that_never_was_is_not_found() -> None:
    run_python(
        "import importlib\n"
        "for name in ('tubelet.train.nothing', 'tubelet.nothing'):\n"
        "    try:\n"
        "        importlib.import_module(name)\n"
        "    except ModuleNotFoundError:\n"
        "        continue\n"
        "    raise AssertionError(name)\n"
    )


def test_a_name_that_never_was_is_an_import_error() -> None:
    run_python(
        "try:\n    from tubelet.train import nothing\nexcept ImportError:\n    pass\nelse:\n    raise AssertionError\n"
    )
