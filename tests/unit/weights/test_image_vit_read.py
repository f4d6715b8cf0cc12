"""Reading image transformers: layouts that mean the same, and files that must not be trusted."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tubelet import ModelConfig, ViViT, WeightsError
from tubelet.weights.image_vit import ImageViT
from tubelet.weights.image_vit_npz import read_npz
from tubelet.weights.image_vit_read import read_image_vit
from tubelet.weights.initialise import config_for, initialise
from tubelet.weights.msgpack_tree import unflatten, write_tree

BASE = ModelConfig(image_size=32, num_frames=2, tubelet_size=(2, 8, 8), num_classes=0)


def numbers(vit: ImageViT) -> dict[str, Tensor]:
    return {name: incoming.tensor for name, incoming in vit.tensors.items()}


def same(one: ImageViT, other: ImageViT) -> bool:
    ours, theirs = numbers(one), numbers(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


# --- layouts that mean the same --------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["params/", "opt/target/", "params/img/"])
def test_a_tree_under_a_prefix(prefix: str, published_vit: Any) -> None:
    assert same(read_image_vit(published_vit(prefix=prefix, name="b.npz")), read_image_vit(published_vit()))


def test_heads_are_those_of_the_blocks_not_of_attention_pooling(published_vit: Any) -> None:
    arrays = read_npz(published_vit(heads=4))
    pooling = {"MAPHead_0/MultiHeadDotProductAttention_0/query/kernel": torch.zeros(16, 2, 8)}
    assert read_image_vit({**pooling, **arrays}).num_heads == 4


def test_what_is_outside_the_prefix_is_reported(published_vit: Any) -> None:
    file = published_vit(prefix="params/img/")
    arrays = dict(numpy.load(file)) | {
        "params/txt/embedding/kernel": numpy.ones((3, 3), numpy.float32),
        "params/t": numpy.ones(1, numpy.float32),
    }
    numpy.savez(file, **arrays)
    report = initialise(ViViT(config_for(file, BASE)), file)
    assert {"params/txt/embedding/kernel", "params/t"} <= set(report.names("unused"))
    theirs = {part for entry in report.entries for part in entry.source.split(" + ") if part}
    assert theirs == set(arrays)


def test_blocks_in_one_array_and_positions_at_the_top(published_vit: Any) -> None:
    """big_vision's layout: blocks stacked, parts numbered by kind."""
    file = published_vit(layers=3)
    arrays = dict(numpy.load(file))
    stacked = {name: array for name, array in arrays.items() if "encoderblock" not in name}
    stacked["pos_embedding"] = stacked.pop("Transformer/posembed_input/pos_embedding")
    renamed = {"LayerNorm_2": "LayerNorm_1", "MultiHeadDotProductAttention_1": "MultiHeadDotProductAttention_0"}
    for name in [name for name in arrays if "encoderblock_0/" in name]:
        new = name.replace("encoderblock_0", "encoderblock").replace("MlpBlock_3", "MlpBlock_0")
        for before, after in renamed.items():
            new = new.replace(before, after)
        stacked[new] = numpy.stack([arrays[name.replace("block_0", f"block_{layer}")] for layer in range(3)])
    numpy.savez(file.with_name("stacked.npz"), **stacked)
    assert same(read_image_vit(file.with_name("stacked.npz")), read_image_vit(file))


def test_a_class_token_without_a_position(published_vit: Any) -> None:
    table = numpy.random.default_rng(1).standard_normal((1, 16, 16)).astype(numpy.float32)
    vit = read_image_vit(published_vit(cls=True, Transformer__posembed_input__pos_embedding=table))
    assert not numbers(vit)["positions.cls"].any()
    assert torch.equal(numbers(vit)["positions.grid"].flatten(0, 1), torch.from_numpy(table[0]))


