"""VideoMAE folders: what is refused, what is made new. (Their logits against transformers: tests/parity.)"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tubelet.config import ModelConfig, PreprocessingConfig
from tubelet.errors import ConfigError, WeightsError
from tubelet.model import ViViT
from tubelet.weights import load
from tubelet.weights.hf_vivit import save_hf_vivit
from tubelet.weights.videomae import load_videomae

WIDTH, MLP, CLASSES = 8, 12, 3


def stored(mean_pooling: bool = True, classifier: bool = True) -> dict[str, Tensor]:
    """The tensors of a VideoMAE with one block, as transformers 4 names them."""
    block = "videomae.encoder.layer.0"
    shapes: dict[str, tuple[int, ...]] = {
        "videomae.embeddings.patch_embeddings.projection.weight": (WIDTH, 3, 2, 8, 8),
        "videomae.embeddings.patch_embeddings.projection.bias": (WIDTH,),
        f"{block}.attention.attention.q_bias": (WIDTH,),
        f"{block}.attention.attention.v_bias": (WIDTH,),
        f"{block}.intermediate.dense.weight": (MLP, WIDTH),
        f"{block}.intermediate.dense.bias": (MLP,),
        f"{block}.output.dense.weight": (WIDTH, MLP),
        f"{block}.output.dense.bias": (WIDTH,),
        f"{block}.attention.output.dense.weight": (WIDTH, WIDTH),
        f"{block}.attention.output.dense.bias": (WIDTH,),
    }
    shapes |= {f"{block}.attention.attention.{part}.weight": (WIDTH, WIDTH) for part in ("query", "key", "value")}
    norms = [f"{block}.layernorm_before", f"{block}.layernorm_after"]
    norms += ["fc_norm"] if mean_pooling and classifier else [] if mean_pooling else ["videomae.layernorm"]
    shapes |= {f"{norm}.{kind}": (WIDTH,) for norm in norms for kind in ("weight", "bias")}
    if classifier:
        shapes |= {"classifier.weight": (CLASSES, WIDTH), "classifier.bias": (CLASSES,)}
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def write(folder: Path, tensors: dict[str, Tensor], **changes: Any) -> Path:
    config = {"model_type": "videomae", "hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2}
    config |= {"intermediate_size": MLP, "image_size": 16, "patch_size": 8, "num_frames": 4, "tubelet_size": 2}
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    save_file(tensors, folder / "model.safetensors")
    return folder


def test_a_key_bias_that_videomae_does_not_have_is_zero(tmp_path: Path) -> None:
    tensors = stored()
    model = load_videomae(write(tmp_path, tensors))
    query, key, value = model.state_dict()["encoder.blocks.0.attention.qkv.bias"].chunk(3)
    assert torch.equal(query, tensors["videomae.encoder.layer.0.attention.attention.q_bias"])
    assert not key.any()
    assert torch.equal(value, tensors["videomae.encoder.layer.0.attention.attention.v_bias"])


def test_an_encoder_is_given_a_head_and_the_norm_it_lacks(tmp_path: Path) -> None:
    folder = write(tmp_path, stored(classifier=False))
    model = load(folder, num_classes=4)
    assert model.config.num_classes == 4
    assert set(model.load_report.names("new")) >= {"head.weight", "head.bias"}
    assert torch.equal(model.encoder.norm.weight, torch.ones(WIDTH))
    assert not model.encoder.norm.bias.any()


def test_first_token_pooling_follows_the_first_real_frame(tmp_path: Path) -> None:
    """Frames that are not real change nothing, even if they come first."""
    model = load_videomae(write(tmp_path, stored(mean_pooling=False), use_mean_pooling=False))
    assert model.config.pool == "first"
    video, mask = torch.randn(2, 4, 3, 16, 16), torch.tensor([[False, False, True, True], [True, True, True, True]])
    other = video.clone()
    other[0, :2] = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(model(video, mask), model(other, mask))
        assert not torch.equal(model(video), model(other))
        torch.testing.assert_close(model(video, mask)[1], model(video)[1])


def test_damage_is_named(tmp_path: Path) -> None:
    tensors = stored()
    file = write(tmp_path, tensors) / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        load_videomae(tmp_path)
    tensors["fc_norm.bias"][2] = float("nan")
    with pytest.raises(WeightsError, match=r"fc_norm.bias holds 1 numbers that are NaN"):
        load_videomae(write(tmp_path, tensors))
    del tensors["fc_norm.bias"]
    with pytest.raises(WeightsError, match=r"fc_norm.bias is missing"):
        load_videomae(write(tmp_path, tensors))
    with pytest.raises(WeightsError, match=r"videomae.embeddings.mystery is not expected"):
        load_videomae(write(tmp_path, {**stored(), "videomae.embeddings.mystery": torch.zeros(1)}))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model_type": "vivit"}, "expected model_type 'videomae'"),
        ({"hidden_size": 9_000_000}, "embedding.weight is"),
        ({"hidden_size": 10}, "embedding.weight is"),
        ({"patch_size": 4}, "embedding.weight is"),
        ({"tubelet_size": [2, 8, 8]}, "tubelet_size: expected a whole number"),
        ({"num_frames": 10_000_000, "image_size": 8_000_000}, "tokens are more than any ViViT has"),
        ({"hidden_act": "silu"}, "hidden_act='silu'"),
        ({"qkv_bias": 1}, "qkv_bias: expected true or false"),
    ],
)
def test_a_configuration_that_does_not_describe_the_weights_is_refused(
    changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError) as caught:
        load_videomae(write(tmp_path, stored(), **changes))
    assert told in str(caught.value)


def test_it_adapts_and_is_no_vivit_of_theirs(tmp_path: Path) -> None:
    model = load(write(tmp_path / "in", stored()), num_frames=8, image_size=(16, 32))
    assert model(torch.zeros(1, 8, 3, 16, 32)).shape == (1, CLASSES)
    with pytest.raises(WeightsError, match="pool='mean': it classifies a class token"):
        save_hf_vivit(model, tmp_path / "out")


def test_its_own_preprocessing_can_be_replaced(tmp_path: Path) -> None:
    folder = write(tmp_path, stored())
    mine = PreprocessingConfig(num_frames=4, crop_size=(16, 16), resize=20)
    assert load_videomae(folder, preprocessing=mine).preprocessing == mine
    assert load_videomae(folder, pixel_range=(0.0, 1.0)).preprocessing == PreprocessingConfig(
        num_frames=4, frame_stride=4, resize=16, crop_size=(16, 16), mean=(0.0,) * 3, std=(1.0,) * 3
    )


def test_an_eps_of_the_last_norm_is_a_positive_number() -> None:
    sizes = {"hidden_size": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 8, "image_size": 16, "num_frames": 2}
    model = ViViT(ModelConfig(**sizes, output_norm_eps=0.5))
    assert (model.encoder.norm.eps, model.encoder.blocks[0].norm_mlp.eps) == (0.5, 1e-6)
    with pytest.raises(ConfigError, match="output_norm_eps=0"):
        ModelConfig(**sizes, output_norm_eps=0.0)
