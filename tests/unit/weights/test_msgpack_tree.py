"""Flax's files, as Flax reads and writes them; and files that lie."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path
from typing import Any

import msgpack
import numpy
import pytest
import torch

from tubelet import WeightsError
from tubelet.weights import msgpack_tree
from tubelet.weights.msgpack_tree import flatten, read_tree, unflatten, write_tree


def packed_array(shape: Any, dtype: Any, content: Any, code: int = 1) -> msgpack.ExtType:
    """As `flax.serialization` packs an array."""
    return msgpack.ExtType(code, msgpack.packb((shape, dtype, content), use_bin_type=True))


def file_of(tmp_path: Path, content: Any) -> Path:
    file = tmp_path / "x.checkpoint"
    file.write_bytes(content if isinstance(content, bytes) else msgpack.packb(content, use_bin_type=True))
    return file


def test_reads_what_flax_writes(tmp_path: Path) -> None:
    matrix = numpy.arange(6, dtype="float32").reshape(2, 3)
    tree = read_tree(
        file_of(
            tmp_path,
            {
                "params": {"kernel": packed_array(matrix.shape, "float32", matrix.tobytes())},
                "empty": packed_array((0, 3), "float32", b""),
                "step": packed_array((), "int32", numpy.int32(7).tobytes(), code=3),
                "complex": msgpack.ExtType(2, msgpack.packb((1.0, 2.0))),
                "nothing": None,
                "text": "a",
            },
        )
    )
    assert torch.equal(tree["params"]["kernel"], torch.from_numpy(matrix))
    assert tree["empty"].shape == (0, 3)
    assert tree["step"] == 7
    assert tree["complex"] == 1 + 2j
    assert (tree["nothing"], tree["text"]) == (None, "a")


def test_bfloat16_keeps_every_bit(tmp_path: Path) -> None:
    bits = numpy.array([0x3F80, 0xC000, 0x3E20], dtype="<u2")  # 1, -2, 0.15625
    tree = read_tree(file_of(tmp_path, {"x": packed_array((3,), "bfloat16", bits.tobytes())}))
    assert torch.equal(tree["x"], torch.tensor([1, -2, 0.15625], dtype=torch.bfloat16))


def test_an_array_in_chunks_is_put_together(tmp_path: Path) -> None:
    numbers = numpy.arange(6, dtype="float32")
    chunks = {str(i): packed_array((2,), "float32", numbers[2 * i : 2 * i + 2].tobytes()) for i in range(3)}
    node = {"__msgpack_chunked_array__": True, "shape": {"0": 2, "1": 3}, "chunks": chunks}
    tree = read_tree(file_of(tmp_path, {"x": node}))
    assert torch.equal(tree["x"], torch.arange(6, dtype=torch.float32).view(2, 3))


def test_a_large_array_is_written_in_chunks_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(msgpack_tree, "LARGEST_CHUNK", 64)
    large = torch.randn(7, 11)
    write_tree({"a": {"x": large}}, tmp_path / "x")
    plain = msgpack.unpackb((tmp_path / "x").read_bytes(), ext_hook=lambda code, data: code)
    assert plain["a"]["x"]["shape"] == {"0": 7, "1": 11}
    assert len(plain["a"]["x"]["chunks"]) == math.ceil(7 * 11 / 16)
    assert torch.equal(read_tree(tmp_path / "x")["a"]["x"], large)


def test_what_is_not_wanted_is_not_read(tmp_path: Path) -> None:
    liar = packed_array((10**6, 10**6), "float32", b"")
    file = file_of(tmp_path, {"a": {"b": 1, "c": liar}, "d": liar})
    tree = read_tree(file, lambda path: None if path == ("a",) else path[-1] == "b")
    assert tree == {"a": {"b": 1, "c": None}, "d": None}


def test_flatten_and_back() -> None:
    tree = {"a": {"b": 1, "c": {"d": 2}}, "e": 3}
    assert flatten(tree) == {"a/b": 1, "a/c/d": 2, "e": 3}
    assert unflatten(flatten(tree)) == tree


LIES = {
    "10^12 elements": {"x": packed_array((10**6, 10**6), "float32", b"1234")},
    "2^64 elements": {"x": packed_array((2**32, 2**32), "float32", b"")},
    "fewer bytes than elements": {"x": packed_array((3,), "float32", b"12345678")},
    "more bytes than elements": {"x": packed_array((1,), "float32", b"12345678")},
    "a negative size": {"x": packed_array((-1, -1), "float32", b"1234")},
    "Python objects": {"x": packed_array((1,), "object", b"12345678")},
    "no array": {"x": msgpack.ExtType(1, msgpack.packb([1, 2]))},
    "an unknown extension": {"x": msgpack.ExtType(42, b"1234")},
    "an extension inside an array": {"x": msgpack.ExtType(1, msgpack.packb(msgpack.ExtType(1, b"")))},
    "a complex number of three parts": {"x": msgpack.ExtType(2, msgpack.packb((1, 2, 3)))},
    "chunks that are missing": {"x": {"__msgpack_chunked_array__": True, "shape": {"0": 2}, "chunks": {}}},
    "chunks that do not fill the shape": {
        "x": {
            "__msgpack_chunked_array__": True,
            "shape": {"0": 10**12},
            "chunks": {"0": packed_array((1,), "float32", b"1234")},
        }
    },
    "a key that is no name": {7: 1},
    "a list of 2^32": b"\x81\xa1x\xdd\xff\xff\xff\xff",
    "a map of 2^32": b"\x81\xa1x\xdf\xff\xff\xff\xff",
    "an array of 2 GB that ends at once": b"\x81\xa1x\xc9\x7f\xff\xff\xff\x01abc",
    "a tower of lists": b"\x81\xa1x" + b"\x91" * 100_000,
    "a tower of maps": b"\x81\xa1x" * 100_000,
    "more after the end": b"\x80\x00",
    "nothing": b"",
    "a list": b"\x91\x01",
    "text that is no UTF-8": b"\x81\xa1x\xa2\xff\xfe",
}


@pytest.mark.parametrize("lie", list(LIES))
def test_a_file_that_lies_is_one_clear_error_and_takes_no_memory(lie: str, tmp_path: Path) -> None:
    file = file_of(tmp_path, LIES[lie])
    tracemalloc.start()
    with pytest.raises(WeightsError, match=str(file)) as caught:
        read_tree(file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert peak < 64 * 2**20


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole = msgpack.packb({"a": packed_array((2,), "float32", b"12345678"), "b": {"c": 1.5}}, use_bin_type=True)
    for length in range(len(whole)):
        with pytest.raises(WeightsError):
            read_tree(file_of(tmp_path, whole[:length]))


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    write_tree({"x": torch.ones(2)}, tmp_path / "x")
    with pytest.raises(TypeError):
        write_tree({"x": torch.zeros(2), "y": object()}, tmp_path / "x")
    assert torch.equal(read_tree(tmp_path / "x")["x"], torch.ones(2))
    assert [file.name for file in tmp_path.iterdir()] == ["x"]
