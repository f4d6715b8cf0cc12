"""Int8: an exported model where it is faster and classifies alike, and otherwise refused with the figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch

import tubelet
from own_process import run
from tubelet.errors import ConfigError
from tubelet.exporting import check_export
from tubelet.video import Preprocessing

EXPORT = """
import sys
import numpy, onnx
from tubelet.exporting import exporter, int8
seconds = [float(word) for word in sys.argv[3:5]]
int8.seconds_in_turn = lambda calls, rounds: seconds  # which is faster depends on the machine
if "narrow" in sys.argv:  # ranges far too narrow: everything saturates
    quantise = exporter.quantise
    def narrow(file, contract, clips):
        quantise(file, contract, clips)
        model = onnx.load(file)
        for each in model.graph.initializer:
            if each.name.endswith("_scale"):
                scale = onnx.numpy_helper.to_array(each) * numpy.float32(0.05)
                each.CopyFrom(onnx.numpy_helper.from_array(scale, each.name))
        onnx.save(model, file)
    exporter.quantise = narrow
exporter.export(sys.argv[1], sys.argv[2], int8=True)
"""


def test_int8_is_an_exported_model_with_the_models_classes(
    exported: Callable[[str], Path], trained: Path, bars: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "int8"
    run("-c", EXPORT, trained, folder, "2", "1")
    found = check_export(folder)
    assert found.ok, found.problems
    assert found.parity is not None
    assert found.parity.precision == "int8"
    assert found.parity.same_top1 == found.parity.clips == 12
    assert (folder / "model.onnx").stat().st_size < 0.8 * (exported("onnx") / "model.onnx").stat().st_size
    videos = sorted(map(str, bars.rglob("*.mp4")))
    ours, theirs = tubelet.predict(folder, videos), tubelet.predict(trained, videos)
    assert [one.label for one in ours] == [one.label for one in theirs]
    plain, twin = tubelet.load(trained), tubelet.load(folder)
    clip = Preprocessing(plain.preprocessing).normalise(torch.randint(0, 256, (2, 4, 3, 16, 16), dtype=torch.uint8))
    with torch.no_grad():
        assert not numpy.array_equal(plain(clip), twin(clip))


def test_int8_that_is_slower_is_refused_with_the_figures(trained: Path, tmp_path: Path) -> None:
    done = run("-c", EXPORT, trained, tmp_path / "int8", "1", "2", check=False)
    assert "not faster on this machine: 2 s a clip, and float32 takes 1 s" in done.stderr
    assert not list(tmp_path.iterdir())


def test_int8_that_changes_classes_is_refused_with_the_figures(trained: Path, tmp_path: Path) -> None:
    done = run("-c", EXPORT, trained, tmp_path / "int8", "2", "1", "narrow", check=False)
    assert "int8 changes too much" in done.stderr
    assert "of 12 clips have the same best class (at least 99% are needed)" in done.stderr
    assert not list(tmp_path.iterdir())


def test_other_formats_have_no_int8(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="use format='onnx'"):
        tubelet.export(trained, tmp_path / "int8", "openvino", int8=True)