def test_half_precision_and_other_byte_orders(published_vit: Any) -> None:
    file = published_vit()
    arrays = dict(numpy.load(file))
    numpy.savez(file.with_name("half.npz"), **{name: array.astype(numpy.float16) for name, array in arrays.items()})
    numpy.savez(file.with_name("big.npz"), **{name: array.astype(">f4") for name, array in arrays.items()})
    numpy.savez(file.with_name("fortran.npz"), **{name: numpy.asfortranarray(array) for name, array in arrays.items()})
    assert same(read_image_vit(file.with_name("big.npz")), read_image_vit(file))
    assert same(read_image_vit(file.with_name("fortran.npz")), read_image_vit(file))
    half = numbers(read_image_vit(file.with_name("half.npz")))
    for name, tensor in numbers(read_image_vit(file)).items():
        torch.testing.assert_close(half[name], tensor, atol=1e-3, rtol=0)


def test_bfloat16_which_numpy_has_no_word_for(published_vit: Any) -> None:
    file = published_vit()
    kernel = torch.from_numpy(numpy.load(file)["embedding/kernel"]).bfloat16()
    raw = kernel.view(torch.int16).numpy().view("V2")
    vit = read_image_vit(published_vit(name="b.npz", embedding__kernel=raw))
    assert torch.equal(numbers(vit)["embedding.weight"], kernel.float().permute(3, 2, 0, 1))


def test_an_image_checkpoint_of_scenic(published_vit: Any) -> None:
    file = published_vit()
    tree = unflatten({name: torch.from_numpy(array) for name, array in numpy.load(file).items()})
    tree["output_projection"] = tree.pop("head")
    write_tree({"optimizer": {"target": tree}}, file.with_name("image.checkpoint"))
    vit = read_image_vit(file.with_name("image.checkpoint"))
    assert same(vit, read_image_vit(file))
    assert vit.format == "scenic"


def test_a_dictionary_and_its_file_are_one(published_vit: Any) -> None:
    file = published_vit()
    arrays = {name: torch.from_numpy(array) for name, array in numpy.load(file).items()}
    assert same(read_image_vit(arrays), read_image_vit(file))
    assert same(read_image_vit(numpy.load(file)), read_image_vit(file))


def test_a_video_model_is_not_an_image_model(published_vit: Any) -> None:
    kernel = numpy.ones((2, 8, 8, 3, 16), numpy.float32)
    with pytest.raises(WeightsError, match="video model"):
        read_image_vit(published_vit(embedding__kernel=kernel))
    with pytest.raises(WeightsError, match="video model"):
        read_image_vit(ViViT(ModelConfig(image_size=16, num_frames=2, num_layers=1)))


def test_a_hybrid_is_refused(published_vit: Any) -> None:
    with pytest.raises(WeightsError, match="hybrid"):
        read_image_vit(published_vit(conv_root__kernel=numpy.ones((7, 7, 3, 4), numpy.float32)))


# --- timm's keys without timm ----------------------------------------------------------------------------------------


def timm_state(**extra: Tensor | None) -> dict[str, Tensor]:
    """A ViT of two blocks, 16 wide, with 4 x 4 patches and a class token, under timm's keys."""
    generator = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, 16),
        "pos_embed": (1, 17, 16),
        "patch_embed.proj.weight": (16, 3, 8, 8),
        "patch_embed.proj.bias": (16,),
        "norm.weight": (16,),
        "norm.bias": (16,),
    }
    for layer in range(2):
        linears = {"attn.qkv": (48, 16), "attn.proj": (16, 16), "mlp.fc1": (24, 16), "mlp.fc2": (16, 24)}
        for name, shape in linears.items():
            shapes |= {f"blocks.{layer}.{name}.weight": shape, f"blocks.{layer}.{name}.bias": shape[:1]}
        for name in ("norm1", "norm2"):
            shapes |= {f"blocks.{layer}.{name}.weight": (16,), f"blocks.{layer}.{name}.bias": (16,)}
    state = {name: torch.randn(shape, generator=generator) * 0.2 for name, shape in shapes.items()}
    for name, tensor in extra.items():
        state.pop(name.replace("__", "."), None)
        if tensor is not None:
            state[name.replace("__", ".")] = tensor
    return state


