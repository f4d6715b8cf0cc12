"""Import paths of before: the same objects, and the functions stay functions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


def test_former_paths_give_the_objects_of_the_package() -> None:
    lines = ["import inspect, tubelet"]
    for former, package, module, name in PAIRS:
        lines += [
            f"import tubelet.{former}",
            f"from tubelet.{former} import {name} as short",
            f"from tubelet.{former}.{module} import {name} as former",
            f"import tubelet.{package}.{module} as module",
            f"assert short is former is module.{name}",
            f"assert inspect.isfunction(tubelet.{former})",
            f"assert tubelet.{former}.__module__.split('.')[1] in ('{package}', 'runs')",
        ]
    lines += [
        "from tubelet.data.folder import read_folder",
        "assert read_folder.__module__ == 'tubelet.data.class_folders'",
    ]
    run_python("\n".join(lines))


def test_what_never_was_is_not_found() -> None:
    run_python(
        "import importlib\n"
        "for name in ('tubelet.train.nothing', 'tubelet.nothing'):\n"
        "    try:\n"
        "        importlib.import_module(name)\n"
        "    except ModuleNotFoundError:\n"
        "        continue\n"
        "    raise AssertionError(name)\n"
        "try:\n    from tubelet.train import nothing\nexcept ImportError:\n    pass\nelse:\n    raise AssertionError\n"
    )
