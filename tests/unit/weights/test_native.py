"""Our own folders: what is saved comes back, what is damaged is refused, and a crash leaves a folder that loads."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import tubelet
from tubelet import PreprocessingConfig, WeightsError, files
from tubelet.errors import StorageError
from tubelet.model import ViViT
from tubelet.provenance import Provenance
from tubelet.weights import native
from unit.weights.kinds import KINDS, tiny

LABELS = {"label": ["jump", "spring – été", "run"]}
PREPROCESSING = PreprocessingConfig(num_frames=4, frame_stride=3, resize=20, crop_size=(16, 24), antialias=False)


@pytest.fixture
def model() -> ViViT:
    made = tiny()
    made.labels, made.preprocessing = LABELS, PREPROCESSING
    return made


@pytest.fixture
def folder(model: ViViT, tmp_path: Path) -> Path:
    tubelet.save(model, tmp_path / "saved")
    return tmp_path / "saved"


def same_weights(one: ViViT, other: ViViT) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


@pytest.mark.parametrize("kind", [*KINDS, "conv stem", "sinusoidal"])
def test_saving_and_loading_is_the_identity(kind: str, tmp_path: Path) -> None:
    more = {"conv stem": {"embedding": "conv_stem"}, "sinusoidal": {"positions": "sinusoidal", "pool": "mean"}}
    model = tiny(**{**KINDS, **more}[kind])
    tubelet.save(model, tmp_path)
    loaded = tubelet.load(tmp_path)
    assert loaded.config == model.config
    assert not loaded.training
    video = torch.randn(1, model.config.num_frames, 3, *model.config.image_size)
    expected, got = model(video), loaded(video)
    if isinstance(expected, dict):
        assert all(torch.equal(got[head], logits) for head, logits in expected.items())
    else:
        assert torch.equal(got, expected)
    assert loaded.load_report.counts() == {"loaded": len(model.state_dict()), "adapted": 0, "new": 0, "unused": 0}


def test_labels_and_preprocessing_come_back(folder: Path) -> None:
    loaded = tubelet.load(folder)
    assert loaded.labels == LABELS
    assert loaded.preprocessing == PREPROCESSING


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_floating_point_type_is_kept(dtype: torch.dtype, tmp_path: Path) -> None:
    model = tiny().to(dtype)
    tubelet.save(model, tmp_path)
    loaded = tubelet.load(tmp_path)
    assert loaded.head.weight.dtype == dtype
    assert same_weights(model, loaded)


def test_loading_other_frames_and_classes_adapts(folder: Path) -> None:
    loaded = tubelet.load(folder, num_frames=8, num_classes=5)
    assert loaded.config.num_frames == 8
    assert loaded.preprocessing is not None
    assert loaded.preprocessing.num_frames == 8
    assert loaded.labels is None
    assert loaded.load_report.names("adapted") == ["encoder.positions.grid"]
    assert loaded.load_report.names("new") == ["head.weight", "head.bias"]


# --- writing ---------------------------------------------------------------------------------------------------------


def test_a_model_is_replaced_only_when_asked(model: ViViT, folder: Path) -> None:
    (folder / "run.json").write_text("{}")
    other = tiny(hidden_size=8)
    with pytest.raises(WeightsError, match="overwrite=True"):
        tubelet.save(other, folder)
    assert same_weights(tubelet.load(folder), model)
    tubelet.save(other, folder, overwrite=True)
    assert same_weights(tubelet.load(folder), other)
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors", "run.json"]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_what_is_not_ours_is_never_replaced(name: str, tmp_path: Path) -> None:
    if name == "config.json":
        (tmp_path / name).write_text('{"model_type": "vivit"}')
    else:
        save_file({"x": torch.ones(1)}, tmp_path / name)
    before = (tmp_path / name).read_bytes()
    with pytest.raises(WeightsError, match="did not write; name another folder"):
        tubelet.save(tiny(), tmp_path, overwrite=True)
    assert (tmp_path / name).read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_path_that_no_folder_can_have_is_an_error_of_ours(model: ViViT, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match="a part of the path is a file"):
        tubelet.save(model, tmp_path / "notes.txt" / "model")


def test_a_file_in_the_place_of_the_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(WeightsError, match="is a file"):
        tubelet.save(tiny(), tmp_path / "x", overwrite=True)
    assert (tmp_path / "x").read_text() == "mine"


class CrashError(Exception):
    """The machine stops here."""


@pytest.mark.parametrize("renamed", [0, 1, 2])
@pytest.mark.parametrize("first_time", [True, False])
def test_a_crash_at_any_moment_leaves_one_model_whole(
    renamed: int, first_time: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tiny(), tiny(num_classes=7, num_frames=8)
    old.labels, new.labels = {"label": list("abc")}, {"label": list("defghij")}
    if not first_time:
        tubelet.save(old, tmp_path)
    replace, count = Path.replace, 0

    def crash(self: Path, target: Any) -> Path:
        nonlocal count
        if count == renamed:
            raise CrashError
        count += 1
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", crash)
        if renamed < 2:
            with pytest.raises(CrashError):
                tubelet.save(new, tmp_path, overwrite=True)
        else:
            tubelet.save(new, tmp_path, overwrite=True)
    if first_time and not renamed:
        assert list(tmp_path.iterdir()) == []
        return
    loaded = tubelet.load(tmp_path)
    expected = new if renamed else old
    assert loaded.config == expected.config
    assert loaded.labels == expected.labels
    assert same_weights(loaded, expected)
    tubelet.save(old, tmp_path, overwrite=True)
    assert same_weights(tubelet.load(tmp_path), old)


def test_a_disk_that_fills_up_leaves_the_old_model(folder: Path, model: ViViT, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files, "flush", full)
        with pytest.raises(OSError, match="No space left"):
            tubelet.save(tiny(num_classes=9), folder, overwrite=True)
    assert same_weights(tubelet.load(folder), model)
    learned = tiny(num_classes=9)
    learned.provenance = Provenance(unknown=("elsewhere",))
    with monkeypatch.context() as patched:
        patched.setattr(native, "save_tensors", lambda *_: full(folder))
        with pytest.raises(OSError, match="No space left"):
            tubelet.save(learned, folder, overwrite=True)
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_class_names_may_be_edited_by_hand(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["labels"]["label"][0] = "hop"
    (folder / "config.json").write_text(json.dumps(config))
    assert tubelet.load(folder).labels == {"label": ["hop", *LABELS["label"][1:]]}


# --- damaged files ---------------------------------------------------------------------------------------------------


class Bomb:
    """A pickle of this runs code when it is opened."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch exploded",)