def test_tensors_alone_say_what_was_assumed() -> None:
    vit = read_image_vit(timm_state())
    assert (vit.num_heads, vit.activation, vit.mean) == (None, "gelu", None)
    model = ViViT(config_for(vit, BASE, num_heads=4))
    assert "gelu assumed" in str(initialise(model, vit))
    assert model.config.activation == "gelu"


@pytest.mark.parametrize("module", ["", "module."])
def test_a_state_dict_that_a_training_script_wrapped(module: str, tmp_path: Path) -> None:
    state = {module + name: tensor for name, tensor in timm_state().items()}
    torch.save({"model": state, "epoch": 7}, tmp_path / "a.pth")
    assert same(read_image_vit(tmp_path / "a.pth"), read_image_vit(timm_state()))


def test_layer_scale_is_the_same_function_folded() -> None:
    gamma = torch.rand(16) + 0.5
    plain, scaled = numbers(read_image_vit(timm_state())), timm_state(blocks__1__ls2__gamma=gamma)
    folded = numbers(read_image_vit(scaled))
    x = torch.randn(3, 24)
    before = torch.nn.functional.linear(x, plain["blocks.1.mlp.fc2.weight"], plain["blocks.1.mlp.fc2.bias"])
    after = torch.nn.functional.linear(x, folded["blocks.1.mlp.fc2.weight"], folded["blocks.1.mlp.fc2.bias"])
    torch.testing.assert_close(after, gamma * before)


def test_biases_that_are_missing_are_zero_and_new_in_the_report() -> None:
    query, value = torch.randn(16), torch.randn(16)
    state = timm_state(blocks__0__attn__qkv__bias=None, blocks__1__attn__qkv__bias=None)
    state |= {"blocks.1.attn.q_bias": query, "blocks.1.attn.v_bias": value}
    vit = read_image_vit(state)
    model = ViViT(config_for(vit, BASE, num_heads=4))
    report = initialise(model, vit)
    assert not model.encoder.blocks[0].attention.qkv.bias.any()
    expected = torch.cat([query, torch.zeros(16), value])
    assert torch.equal(model.encoder.blocks[1].attention.qkv.bias.detach(), expected)
    assert "encoder.blocks.0.attention.qkv.bias" in report.names("new")


def test_a_pretraining_decoder_is_left_out() -> None:
    vit = read_image_vit(timm_state(mask_token=torch.ones(1, 1, 8), decoder_embed__weight=torch.ones(8, 16)))
    assert set(vit.unused) == {"mask_token", "decoder_embed.weight"}


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        ({"reg_token": torch.ones(1, 4, 16)}, "register tokens"),
        ({"dist_token": torch.ones(1, 1, 16)}, "distillation"),
        ({"norm_pre__weight": torch.ones(16), "norm_pre__bias": torch.ones(16)}, "quick_gelu.*architecture="),
        ({"blocks__0__gamma_1": torch.ones(16)}, "rotary.*architecture="),
        ({"blocks__0__mlp__w12__weight": torch.ones(4, 16)}, "SwiGLU"),
        ({"blocks__0__attn__q_norm__weight": torch.ones(4)}, "normalised queries"),
        ({"blocks__0__attn__relative_position_bias_table": torch.ones(9, 4)}, "relative positions"),
        ({"patch_embed__backbone__conv__weight": torch.ones(4)}, "one convolution"),
        ({"blocks__0__norm1__bias": None}, "RMSNorm"),
        ({"pos_embed": None}, "learned positions"),
        ({"pos_embed": torch.ones(1, 12, 16)}, "square grid"),
        ({"blocks__0__mlp__fc1__weight": torch.ones(48, 16)}, "SwiGLU"),
        ({"blocks__0__mlp__fc1__weight": torch.ones(40, 16)}, r"\[40, 16\]|mlp_dim=40"),
        ({"blocks__1__norm2__weight": None}, "blocks.1.norm2.weight is missing"),
    ],
)
def test_tensors_that_are_no_plain_vit(extra: dict[str, Tensor | None], why: str) -> None:
    with pytest.raises(WeightsError, match=why):
        read_image_vit(timm_state(**extra))


