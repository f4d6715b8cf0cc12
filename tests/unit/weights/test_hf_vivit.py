"""ViViT folders of the transformers library: what is refused, adapted, reported. (Their logits: tests/parity.)"""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tubelet.config import ModelConfig, PreprocessingConfig, replace
from tubelet.errors import ConfigError, WeightsError
from tubelet.model import ViViT
from tubelet.weights import load
from tubelet.weights.hf_vivit import load_hf_vivit, save_hf_vivit
from tubelet.weights.native import save

NAMES = ["wave", "clap", "jump"]


def tiny(**changes: Any) -> ModelConfig:
    sizes = {"hidden_size": 8, "num_layers": 2, "num_heads": 2, "mlp_dim": 12}
    config = ModelConfig(**sizes, image_size=16, num_frames=4, tubelet_size=(2, 8, 8), num_classes=3)
    return replace(config, **changes)


@pytest.fixture
def model() -> ViViT:
    model = ViViT(tiny(), PreprocessingConfig(num_frames=4), {"label": NAMES}).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model


@pytest.fixture
def folder(model: ViViT, tmp_path: Path) -> Path:
    save_hf_vivit(model, tmp_path / "theirs")
    return tmp_path / "theirs"


def edit_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    values = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}))


def edit_tensors(folder: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)


def as_pickle(folder: Path, contents: Any = None, **options: Any) -> Path:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors if contents is None else contents, folder / "pytorch_model.bin", **options)
    return folder / "pytorch_model.bin"


def refusal(folder: Path, **options: Any) -> str:
    with pytest.raises(WeightsError) as caught:
        load_hf_vivit(folder, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert str(folder) in sentence
    return sentence


# --- what is not whole, or not what it says ---------------------------------------------------------------------------


def test_a_truncated_file_is_refused(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-50])
    assert "not a whole safetensors file" in refusal(folder)
    file.write_bytes(file.read_bytes()[:5])
    assert "not a whole safetensors file" in refusal(folder)


def test_a_truncated_pickle_is_refused(folder: Path) -> None:
    file = as_pickle(folder)
    file.write_bytes(file.read_bytes()[:-500])
    assert "not a whole file of torch.save" in refusal(folder)


class Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def test_a_pickle_with_code_is_refused_and_nothing_is_run(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "made_by_the_pickle"
    file = as_pickle(folder, {"classifier.weight": Attack(target)})
    assert "nothing of it was run" in refusal(folder)
    file.write_bytes(pickle.dumps(Attack(target)))
    assert "not a whole file of torch.save" in refusal(folder)
    assert not target.exists()


def test_a_pickle_of_other_things_than_tensors_is_refused(folder: Path) -> None:
    as_pickle(folder, {"classifier.weight": 3})
    assert "expected a table of tensors" in refusal(folder)


def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["vivit.embeddings.cls_token"] = torch.zeros(1).expand(10**12)
    as_pickle(folder, tensors)
    assert "claims the shape [1000000000000], which the file does not hold" in refusal(folder)


def test_a_compressed_pickle_is_refused_before_it_is_unpacked(folder: Path) -> None:
    file = as_pickle(folder)
    with zipfile.ZipFile(file) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)
    assert "compressed, which torch.save never does" in refusal(folder)


