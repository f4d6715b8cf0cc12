"""Files that lie, or were made to do harm: refused in words, before they take memory, a terminal or the stack."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file

import tubelet
from tubelet import ModelConfig, PreprocessingConfig, WeightsError
from tubelet.errors import ConfigError
from tubelet.weights.image_vit_npz import read_npz
from tubelet.weights.image_vit_read import read_image_vit
from tubelet.weights.msgpack_tree import read_tree
from tubelet.weights.pickled import load_pickled
from unit.weights.conftest import PublishedViT
from unit.weights.kinds import tiny

HUGE = 1 << 50


class Made:
    """Is pickled as a call."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.made = call, arguments

    def __reduce__(self) -> Any:
        return self.made


@pytest.mark.parametrize(
    "thing",
    [Made(bytearray, HUGE), Made(torch.FloatTensor, HUGE), Made(torch.Tensor, HUGE), Made(torch.UntypedStorage, HUGE)],
    ids=["bytearray", "FloatTensor", "Tensor", "UntypedStorage"],
)
def test_a_pickle_that_asks_for_memory_is_refused_unopened(thing: Made, tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(2), "x": thing}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"x\.pth: holds more than tensors"):
        load_pickled(tmp_path / "x.pth")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_state_dicts_as_trainings_write_them_are_opened(dtype: torch.dtype, tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 3).to(dtype)
    optimiser = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 2, dtype=dtype)).sum().backward()
    optimiser.step()
    held = {"model": layer.state_dict(), "weight": layer.weight, "optimizer": optimiser.state_dict(), "epoch": 3}
    torch.save({**held, "shape": layer.weight.shape, "dtype": dtype}, tmp_path / "x.pth")
    opened = load_pickled(tmp_path / "x.pth")
    assert torch.equal(opened["model"]["weight"], layer.weight)
    assert torch.equal(opened["optimizer"]["state"][0]["exp_avg"], optimiser.state_dict()["state"][0]["exp_avg"])


def test_an_archive_of_far_more_than_its_size_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    numpy.savez_compressed(tmp_path / "bomb.npz", numpy.zeros(17 << 20, numpy.float32))
    with pytest.raises(WeightsError, match=r"bomb\.npz: \d+ bytes that unpack to 71303\d\d\d"):
        read_npz(tmp_path / "bomb.npz")


def test_an_archive_that_is_compressed_as_usual_is_read(published_vit: PublishedViT, tmp_path: Path) -> None:
    arrays = dict(numpy.load(published_vit()))
    numpy.savez_compressed(tmp_path / "packed.npz", **arrays)
    read = read_npz(tmp_path / "packed.npz")
    assert all(torch.equal(read[name], torch.from_numpy(array)) for name, array in arrays.items())


def test_an_array_with_a_header_of_brackets_is_refused(tmp_path: Path) -> None:
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': " + b"(" * 60 + b"\n"
    header = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", header)
    with pytest.raises(WeightsError, match=r"x\.npz: a is not an array"):
        read_npz(tmp_path / "x.npz")


@pytest.mark.parametrize("depth", [100, 500, 900, 1020, 5000])
@pytest.mark.parametrize("looked_into", [True, False], ids=["at once", "key by key"])
def test_a_deep_tree_is_refused(depth: int, looked_into: bool, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x81\xa1a" * depth + b"\xc0")
    with pytest.raises(WeightsError, match=r"not a whole Flax checkpoint"):
        read_tree(tmp_path / "x", lambda path: True if looked_into else None)
    (tmp_path / "x").write_bytes(msgpack.packb({"a": {"b": 1}}))
    assert read_tree(tmp_path / "x") == {"a": {"b": 1}}


WRONG = ["NaN", "Infinity", "-Infinity", "1e308", "1" + "0" * 30, "1" * 10_000]


@pytest.mark.parametrize("number", WRONG, ids=["NaN", "inf", "-inf", "1e308", "10^30", "10,000 digits"])
def test_no_field_of_a_folder_takes_a_number_that_cannot_be_meant(number: str, tmp_path: Path) -> None:
    model = tiny()
    model.preprocessing = PreprocessingConfig(num_frames=4, resize=20, crop_size=(16, 24), median_frames=9)
    tubelet.save(model, tmp_path)
    file = tmp_path / "config.json"
    whole = file.read_text()
    described = json.loads(whole)
    accepted = []
    for part in ("model", "preprocessing"):
        for field, value in described[part].items():
            wrong: Any = "MARK"
            if isinstance(value, list):
                wrong = ["MARK", *value[1:]]
            elif isinstance(value, bool) or not isinstance(value, int | float):
                continue
            changed = {**described, part: {**described[part], field: wrong}}
            file.write_text(json.dumps(changed).replace('"MARK"', number))
            try:
                tubelet.load(tmp_path)
            except WeightsError:
                continue
            accepted.append(field)
    file.write_text(whole)
    tubelet.load(tmp_path)
    assert accepted == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("field", ["layer_norm_eps", "output_norm_eps", "residual_init", "dropout", "drop_path"])
def test_no_model_has_such_a_number(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        ModelConfig(**{field: value})


@pytest.mark.parametrize(
    "fields",
    [
        {"mean": (float("nan"),) * 3},
        {"std": (float("inf"),) * 3},
        {"std": (-0.5,) * 3},
        {"std": (1e-30,) * 3},
        {"num_frames": 2**31},
        {"crop_size": (-224, 224)},
        {"crop_size": (10**5, 10**5), "resize": 10**5},
        {"resize": 2**31},
        {"num_frames": 4.5},
    ],
    ids=str,
)
def test_no_preprocessing_has_such_a_number(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"mean|std|num_frames|crop_size|resize"):
        PreprocessingConfig(**fields)


NAMES = {"escape": "\x1b[31m", "long": "a" * 60_000, "words": "two words " * 6_000, "direction": "\u202e"}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_names_in_a_file_are_escaped_and_cut_in_messages(name: str, tmp_path: Path) -> None:
    tubelet.save(tiny(), tmp_path)
    file = tmp_path / "model.safetensors"
    save_file({**load_file(file), name: torch.ones(1)}, file)
    with pytest.raises(WeightsError, match="not expected in this model") as caught:
        tubelet.load(tmp_path)
    message = str(caught.value)
    assert str(file) in message
    assert message.isprintable()
    assert len(message) < 4100
    report = str(tubelet.load(tmp_path, allow_unexpected=["*"]).load_report)
    assert all(line.isprintable() and len(line) < 4100 for line in report.splitlines())


@pytest.mark.parametrize("wrong", [{"std": (0.5, 0.0, 0.5)}, {"mean": (1e30, 0.5, 0.5)}], ids=str)
def test_a_file_with_such_a_number_is_named(wrong: dict[str, Any], published_vit: PublishedViT, tmp_path: Path) -> None:
    vit = read_image_vit(published_vit())
    assert vit.mean is not None
    fields = {"hidden_size": 16, "num_heads": 4, "mlp_dim": 24, "num_layers": 2, "image_size": 32}
    model = tubelet.create("vivit_base_16x2", num_frames=4, tubelet_size=(2, 8, 8), num_classes=3, **fields)
    with pytest.raises(WeightsError, match=r"vit\.npz: mean .* expected numbers"):
        tubelet.initialise(model, dataclasses.replace(vit, **wrong))
