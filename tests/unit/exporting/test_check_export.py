"""`tubelet export --check` says what was changed, in every format."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import onnx
import pytest

from own_process import run
from tubelet.exported.sessions import MODEL_FILES
from tubelet.exporting import check_export

Export = Callable[[str], Path]
FORMATS = ["onnx", "openvino", "executorch", pytest.param("pt2", marks=pytest.mark.slow)]
WEIGHTS = {"openvino": "model.bin", "executorch": "model.pte"}


def _copy(exported: Export, format: str, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(exported(format), tmp_path / "copy"))
    assert check_export(folder).ok
    return folder


def _require(folder: Path, *words: str) -> None:
    found = check_export(folder)
    assert not found.ok
    for some in words:
        assert any(some in problem for problem in found.problems), found.problems


def _edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    file = folder / "tubelet.json"
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))


def _swap_mean_and_std(data: dict[str, Any]) -> None:
    how = data["preprocessing"]
    how["mean"], how["std"] = how["std"], how["mean"]


@pytest.mark.parametrize("format", FORMATS)
def test_labels_and_preprocessing_are_compared_with_those_inside(exported: Export, format: str, tmp_path: Path) -> None:
    folder = _copy(exported, format, tmp_path)
    _edit(folder, _swap_mean_and_std)
    _require(folder, "the preprocessing in tubelet.json")
    _edit(folder, _swap_mean_and_std)
    assert check_export(folder).ok
    _edit(folder, lambda data: data["labels"]["label"].reverse())
    _require(folder, "labels in tubelet.json")


def _flip_a_weight(file: Path) -> None:
    """Make one weight of the classification another number."""
    if file.suffix == ".onnx":
        model = onnx.load(file)
        weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        values = numpy.frombuffer(weights.raw_data, numpy.float32).copy()
        values[7] += 1
        weights.raw_data = values.tobytes()
        onnx.save(model, file)
        return
    content = bytearray(file.read_bytes())
    trained = numpy.load(file.parent / "weight.npy")
    place = content.find(trained.tobytes())
    assert place > 0
    content[place : place + 4] = numpy.float32(trained[0] + 1).tobytes()
    file.write_bytes(content)


@pytest.mark.parametrize("format", ["onnx", "openvino", "executorch"])
def test_one_weight_is_missed(exported: Export, trained: Path, format: str, tmp_path: Path) -> None:
    from tubelet import load

    folder = _copy(exported, format, tmp_path)
    numpy.save(folder / "weight.npy", load(trained).get_parameter("head.weight").detach().numpy().reshape(-1)[:8])
    name = WEIGHTS.get(format, MODEL_FILES[format])
    _flip_a_weight(folder / name)
    _require(folder, f"{name} is not the file that was exported", "its logits differ")


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_is_cut_off_or_missing_is_named(exported: Export, format: str, tmp_path: Path) -> None:
    folder = _copy(exported, format, tmp_path)
    for name in {MODEL_FILES[format], WEIGHTS.get(format, MODEL_FILES[format])}:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
        _require(folder, f"{name} is not the file that was exported", "cannot be loaded")
        (folder / name).unlink()
        _require(folder, f"{name} is missing")
        (folder / name).write_bytes(content)
    (folder / "sample.npz").write_bytes(b"")
    (folder / "run.py").unlink()
    _require(folder, "run.py is missing", "sample.npz: cannot be read")


def test_weights_in_a_file_of_their_own_are_checked_too(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "large"
    run(
        "-c",
        "import sys\nfrom tubelet.exporting import export, formats\nformats.ONE_FILE = 0\nexport(*sys.argv[1:])",
        trained,
        folder,
    )
    weights = folder / "model.onnx.data"
    assert weights.stat().st_size > (folder / "model.onnx").stat().st_size / 4
    assert check_export(folder).ok
    content = bytearray(weights.read_bytes())
    content[len(content) // 2 :] = content[: len(content) - len(content) // 2]
    weights.write_bytes(content)
    assert any("model.onnx.data is not the file" in problem for problem in check_export(folder).problems)
    weights.unlink()
    problems = check_export(folder).problems
    assert any("model.onnx.data is missing" in problem for problem in problems)
    assert any("cannot be loaded" in problem for problem in problems)