def test_a_name_of_timm_is_built_by_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm", reason="timm comes with the test extra")
    asked, create_model = [], timm.create_model

    def create(name: str, pretrained: bool) -> Any:
        asked.append((name, pretrained))
        return create_model("test_vit")

    monkeypatch.setattr(timm, "create_model", create)
    vit = read_image_vit("vit_tiny_patch16_224.augreg_in21k")
    assert asked == [("vit_tiny_patch16_224.augreg_in21k", True)]
    assert (vit.source, vit.num_heads, vit.activation) == ("vit_tiny_patch16_224.augreg_in21k", 2, "gelu")


def test_a_name_of_the_hub_is_its_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers comes with the test extra")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 24}
    transformers.ViTModel(transformers.ViTConfig(**sizes, image_size=32, patch_size=8)).save_pretrained(tmp_path)
    monkeypatch.setattr("tubelet.weights.hub.download", lambda name: {"someone/vit": tmp_path}[name])
    vit = read_image_vit("someone/vit")
    assert vit.source == "someone/vit"
    assert same(vit, read_image_vit(tmp_path))


def test_a_name_that_timm_does_not_have() -> None:
    pytest.importorskip("timm", reason="timm comes with the test extra")
    with pytest.raises(WeightsError, match="did you mean 'vit_base_patch16_224'"):
        read_image_vit("vit_base_patch16_22")


# --- files that must not be trusted ----------------------------------------------------------------------------------