def huge_header() -> bytes:
    header = json.dumps({"head.weight": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}})
    return len(header).to_bytes(8, "little") + header.encode() + bytes(64)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: content[:4],
        lambda content: b"",
        lambda content: pickle.dumps(Bomb()),
        lambda content: huge_header(),
        lambda content: b"\xff" * 8 + content[8:],
    ],
    ids=["one byte short", "half", "four bytes", "empty", "pickle", "10^12 elements", "endless header"],
)
def test_a_damaged_weights_file_is_refused_in_one_sentence(
    damage: Callable[[bytes], bytes], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = folder / "model.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(WeightsError, match="not a whole safetensors file") as caught:
        tubelet.load(folder)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "exploded").exists()


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t["head.bias"].fill_(float("nan")), "head.bias holds 3 numbers that are NaN or infinite"),
        (lambda t: t.pop("head.bias"), "head.bias missing"),
        (lambda t: t.update(extra=torch.ones(1)), "extra is not expected"),
        (lambda t: t.update({"head.bias": torch.ones(4)}), r"head.bias has the shape \[4\], but config.json .* \[3\]"),
        (lambda t: t.update({"head.bias": torch.ones(3, dtype=torch.int32)}), "head.bias holds int32"),
    ],
)
def test_weights_that_do_not_fit_are_named(
    change: Callable[[dict[str, torch.Tensor]], object], reason: str, folder: Path
) -> None:
    rewrite(folder, change)
    with pytest.raises(WeightsError, match=reason):
        tubelet.load(folder)


def test_an_unexpected_tensor_can_be_allowed(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.update({"ema.x": torch.ones(1)}))
    assert tubelet.load(folder, allow_unexpected=["ema.*"]).load_report.names("unused") == ["ema.x"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c["model"].update(hidden_sise=3), "hidden_sise.*did you mean 'hidden_size'"),
        (lambda c: c["model"].update(hidden_size=10**6), "has the shape"),
        (lambda c: c["model"].update(hidden_size=10**12), "no size of a ViViT"),
        (lambda c: c["model"].update(num_layers=10**6), "holds only"),
        (lambda c: c["model"].update(tubelet_size=[10**6, 10**6, 10**6]), "not a multiple"),
        (lambda c: c["model"].update(image_size=[80000, 80000], positions="sinusoidal"), "more than any ViViT has"),
        (lambda c: c["model"].update(mlp_dim="24"), "mlp_dim: expected int"),
        (lambda c: c.update(labels={"label": ["a"]}), "labels give"),
        (lambda c: c.update(labels=["a", "b", "c"]), "labels: expected a list of class names for each head"),
        (lambda c: c.update(preprocessing={"resize": 0}), "resize=0 must be at least 1"),
        (lambda c: c.update(quantised=True), "unknown key quantised"),
        (lambda c: c.pop("model"), 'expected the keys "tubelet" and "model"'),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(
    change: Callable[[dict[str, Any]], object], reason: str, folder: Path
) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=reason):
        tubelet.load(folder)


@pytest.mark.parametrize("text", ["{", "[1]", "\x00", "[" * 100_000], ids=["open", "list", "binary", "deep"])
def test_a_configuration_that_is_not_json_is_refused(text: str, folder: Path) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=r"config\.json"):
        tubelet.load(folder)
