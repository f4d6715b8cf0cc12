"""A bit that flips on the disk is an error that names the file, in whatever holds numbers that we wrote."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import tubelet
from tubelet import WeightsError
from tubelet.data import Sample
from tubelet.distributed.world import ALONE
from tubelet.features.store import Features, FeatureStore
from tubelet.training.checkpoint import load_checkpoint, save_checkpoint
from tubelet.training.sharded import load_sharded, save_sharded
from tubelet.weights.pickled import load_pickled
from tubelet.weights.tensor_files import load_tensors, save_tensors
from unit.weights.kinds import tiny


def flip(file: Path, byte: int, bit: int = 0) -> None:
    data = bytearray(file.read_bytes())
    data[byte] ^= 1 << bit
    file.write_bytes(data)


def payload(file: Path) -> range:
    """The bytes of a safetensors file that are numbers."""
    data = file.read_bytes()
    return range(8 + int.from_bytes(data[:8], "little"), len(data))


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.reshape(-1).view(torch.uint8).numpy().tobytes()


TENSORS = {
    "scalar": torch.tensor(1.5),
    "half": torch.arange(5).bfloat16(),
    "empty": torch.empty(0, 3),
    "mask": torch.tensor([True, False]),
    "numbers": torch.arange(6).reshape(2, 3),
}


def test_tensors_of_all_types_and_their_metadata_come_back(tmp_path: Path) -> None:
    save_tensors(TENSORS, tmp_path / "x", {"about": "été"})
    tensors, metadata = load_tensors(tmp_path / "x")
    assert metadata == {"about": "été"}
    assert {name: bits(tensor) for name, tensor in tensors.items()} == {n: bits(t) for n, t in TENSORS.items()}


def test_no_flipped_bit_anywhere_gives_other_tensors(tmp_path: Path) -> None:
    """Of every byte of the file; a flip in the name of the checksum's key alone takes the check away."""
    file = tmp_path / "x"
    save_tensors(TENSORS, file, {"about": "x"})
    whole, accepted = file.read_bytes(), 0
    for byte in range(len(whole)):
        flip(file, byte, byte % 8)
        with contextlib.suppress(WeightsError):
            tensors, _ = load_tensors(file)
            assert {name: bits(tensor) for name, tensor in tensors.items()} == {n: bits(t) for n, t in TENSORS.items()}
            accepted += 1
        file.write_bytes(whole)
    assert accepted <= len("tubelet_crc32")


@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
def test_a_flipped_bit_in_a_model_is_named(where: float, tmp_path: Path) -> None:
    tubelet.save(tiny(), tmp_path)
    file = tmp_path / "model.safetensors"
    places = payload(file)
    flip(file, places[int(where * (len(places) - 1))])
    with pytest.raises(WeightsError, match=r"model\.safetensors is damaged: .*checksum"):
        tubelet.load(tmp_path)


def test_what_another_program_wrote_has_no_checksum_and_is_read(tmp_path: Path) -> None:
    tubelet.save(tiny(), tmp_path)
    file = tmp_path / "model.safetensors"
    _, metadata = load_tensors(file)
    save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, file, metadata)
    tubelet.load(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "state.pt"])
def test_a_flipped_bit_in_a_checkpoint_is_named(name: str, tmp_path: Path) -> None:
    moments = torch.arange(1000.0)
    save_checkpoint(tmp_path / "last", {"w": torch.arange(1000.0)}, {"position": {}, "moments": moments})
    file = tmp_path / "last" / name
    flip(file, file.read_bytes().index(bits(moments)) + 2000)
    with pytest.raises(WeightsError, match=rf"{name} is damaged: .*checksum"):
        load_checkpoint(tmp_path / "last")


def test_a_flipped_bit_in_a_part_of_a_sharded_checkpoint_is_named(tmp_path: Path) -> None:
    model, other = torch.nn.Linear(300, 2), torch.nn.Linear(300, 2)
    optimisers = [torch.optim.SGD(layer.parameters(), momentum=0.9) for layer in (model, other)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that there is one process
        save_sharded(tmp_path / "last", ALONE, model, None, optimisers[0], {"position": {}})
    assert load_checkpoint(tmp_path / "last").state == {"position": {}}
    load_sharded(tmp_path / "last", other, None, optimisers[1])
    assert torch.equal(other.weight, model.weight)
    file = next((tmp_path / "last").glob("*.distcp"))
    flip(file, file.read_bytes().index(bits(model.weight.detach())) + 1000)
    with pytest.raises(WeightsError, match=rf"{file.name} is damaged"):
        load_checkpoint(tmp_path / "last")


def test_files_have_the_mode_of_any_new_file_and_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    (tmp_path / "x").touch(mode=0o600)  # of a process that was killed
    save_tensors(TENSORS, tmp_path / "x")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "other").stat().st_mode
    assert sorted(file.name for file in tmp_path.iterdir()) == ["other", "x"]


def test_a_flipped_bit_in_weights_of_torch_is_named(tmp_path: Path) -> None:
    numbers = torch.arange(1000.0)
    torch.save({"w": numbers}, tmp_path / "x.pth")
    flip(tmp_path / "x.pth", (tmp_path / "x.pth").read_bytes().index(bits(numbers)) + 2000)
    with pytest.raises(WeightsError, match=r"x\.pth is damaged: .*data/0 .*checksum"):
        load_pickled(tmp_path / "x.pth")


def test_weights_that_torch_wrote_without_checksums_are_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"w": torch.arange(3.0)}, tmp_path / "x.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(load_pickled(tmp_path / "x.pth")["w"], torch.arange(3.0))


def test_features_with_a_flipped_bit_are_not_there(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"x")
    store = FeatureStore(tmp_path, {"model": "m"}, (Sample(path=str(video), labels={"label": 0}),), gigabytes=0.0)
    features = Features(torch.arange(8.0).reshape(1, 2, 4), None)
    store.put(0, features)
    found = store.get(0)
    assert found is not None
    assert torch.equal(found.values, features.values)
    file = next(tmp_path.rglob("*.safetensors"))
    flip(file, payload(file)[10])
    assert store.get(0) is None
