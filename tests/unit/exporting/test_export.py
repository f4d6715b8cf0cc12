"""An exported model is the model: its logits, its predictions, and what is refused."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy
import onnx
import pytest
import torch

import tubelet
from own_process import run
from tubelet.errors import ConfigError, WeightsError
from tubelet.exporting import formats
from tubelet.exporting.clips import read_samples
from tubelet.video import Preprocessing

Export = Callable[[str], Path]

WITHOUT_TORCH = """
import runpy, sys
sys.modules["torch"] = sys.modules["tubelet"] = None  # an import of them is an error
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_run_py_predicts_what_tubelet_predicts(exported: Export, trained: Path, bars: Path, tmp_path: Path) -> None:
    videos = [str(bars / "left" / "0.mp4"), str(bars / "down" / "1.mp4")]
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    done = run("-c", WITHOUT_TORCH, exported("onnx") / "run.py", *videos, broken, "--json", check=False)
    assert done.returncode == 1
    *found, failed = map(json.loads, done.stdout.splitlines())
    expected = tubelet.predict(trained, videos)
    for ours, theirs in zip(found, expected, strict=True):
        wanted = theirs.to_dict()
        for name in ("path", "error", "label", "views", "frames", "damaged", "timestamps", "resampled"):
            assert ours[name] == wanted[name]
        assert [best["label"] for best in ours["top"]] == [best["label"] for best in wanted["top"]]
        assert ours["probability"] == pytest.approx(wanted["probability"], abs=1e-5)
    assert failed["path"] == str(broken)
    assert failed["error"]


def test_batches_of_any_size_give_the_models_logits(exported: Export, trained: Path) -> None:
    model, twin = tubelet.load(trained), tubelet.load(exported("onnx"))
    video = torch.randint(0, 256, (8, 4, 3, 16, 16), dtype=torch.uint8)
    normalised = Preprocessing(model.preprocessing).normalise(video)
    with torch.no_grad():
        expected = model(normalised)
    for size in (1, 3, 8):
        assert (twin(normalised[:size]) - expected[:size]).abs().max() <= 1e-5 * expected.abs().max()


def test_an_exported_model_evaluates_as_the_model(exported: Export, trained: Path, bars: Path) -> None:
    plain, twin = (tubelet.evaluate(str(folder), str(bars)) for folder in (trained, exported("onnx")))
    ours, theirs = twin.metrics["label"], plain.metrics["label"]
    assert ours.top1 == theirs.top1
    assert ours.loss == pytest.approx(theirs.loss, rel=1e-4)


def test_what_is_no_whole_clip_of_pixels_is_refused(exported: Export) -> None:
    model = tubelet.load(exported("onnx"))
    with pytest.raises(ConfigError, match=r"--input float"):
        model(torch.full((1, 4, 3, 16, 16), 0.1234))
    with pytest.raises(ConfigError, match=r"\[B, 4, 3, 16, 16\]"):
        model(torch.zeros(1, 4, 3, 32, 32))
    with pytest.raises(ConfigError, match="whole clips"):
        model.forward_features(torch.zeros(1, 4, 3, 16, 16))
    with pytest.raises(ConfigError, match="for inference"):
        model.train()


def test_a_file_holds_labels_and_preprocessing_and_no_path_of_this_machine(exported: Export, trained: Path) -> None:
    folder = exported("onnx")
    model = onnx.load(folder / "model.onnx")
    (inside,) = [json.loads(entry.value) for entry in model.metadata_props if entry.key == "tubelet"]
    assert inside["labels"] == {"label": ["down", "left", "right"]}
    assert inside["preprocessing"]["mean"] == [0.4, 0.5, 0.6]
    assert "batch" in str(model.graph.input[0].type)
    for file in folder.iterdir():
        for place in (trained.parent, Path(tubelet.__file__).parents[1], Path(torch.__file__).parents[1]):
            assert str(place).encode() not in file.read_bytes(), file.name