def test_the_format_before_torch_1_6_is_named(folder: Path) -> None:
    as_pickle(folder, _use_new_zipfile_serialization=False)
    assert "older than torch 1.6" in refusal(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(value: float, folder: Path) -> None:
    edit_tensors(folder, lambda tensors: tensors["vivit.layernorm.bias"].fill_(value))
    assert "vivit.layernorm.bias holds 8 numbers that are NaN or infinite" in refusal(folder)


def test_missing_and_unexpected_tensors_are_named(folder: Path) -> None:
    edit_tensors(folder, lambda tensors: tensors.update({"vivit.rotary.weight": torch.zeros(2)}))
    assert "vivit.rotary.weight is not expected" in refusal(folder)
    assert load_hf_vivit(folder, allow_unexpected=["*.rotary.*"]).load_report.names("unused") == ["vivit.rotary.weight"]
    edit_tensors(folder, lambda tensors: tensors.pop("vivit.encoder.layer.1.output.dense.bias"))
    assert "vivit.encoder.layer.1.output.dense.bias is missing" in refusal(folder)


def test_a_classifier_that_is_said_to_be_there_and_is_not_is_missed(folder: Path) -> None:
    edit_tensors(folder, lambda tensors: [tensors.pop("classifier.weight"), tensors.pop("classifier.bias")])
    assert "classifier.weight is missing" in refusal(folder)
    edit_config(folder, architectures=["VivitModel"])
    assert load_hf_vivit(folder).config.num_classes == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"hidden_size": 10}, "[1, 9, 10]"),
        ({"intermediate_size": 13}, "encoder.blocks.0.mlp.fc1.weight is [13, 8]"),
        ({"hidden_size": 1_000_000}, "[1, 9, 1000000]"),
        ({"intermediate_size": 10_000_000}, "mlp.fc1.weight is [10000000, 8]"),
        ({"num_hidden_layers": 3}, "num_hidden_layers=3, but"),
        ({"num_hidden_layers": 1_000_000}, "num_hidden_layers=1000000, but"),
        ({"num_frames": 10**12}, "num_frames: expected a whole number"),
        ({"num_frames": 8}, "4 x 2 x 2 tubelets"),
        ({"image_size": 24}, "2 x 3 x 3 tubelets"),
        ({"num_attention_heads": 3}, "hidden_size=8 is not a multiple of num_heads=3"),
        ({"hidden_act": "relu"}, "hidden_act='relu' is an activation that tubelet does not have"),
        ({"hidden_act": 3}, "hidden_act=3"),
        ({"layer_norm_eps": "small"}, "layer_norm_eps: expected a number"),
        ({"layer_norm_eps": -1}, "layer_norm_eps=-1.0 must be above 0"),
        ({"tubelet_size": [2, 8]}, "tubelet_size: expected 3 whole numbers"),
        ({"tubelet_size": "2x8x8"}, "tubelet_size: expected 3 whole numbers"),
        ({"qkv_bias": "no"}, "qkv_bias: expected true or false"),
        ({"head_dim": 2}, "head_dim=2 is not hidden_size / num_attention_heads = 4"),
        ({"id2label": {"0": "wave"}}, "id2label names 1 classes, but the classifier has 3"),
        ({"id2label": {"0": "wave", "1": "clap", "2": 3}}, "id2label must map numbers to names"),
        ({"id2label": ["wave", "clap", "jump"]}, "id2label names"),
        ({"model_type": "vit"}, "expected model_type 'vivit', got 'vit'"),
    ],
)
def test_a_configuration_that_does_not_describe_the_weights_is_refused(
    changes: dict[str, Any], told: str, folder: Path
) -> None:
    edit_config(folder, **changes)
    assert told in refusal(folder)


def test_null_in_a_configuration_is_its_default(folder: Path) -> None:
    expected = load_hf_vivit(folder).config
    edit_config(folder, head_dim=None, qkv_bias=None, num_channels=None)
    assert load_hf_vivit(folder).config == expected