class Payload:
    """Unpickling it makes a file: proof that code ran."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.proof,))


def test_a_pickle_with_code_is_not_run(tmp_path: Path, published_vit: Any) -> None:
    proof = tmp_path / "proof"
    torch.save({"model": Payload(proof)}, tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes(pickle.dumps(Payload(proof)))
    evil = numpy.empty(1, dtype=object)
    evil[0] = Payload(proof)
    files = [tmp_path / "a.pth", tmp_path / "b.pth", published_vit(head__bias=evil)]
    for file in files:
        with pytest.raises(WeightsError, match=r"run code|not a whole file"):
            read_image_vit(file)
    assert not proof.exists()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(share: float, tmp_path: Path, published_vit: Any) -> None:
    torch.save(timm_state(), tmp_path / "a.pth")
    save_file(timm_state(), tmp_path / "a.safetensors")
    for file in (published_vit(), tmp_path / "a.pth", tmp_path / "a.safetensors"):
        data = file.read_bytes()
        file.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(WeightsError, match="not a whole"):
            read_image_vit(file)


def test_an_array_that_claims_a_trillion_numbers(published_vit: Any) -> None:
    file = published_vit()
    header = io.BytesIO()
    numpy.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)})
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("huge.npy", header.getvalue() + b"\0" * 64)
    with pytest.raises(WeightsError, match=r"huge claims 4000000000000 bytes.*holds 64"):
        read_image_vit(file)


def test_a_tensor_that_repeats_one_number_a_trillion_times(tmp_path: Path) -> None:
    torch.save({**timm_state(), "head.weight": torch.ones(1).expand(10**6, 10**6)}, tmp_path / "a.pth")
    with pytest.raises(
        WeightsError, match=r"head\.weight claims the shape \[1000000, 1000000\], which the file does not"
    ):
        read_image_vit(tmp_path / "a.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite(value: float, published_vit: Any) -> None:
    bad = numpy.full((1, 17, 16), value, numpy.float32)
    file = published_vit(Transformer__posembed_input__pos_embedding=bad)
    with pytest.raises(WeightsError, match="pos_embedding holds 272 numbers that are NaN or infinite"):
        read_image_vit(file)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"Transformer__encoder_norm__bias": None}, "encoder_norm/bias is missing"),
        ({"Transformer__encoder_norm__bias": numpy.ones(7, numpy.float32)}, r"norm.bias \[7\].*\[16\]"),
        ({"embedding__kernel": numpy.ones((8, 8, 16), numpy.float32)}, r"\[8, 8, 16\]"),
        ({"embedding__kernel": None}, "no embedding/kernel|no known image transformer"),
        ({"Transformer__encoderblock_0__LayerNorm_0__scale": None}, "LayerNorm_0/scale is missing"),
        ({"Transformer__encoderblock_7__LayerNorm_0__scale": numpy.ones(16, numpy.float32)}, "encoderblock_2"),
        ({"head__kernel": numpy.ones((16, 5), numpy.int32)}, "int32"),
        ({"head__bias": numpy.array(["a"] * 5)}, "not numbers"),
        ({"Transformer__posembed_input__pos_embedding": numpy.ones((1, 13, 16), numpy.float32)}, "not a square grid"),
    ],
)
def test_one_clear_sentence_for_what_is_wrong(changes: dict[str, Any], why: str, published_vit: Any) -> None:
    with pytest.raises(WeightsError, match=why) as error:
        read_image_vit(published_vit(**changes))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors", "a.pth", "a.checkpoint"])
def test_a_file_of_something_else(name: str, tmp_path: Path) -> None:
    for content in (b"", b"not weights", b"\x80\x04K\x01."):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=r"not a whole|expected|empty|cannot|no parameters|ends in the middle"):
            read_image_vit(tmp_path / name)


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    for source in (tmp_path / "none.npz", "./none", "none.safetensors"):
        with pytest.raises(WeightsError, match="no such file"):
            read_image_vit(source)
    with pytest.raises(WeightsError, match=r"no config\.json"):
        read_image_vit(tmp_path)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"hidden_act": "relu"}, r"hidden_act 'relu'"),
        ({"model_type": "dinov2"}, "'dinov2'"),
        ({"image_size": "big"}, "image_size='big'"),
        ({"num_attention_heads": 5}, "5 heads do not divide"),
        ({"num_attention_heads": "many"}, "num_attention_heads='many'"),
        ({"layer_norm_eps": None}, "layer_norm_eps=None"),
        ({"tubelet": "0.1"}, "tubelet.load"),
    ],
)
def test_a_folder_whose_configuration_cannot_be_followed(fields: dict[str, Any], why: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers comes with the test extra")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 24}
    model = transformers.ViTModel(transformers.ViTConfig(**sizes, image_size=32, patch_size=8))
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | fields))
    with pytest.raises(WeightsError, match=why):
        read_image_vit(tmp_path)


@pytest.mark.parametrize(
    ("processor", "mean", "std"),
    [
        ({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}, (0.5,) * 3, (0.25,) * 3),
        ({"do_normalize": False}, (0.0,) * 3, (1.0,) * 3),
        ({"image_mean": [127.5] * 3, "image_std": [127.5] * 3, "do_rescale": False}, (0.5,) * 3, (0.5,) * 3),
        ({"image_mean": [1.0] * 3, "image_std": [1.0] * 3, "rescale_factor": 2 / 255}, (0.5,) * 3, (0.5,) * 3),
        ({}, None, None),
    ],
)
def test_normalisation_is_the_processors_over_pixels_from_0_to_1(
    processor: dict[str, Any], mean: Any, std: Any, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers comes with the test extra")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 24}
    transformers.ViTModel(transformers.ViTConfig(**sizes, image_size=32, patch_size=8)).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    vit = read_image_vit(tmp_path)
    assert vit.mean == (mean and pytest.approx(mean))
    assert vit.std == (std and pytest.approx(std))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": "grey", "image_std": [1.0]}))
    with pytest.raises(WeightsError, match="image_mean='grey'"):
        read_image_vit(tmp_path)