def test_the_samples_are_real_clips_with_the_models_logits(exported: Export, trained: Path, bars: Path) -> None:
    samples = read_samples(exported("onnx"))
    assert len(samples) == 12
    shown = {tuple(clip.reshape(-1)[:3]) for clip in samples.pixels}
    assert shown != {(0, 0, 0)}
    results = tubelet.predict(trained, str(bars))
    assert isinstance(results, list)
    logits = sorted(tuple(result.heads["label"].logits.tolist()) for result in results)
    kept = sorted(tuple(row.tolist()) for row in samples.logits["label"])
    assert numpy.allclose(logits, kept, rtol=1e-4, atol=1e-4)


def test_a_file_that_is_not_the_model_does_not_get_its_name(trained: Path, tmp_path: Path) -> None:
    done = run(
        "-c",
        """
import sys, torch
from tubelet.exporting import exporter
trace = exporter.trace
def another(model, contract):
    with torch.no_grad():
        model.head.weight[0, 0] += 0.5
    return trace(model, contract)
exporter.trace = another
exporter.export(sys.argv[1], sys.argv[2])
""",
        trained,
        tmp_path / "out",
        check=False,
    )
    assert "logits differ by" in done.stderr
    assert "most in clip" in done.stderr
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten_unasked(exported: Export, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="--overwrite"):
        tubelet.export(trained, exported("onnx"))
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(WeightsError, match="something else"):
        tubelet.export(trained, tmp_path, overwrite=True)
    with pytest.raises(ConfigError, match="exported already"):
        tubelet.export(exported("onnx"), tmp_path / "again")


def test_a_format_without_its_packages_is_refused_by_name(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(formats.PACKAGES, "executorch", ("executorch-that-is-not-there",))
    with pytest.raises(ConfigError, match=r"executorch needs .* not installed: pip install 'tubelet\[executorch\]'"):
        tubelet.export(trained, tmp_path / "out", "executorch")


def test_without_sample_clips_it_asks_for_videos(trained: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trained, tmp_path / "bare")
    (folder / "sample_clips.safetensors").unlink()
    with pytest.raises(ConfigError, match="--data"):
        tubelet.export(folder, tmp_path / "out")
    with pytest.raises(ConfigError, match="onnx, openvino, pt2, executorch"):
        tubelet.export(folder, tmp_path / "out", "onxn")  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have no AVX-512")
def test_a_portable_package_has_no_instruction_that_needs_avx512(exported: Export, tmp_path: Path) -> None:
    with zipfile.ZipFile(exported("pt2") / "model.pt2") as package:
        (library,) = [package.extract(name, tmp_path) for name in package.namelist() if name.endswith(".so")]
    done = subprocess.run(["objdump", "-d", library], capture_output=True, text=True, check=True)
    assert "ymm" in done.stdout
    assert "zmm" not in done.stdout


KILLED = """
import os, random, shutil, signal, sys, time
from pathlib import Path
import onnxruntime, onnxscript, torch.onnx  # noqa: E401
from tubelet.exporting import check_export, export
trained, out, draws = sys.argv[1], Path(sys.argv[2]), random.Random(0)
began = time.monotonic()
export(trained, out)
whole = time.monotonic() - began
shutil.rmtree(out)
unfinished = 0
for _ in range(20):
    child = os.fork()
    if child == 0:
        export(trained, out)
        os._exit(0)
    time.sleep(draws.random() * whole)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    unfinished += not out.exists()
    if out.exists():  # it was done before
        assert check_export(out).ok
        shutil.rmtree(out)
export(trained, out)
print(unfinished)
"""


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_killed_export_leaves_no_folder_with_its_name(trained: Path, tmp_path: Path) -> None:
    unfinished = int(run("-c", KILLED, trained, tmp_path / "out").stdout)
    assert unfinished >= 10
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