def test_a_folder_without_its_files_says_which(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "expected model.safetensors or pytorch_model.bin" in refusal(folder)
    (folder / "config.json").write_text("{")
    assert "config.json: not JSON" in refusal(folder)
    (folder / "config.json").unlink()
    assert "there is no config.json" in refusal(folder)


def test_shards_must_be_whole_and_in_the_folder(folder: Path, tmp_path: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(tmp_path / "outside.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(tensors, "../outside.safetensors")}))
    assert "shards must be files of the same folder" in refusal(folder)
    index.write_text(json.dumps({"weight_map": dict.fromkeys(tensors, "9" * 400)}))
    assert "shards must be files of the same folder" in refusal(folder)
    index.write_text(json.dumps({"weight_map": dict.fromkeys(tensors, "model-00001-of-00002.safetensors")}))
    assert "the download is incomplete" in refusal(folder)
    (tmp_path / "outside.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index.write_text(json.dumps({"weight_map": dict.fromkeys([*tensors, "more"], "model-00001-of-00002.safetensors")}))
    assert "more is in none of its files" in refusal(folder)
    index.write_text(json.dumps({"weight_map": []}))
    assert "expected a weight_map" in refusal(folder)


# --- what is asked for besides ----------------------------------------------------------------------------------------


def test_load_finds_out_what_it_is_and_adapts_it(folder: Path) -> None:
    model = load(folder, num_frames=8, image_size=32, num_classes=5)
    assert (model.config.num_frames, model.config.image_size, model.config.num_classes) == (8, (32, 32), 5)
    assert model.preprocessing is not None
    assert model.preprocessing.num_frames == 8
    assert model.load_report.names("adapted") == ["encoder.positions.grid"]
    assert model.load_report.names("new") == ["head.weight", "head.bias"]
    assert model(torch.zeros(1, 8, 3, 32, 32)).shape == (1, 5)
    with pytest.raises(ConfigError, match="hidden_size"):
        load(folder, hidden_size=16)


def test_load_passes_on_what_concerns_pixels(folder: Path) -> None:
    model = load(folder, pixel_range=(0.0, 1.0), num_classes=5)
    assert model.preprocessing == PreprocessingConfig(num_frames=4, mean=(0.0,) * 3, std=(1.0,) * 3)
    assert any("pixel_range" in note for note in model.load_report.notes)


def test_the_report_prints_and_is_data(folder: Path) -> None:
    report = load_hf_vivit(folder).load_report
    assert "(transformers ViViT)" in str(report)
    assert report.from_dict(json.loads(json.dumps(report.to_dict()))) == report
    sources = {entry.name: entry.source for entry in report.entries}
    assert sources["encoder.blocks.1.attention.qkv.weight"].count(" + ") == 2
    assert sources["head.bias"] == "classifier.bias"


def test_the_floating_point_type_of_the_file_is_kept(model: ViViT, tmp_path: Path) -> None:
    save_hf_vivit(model.to(torch.bfloat16), tmp_path)
    again = load_hf_vivit(tmp_path)
    assert again.head.weight.dtype == torch.bfloat16
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_mixed_floating_point_types_lose_nothing(model: ViViT, folder: Path) -> None:
    edit_tensors(folder, lambda tensors: tensors.update({"classifier.bias": tensors["classifier.bias"].double()}))
    again = load_hf_vivit(folder)
    assert again.head.weight.dtype == torch.float64
    assert torch.equal(again.head.weight.float(), model.head.weight)


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"variant": "factorised_encoder"}, "it has model 1, spatio_temporal, alone"),
        ({"variant": "factorised_self_attention"}, "it has model 1, spatio_temporal, alone"),
        ({"pool": "mean"}, "it classifies a class token"),
        ({"positions": "sinusoidal"}, "it has learned ones"),
        ({"embedding": "conv_stem"}, "it cuts tubelets from pixels"),
        ({"embedding": "uniform_frames", "sampled_frames": 2}, "it embeds every frame"),
        ({"input_norm": True}, "a LayerNorm before the first block"),
        ({"num_classes": {"verb": 2, "noun": 3}}, "several heads (verb, noun)"),
        ({"image_size": (16, 24)}, "key_layout='transformers_5' can hold it"),
        ({"output_norm_eps": 1e-5}, "its LayerNorms share one eps"),
    ],
)
def test_what_transformers_cannot_hold_is_refused_before_anything_is_written(
    changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError) as caught:
        save_hf_vivit(ViViT(tiny(**changes)), tmp_path / "out")
    assert told in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_what_gets_lost_is_told(tmp_path: Path) -> None:
    preprocessing = PreprocessingConfig(num_frames=4, frame_stride=5, antialias=False)
    notes = save_hf_vivit(ViViT(tiny(drop_path=0.1), preprocessing), tmp_path / "one")
    assert [word for word in ("frame_stride=5", "smooths", "drop_path=0.1") if any(word in note for note in notes)] == [
        "frame_stride=5",
        "smooths",
        "drop_path=0.1",
    ]
    assert load_hf_vivit(tmp_path / "one").preprocessing == preprocessing
    assert "no preprocessing" in save_hf_vivit(ViViT(tiny()), tmp_path / "two")[0]


def test_only_a_folder_of_theirs_is_replaced_and_only_when_asked(model: ViViT, folder: Path, tmp_path: Path) -> None:
    before = (folder / "model.safetensors").read_bytes()
    nn.init.zeros_(model.head.weight)
    with pytest.raises(WeightsError, match="overwrite=True replaces it"):
        save_hf_vivit(model, folder)
    assert (folder / "model.safetensors").read_bytes() == before
    save_hf_vivit(model, folder, overwrite=True)
    assert not load_hf_vivit(folder).head.weight.any()
    (folder / "video_preprocessor_config.json").write_text("{}")
    model.preprocessing = None
    save_hf_vivit(model, folder, overwrite=True)
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]
    save(model, tmp_path / "native")
    with pytest.raises(WeightsError, match="that tubelet did not write"):
        save_hf_vivit(model, tmp_path / "native", overwrite=True)
    with pytest.raises(WeightsError, match="is a file"):
        save_hf_vivit(model, folder / "config.json")


def test_a_write_that_fails_leaves_the_folder_as_it_was(
    model: ViViT, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    def full(*_: Any, **__: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("tubelet.weights.hf_vivit.save_tensors", full)
    nn.init.zeros_(model.head.weight)
    with pytest.raises(OSError, match="no space"):
        save_hf_vivit(model, folder, overwrite=True)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
