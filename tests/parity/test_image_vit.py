"""`tubelet.initialise` against Scenic's own initialisation, and against timm, transformers and SciPy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import tubelet
from tubelet import ModelConfig, ViViT, WeightsError
from tubelet.weights.image_vit_read import read_image_vit
from tubelet.weights.inflate import resize_kernel, zoom
from tubelet.weights.initialise import config_for, initialise

VECTORS = Path(__file__).parent / "vectors"
CASES = sorted(file.stem for file in VECTORS.glob("init_*.json"))
TUBELET_INITS = {"central_frame_initializer": "central_frame", "average_frame_initializer": "inflation"}
ORDERS = {"time_space", "space_time"}

SMALL_BASE = ModelConfig(image_size=32, num_frames=2, tubelet_size=(2, 8, 8), num_classes=0)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return request.param


def described(case: str) -> dict[str, Any]:
    return json.loads((VECTORS / f"{case}.json").read_text())


def before(case: str, which: str = "before") -> ViViT:
    facts = described(case)
    variant = {"spatio-temporal": "spatio_temporal", "factorised e": "factorised_encoder"}
    fields: dict[str, Any] = {
        "variant": next((v for k, v in variant.items() if facts["variant"].startswith(k)), "factorised_self_attention"),
        "image_size": facts["image_size"],
        "num_frames": facts["num_frames"],
    }
    if "attention_order" in facts:
        fields["attention_order"] = facts["attention_order"]
    return tubelet.load(VECTORS / f"{case}.{which}.checkpoint", **fields)


class TestOriginal:
    def test_the_vectors_are_here(self) -> None:
        assert len(CASES) == 3

    def test_initialised_model_computes_what_the_original_does(self, case: str) -> None:
        model, facts, vectors = before(case), described(case), load_file(VECTORS / f"{case}.safetensors")
        report = initialise(
            model,
            VECTORS / f"{case}.vit.npz",
            tubelet_init=TUBELET_INITS[facts["tubelet_init"]],
            positions=facts["positional_embed_size_change"],
            behaviour="original",
            head=True,
        )
        with torch.no_grad():
            logits = model.eval()(vectors["video"].permute(0, 1, 4, 2, 3))
        assert (logits - vectors["logits"]).abs().max() <= 2e-5
        assert report.counts()["loaded"] > 30

    def test_every_weight_is_the_originals(self, case: str) -> None:
        model, facts, after = before(case), described(case), before(case, "after").state_dict()
        initialise(
            model,
            VECTORS / f"{case}.vit.npz",
            tubelet_init=TUBELET_INITS[facts["tubelet_init"]],
            behaviour="original",
            head=True,
        )
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, after[name]), name

    def test_one_frame_is_the_image_model(self, case: str) -> None:
        source, vectors = VECTORS / f"{case}.vit.npz", load_file(VECTORS / f"{case}.safetensors")
        config = config_for(source, image_size=32, num_frames=1, embedding="uniform_frames", num_classes=7)
        model = ViViT(config).eval()
        initialise(model, source, head=True)
        with torch.no_grad():
            logits = model(vectors["image"].permute(0, 3, 1, 2)[:, None])
        assert (logits - vectors["image_logits"]).abs().max() <= 2e-5

    def test_default_carries_the_class_token_that_the_original_forgets(self) -> None:
        source = VECTORS / "init_model2_central.vit.npz"
        vectors = load_file(VECTORS / "init_model2_central.safetensors")
        config = config_for(source, "vivit_tiny_16x2_fe", image_size=32, num_frames=2, temporal_layers=0, num_classes=7)
        video, logits = vectors["image"].permute(0, 3, 1, 2)[:, None].expand(-1, 2, -1, -1, -1), {}
        for behaviour in ("default", "original"):
            model = ViViT(config).eval()
            initialise(model, source, behaviour=behaviour, head=True)
            with torch.no_grad():
                logits[behaviour] = model(video)
        assert (logits["default"] - vectors["image_logits"]).abs().max() <= 2e-5
        assert (logits["original"] - vectors["image_logits"]).abs().max() > 1e-3


class TestScipy:
    @pytest.mark.parametrize("old", [1, 2, 3, 8, 14, 16, 24])
    @pytest.mark.parametrize("new", [1, 2, 3, 7, 14, 16, 22, 37])
    def test_zoom_is_scipys_of_order_one(self, old: int, new: int) -> None:
        ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy comes with the test extra")
        grid = numpy.random.default_rng(old * 100 + new).standard_normal((old, old, 5)).astype(numpy.float32)
        expected = ndimage.zoom(grid, (new / old, new / old, 1), order=1)
        ours = zoom(torch.from_numpy(grid), (new, new))
        assert ours.shape == expected.shape
        assert numpy.abs(ours.numpy() - expected).max() <= 1e-6

    def test_zoom_of_a_line_is_scipys(self) -> None:
        ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy comes with the test extra")
        line = numpy.random.default_rng(0).standard_normal((16, 6)).astype(numpy.float32)
        expected = ndimage.zoom(line, (24 / 16, 1), order=1)
        assert numpy.abs(zoom(torch.from_numpy(line), (24,)).numpy() - expected).max() <= 1e-6

    def test_the_pair_that_scipy_rounds_to_zero_is_zero_here_too(self) -> None:
        ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy comes with the test extra")
        ones = numpy.ones((24, 24, 1), numpy.float32)
        expected = ndimage.zoom(ones, (22 / 24, 22 / 24, 1), order=1)
        assert (expected[-1] == 0).all(), "SciPy has changed: so must tubelet.weights.inflate.zoom"
        assert numpy.array_equal(zoom(torch.from_numpy(ones), (22, 22)).numpy(), expected)


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter drawn at random: new models have many that are 0 or 1, which would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_scale = parameter.ndim == 1 and name.endswith("weight")
            parameter.copy_(1 + 0.2 * noise if is_scale else noise * (0.5 if parameter.ndim < 2 else 0.08))
    return model.eval()


def features(model: ViViT, video: Tensor) -> Tensor:
    with torch.no_grad():
        return model.eval().forward_head(model.forward_features(video), pre_logits=True)


def difference(model: ViViT, image: Tensor, expected: Tensor) -> float:
    """On a clip that repeats the image as often as the model has frames."""
    video = image[:, None].expand(-1, model.config.num_frames, -1, -1, -1)
    return float((features(model, video) - expected).abs().max())


TINY = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 3, "num_heads": 3}
TIMM = {
    "class token": ("vit_tiny_patch16_224", {}),
    "mean, norm after": ("vit_tiny_patch16_224", {"class_token": False, "global_pool": "avg"}),
    "mean, norm before": ("vit_base_patch16_gap_224", {}),
    "class token, norm after": ("vit_tiny_patch16_224", {"fc_norm": True}),
    "no qkv bias": ("vit_base_patch16_224_miil", {}),
    "no bias but in norms": ("vit_tiny_patch16_224", {"qkv_bias": False, "proj_bias": False}),
    "LayerScale": ("vit_tiny_patch16_224", {"init_values": 0.1}),
    "DeiT": ("deit_tiny_patch16_224", {}),
    "DeiT-3": ("deit3_small_patch16_224", {}),
    "DINO": ("vit_small_patch16_224.dino", {}),
    "DINOv2": ("vit_small_patch14_dinov2", {}),
    "CLIP": ("vit_base_patch16_clip_224", {}),
    "CLIP with quick_gelu": ("vit_base_patch16_clip_quickgelu_224", {}),
    "gelu_tanh": ("vit_base_patch32_siglip_gap_256", {}),
    "another aspect": ("vit_tiny_patch16_224", {"img_size": (32, 48)}),
    "patches that are not square": ("vit_tiny_patch16_224", {"patch_size": (8, 16)}),
}


@pytest.fixture(params=TIMM)
def timm_model(request: pytest.FixtureRequest) -> nn.Module:
    timm = pytest.importorskip("timm", reason="timm comes with the test extra")
    name, arguments = TIMM[request.param]
    return randomised(timm.create_model(name, **{**TINY, **arguments}))


def pre_logits(model: Any, image: Tensor) -> Tensor:
    with torch.no_grad():
        return model.forward_head(model.forward_features(image), pre_logits=True)


class TestTimm:
    @pytest.mark.parametrize("variant", ["spatio_temporal", "factorised_encoder"])
    @pytest.mark.parametrize("embedding", ["tubelet", "uniform_frames"])
    def test_one_time_is_the_image_model(self, timm_model: Any, variant: str, embedding: str) -> None:
        size = timm_model.patch_embed.img_size
        frames = 1 if embedding == "uniform_frames" else 2
        fields = {"variant": variant, "embedding": embedding, "image_size": size, "num_frames": frames}
        if variant == "factorised_encoder":
            fields["temporal_layers"] = 0
        model = ViViT(config_for(timm_model, SMALL_BASE, **fields))
        initialise(model, timm_model)
        image = torch.randn(2, 3, *size)
        assert difference(model, image, pre_logits(timm_model, image)) <= 1e-5

    def test_a_real_size(self) -> None:
        timm = pytest.importorskip("timm", reason="timm comes with the test extra")
        source = timm.create_model("vit_tiny_patch16_224").eval()
        model = tubelet.create("vivit_tiny_16x2", num_frames=2)
        initialise(model, source)
        image = torch.randn(1, 3, 224, 224)
        assert difference(model, image, pre_logits(source, image)) <= 1e-5
        assert model.preprocessing is not None
        assert model.preprocessing.mean == tuple(source.pretrained_cfg["mean"])

    def test_head_and_all(self) -> None:
        timm = pytest.importorskip("timm", reason="timm comes with the test extra")
        source = randomised(timm.create_model("vit_tiny_patch16_224", num_classes=11, **TINY))
        model = ViViT(config_for(source, SMALL_BASE, num_classes=11)).eval()
        initialise(model, source, head=True)
        image = torch.randn(2, 3, 32, 32)
        with torch.no_grad():
            logits = model(image[:, None].expand(-1, 2, -1, -1, -1))
            assert (logits - source(image)).abs().max() <= 1e-5

    def test_attention_pooling_is_dropped_and_said(self) -> None:
        timm = pytest.importorskip("timm", reason="timm comes with the test extra")
        source = randomised(timm.create_model("vit_base_patch16_siglip_224", **TINY))
        model = ViViT(config_for(source, SMALL_BASE))
        report = initialise(model, source)
        image = torch.randn(2, 3, 32, 32)
        with torch.no_grad():
            mean = source.forward_features(image).mean(dim=1)
        assert difference(model, image, mean) <= 1e-5
        assert "attn_pool.latent" in report.names("unused")
        assert "pools by map" in str(report)

    @pytest.mark.parametrize("order", sorted(ORDERS))
    @pytest.mark.parametrize("name", ["mean, norm after", "mean, norm before", "gelu_tanh"])
    def test_static_clips_in_model_3(self, name: str, order: str) -> None:
        timm = pytest.importorskip("timm", reason="timm comes with the test extra")
        kind, arguments = TIMM[name]
        source = randomised(timm.create_model(kind, **{**TINY, **arguments}))
        fields = {"variant": "factorised_self_attention", "attention_order": order, "num_frames": 8}
        model = ViViT(config_for(source, SMALL_BASE, **fields))
        initialise(model, source)
        image = torch.randn(2, 3, 32, 32)
        assert difference(model, image, pre_logits(source, image)) <= 1e-5

    @pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
    def test_a_file_with_its_architecture_is_the_model(self, suffix: str, tmp_path: Path) -> None:
        timm = pytest.importorskip("timm", reason="timm comes with the test extra")
        from safetensors.torch import save_file

        source = randomised(timm.create_model("test_vit", num_classes=5))
        file = tmp_path / f"weights{suffix}"
        if suffix == ".pth":
            torch.save({"model": source.state_dict(), "epoch": 3}, file)
        else:
            save_file(source.state_dict(), file)
        config = config_for(file, SMALL_BASE, architecture="test_vit", image_size=160, tubelet_size=(2, 16, 16))
        model = ViViT(config)
        initialise(model, file, architecture="test_vit")
        image = torch.randn(1, 3, 160, 160)
        assert difference(model, image, pre_logits(source, image)) <= 1e-5
        assert model.preprocessing is not None
        assert model.preprocessing.mean == tuple(source.pretrained_cfg["mean"])

    def test_an_architecture_that_is_not_the_files(self, tmp_path: Path) -> None:
        """Six heads instead of three would load, and compute something else."""
        timm = pytest.importorskip("timm", reason="timm comes with the test extra")
        torch.save(timm.create_model("vit_tiny_patch16_224", depth=1).state_dict(), tmp_path / "a.pth")
        for other in ("vit_small_patch16_224", "vit_tiny_patch16_224", "vit_small_patch14_reg4_dinov2"):
            with pytest.raises(WeightsError, match=r"not the weights of|register"):
                read_image_vit(tmp_path / "a.pth", architecture=other)

    def test_a_folder_as_timm_writes_it(self, tmp_path: Path) -> None:
        timm = pytest.importorskip("timm", reason="timm comes with the test extra")
        from timm.models import save_for_hf

        arguments = {**TINY, "init_values": 0.3, "act_layer": "gelu_tanh", "num_classes": 4}
        source = randomised(timm.create_model("vit_tiny_patch16_224", **arguments))
        save_for_hf(source, str(tmp_path), model_config={"model_args": arguments, "label_names": ["a", "b", "c", "d"]})
        model = ViViT(config_for(tmp_path, SMALL_BASE, num_classes=4))
        initialise(model, tmp_path, head=True)
        image = torch.randn(1, 3, 32, 32)
        assert difference(model, image, pre_logits(source, image)) <= 1e-5
        assert model.config.activation == "gelu_tanh"

    @pytest.mark.parametrize(
        ("name", "arguments", "why"),
        [
            ("vit_base_patch16_rope_224", {}, "rotary"),
            ("vit_small_patch14_reg4_dinov2", {}, "register tokens"),
            ("vit_giant_patch14_dinov2", {"embed_dim": 48, "depth": 1, "num_heads": 3}, "GluMlp|SwiGLU"),
            ("vit_tiny_patch16_224", {"qk_norm": True, **TINY}, "queries and keys"),
            ("vit_base_patch16_xp_224", {}, "queries and keys"),
            ("vit_base_patch16_18x2_224", {}, "side by side"),
            ("vit_base_patch16_rpn_224", {}, "ResPostBlock"),
            ("vit_tiny_patch16_224", {"act_layer": "relu", **TINY}, "activation"),
            ("vit_tiny_patch16_224", {"norm_layer": "rmsnorm", **TINY}, "RMSNorm"),
            ("deit_tiny_distilled_patch16_224", {}, "distillation"),
            ("beit_base_patch16_224", {}, "relative positions"),
            ("vit_relpos_small_patch16_224", {}, "relative positions"),
            ("vit_tiny_r_s16_p8_224", {}, "one convolution"),
            ("resnet18", {}, "not an image transformer"),
        ],
    )
    def test_what_is_no_plain_vit_is_refused_with_the_reason(
        self, name: str, arguments: dict[str, Any], why: str
    ) -> None:
        timm = pytest.importorskip("timm", reason="timm comes with the test extra")
        with torch.device("meta"):
            source = timm.create_model(name, **arguments)
        with pytest.raises(WeightsError, match=why):
            read_image_vit(source)

    def test_deit_3_under_its_authors_keys(self, tmp_path: Path) -> None:
        timm = pytest.importorskip("timm", reason="timm comes with the test extra")
        source = randomised(timm.create_model("deit3_small_patch16_224", depth=2, img_size=32))
        config = {"architecture": "deit3_small_patch16_224", "model_args": {"depth": 2}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        keys = {
            name: name.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2") for name in source.state_dict()
        }
        torch.save({keys[name]: tensor for name, tensor in source.state_dict().items()}, tmp_path / "a.pth")
        fields = {"tubelet_size": (2, 16, 16), "image_size": 32}
        model = ViViT(config_for(tmp_path / "a.pth", SMALL_BASE, **fields))
        initialise(model, tmp_path / "a.pth")
        image = torch.randn(1, 3, 32, 32)
        assert difference(model, image, pre_logits(source, image)) <= 2e-5

    @pytest.mark.parametrize(("old", "new"), [(8, 16), (16, 8), (14, 16), (16, 12)])
    def test_kernel_resizing_is_flexivits(self, old: int, new: int) -> None:
        layers = pytest.importorskip("timm.layers", reason="timm comes with the test extra")
        kernel = torch.randn(6, 3, old, old)
        expected = layers.resample_patch_embed(kernel, [new, new], interpolation="bilinear", antialias=True)
        assert (resize_kernel(kernel, (new, new)) - expected).abs().max() <= 1e-4


HF_CONFIG = {
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "image_size": 32,
    "patch_size": 8,
}


def hf_model(kind: str, **fields: Any) -> Any:
    transformers = pytest.importorskip("transformers", reason="transformers comes with the test extra")
    config = getattr(transformers, kind.replace("Model", "Config").replace("ForImageClassification", "Config"))
    return randomised(getattr(transformers, kind)(config(**{**HF_CONFIG, **fields})))


def to_layout_4(name: str) -> str:
    """A key of transformers 5 in the layout of transformers 4."""
    for new, old in {
        "layers.": "encoder.layer.",
        "attention.q_proj": "attention.attention.query",
        "attention.k_proj": "attention.attention.key",
        "attention.v_proj": "attention.attention.value",
        "attention.o_proj": "attention.output.dense",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    }.items():
        name = name.replace(new, old)
    return name


class TestTransformers:
    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"hidden_act": "gelu_fast"},
            {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-3},
            {"qkv_bias": False},
            {"image_size": [32, 48]},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("variant", ["spatio_temporal", "factorised_encoder"])
    def test_a_folder_is_the_image_model(self, fields: dict[str, Any], variant: str, tmp_path: Path) -> None:
        source = hf_model("ViTModel", **fields)
        source.save_pretrained(tmp_path)
        size = fields.get("image_size", [32, 32])
        layers = {"temporal_layers": 0} if variant == "factorised_encoder" else {}
        model = ViViT(config_for(tmp_path, SMALL_BASE, variant=variant, image_size=tuple(size), **layers))
        report = initialise(model, tmp_path)
        image = torch.randn(2, 3, *size)
        with torch.no_grad():
            expected = source(image).last_hidden_state[:, 0]
        assert difference(model, image, expected) <= 1e-5
        assert model.config.layer_norm_eps == source.config.layer_norm_eps
        assert "pooler.dense.weight" in report.names("unused")
        assert model.preprocessing is None

    @pytest.mark.parametrize("layout", [4, 5])
    @pytest.mark.parametrize("prefix", ["", "vit."])
    def test_both_key_layouts(self, layout: int, prefix: str, tmp_path: Path) -> None:
        from safetensors.torch import save_file

        source = hf_model("ViTModel")
        source.save_pretrained(tmp_path)
        state = {name: tensor for name, tensor in source.state_dict().items() if not name.startswith("pooler")}
        assert any(name.startswith("layers.0.attention.q_proj") for name in state)
        rename = to_layout_4 if layout == 4 else str
        save_file({prefix + rename(name): tensor for name, tensor in state.items()}, tmp_path / "model.safetensors")
        model = ViViT(config_for(tmp_path, SMALL_BASE))
        initialise(model, tmp_path)
        image = torch.randn(2, 3, 32, 32)
        with torch.no_grad():
            expected = source(image).last_hidden_state[:, 0]
        assert difference(model, image, expected) <= 1e-5

    def test_classifier_labels_and_normalisation_come_along(self, tmp_path: Path) -> None:
        transformers = pytest.importorskip("transformers", reason="transformers comes with the test extra")
        names = {0: "wave", 1: "clap", 2: "nod"}
        source = hf_model("ViTForImageClassification", id2label=names, label2id={v: k for k, v in names.items()})
        source.save_pretrained(tmp_path)
        processor = transformers.ViTImageProcessor(image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6])
        processor.save_pretrained(tmp_path)
        model = ViViT(config_for(tmp_path, SMALL_BASE, num_classes=3)).eval()
        initialise(model, tmp_path, head=True)
        image = torch.randn(2, 3, 32, 32)
        with torch.no_grad():
            logits = model(image[:, None].expand(-1, 2, -1, -1, -1))
            assert (logits - source(image).logits).abs().max() <= 1e-5
        assert model.labels == {"label": ["wave", "clap", "nod"]}
        assert model.preprocessing is not None
        assert (model.preprocessing.mean, model.preprocessing.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
        assert model.preprocessing.crop_size == (32, 32)

    @pytest.mark.parametrize("kind", ["ViTMSNModel", "ViTMAEModel"])
    def test_relatives_with_the_same_block(self, kind: str) -> None:
        source = hf_model(kind, **({"mask_ratio": 0.0} if kind == "ViTMAEModel" else {}))
        model = ViViT(config_for(source, SMALL_BASE))
        initialise(model, source)
        image = torch.randn(2, 3, 32, 32)
        with torch.no_grad():
            expected = source(image).last_hidden_state[:, 0]
        assert difference(model, image, expected) <= 1e-5

    def test_other_models_are_refused(self, tmp_path: Path) -> None:
        source = hf_model("BeitModel")
        source.save_pretrained(tmp_path)
        with pytest.raises(WeightsError, match=r"'beit'.*timm"):
            read_image_vit(tmp_path)
