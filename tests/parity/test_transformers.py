"""ViViT and VideoMAE of the real `transformers`: the same logits in both directions, on random models made here."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

from tubelet.config import ModelConfig, PreprocessingConfig, replace
from tubelet.model import ViViT
from tubelet.video import Preprocessing
from tubelet.weights.hf_vivit import load_hf_vivit, save_hf_vivit
from tubelet.weights.native import load_native, save
from tubelet.weights.videomae import load_videomae

transformers = pytest.importorskip(
    "transformers", reason="needs the transformers extra: pip install tubelet[transformers]"
)

TOLERANCE = 1e-5
NEEDS_5 = pytest.mark.skipif(transformers.__version__ < "5", reason="transformers 4 cannot do this")

VIVIT = {
    "plain": {},
    "wide_tubelets": {"tubelet_size": [4, 16, 8], "num_frames": 8, "image_size": 32},
    "single_frames": {"tubelet_size": [1, 8, 16], "num_frames": 3, "image_size": 16, "num_attention_heads": 1},
    "deep_narrow": {"hidden_size": 24, "num_hidden_layers": 5, "num_attention_heads": 8, "intermediate_size": 7},
    "grey": {"num_channels": 1, "num_labels": 1},
    "exact_gelu": {"hidden_act": "gelu", "layer_norm_eps": 1e-3},
    "new_gelu": {"hidden_act": "gelu_new", "layer_norm_eps": 1e-12},
    "tanh_gelu": {"hidden_act": "gelu_pytorch_tanh"},
    "quick_gelu": {"hidden_act": "quick_gelu", "num_labels": 400},
    "no_qkv_bias": {"qkv_bias": False},
    "not_square": {"image_size": [16, 32]},
}

VIDEOMAE = {
    "plain": {},
    "wide_tubelets": {"tubelet_size": 4, "num_frames": 8, "patch_size": 4, "num_attention_heads": 1},
    "deep_narrow": {"hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 8, "intermediate_size": 10},
    "no_bias": {"qkv_bias": False},
    "tanh_gelu": {"hidden_act": "gelu_new", "layer_norm_eps": 1e-6},
    "first_token": {"use_mean_pooling": False},
    "grey": {"num_channels": 1},
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """transformers draws progress bars and logs what it saves."""
    from transformers.utils import logging as their_logging

    before = their_logging.get_verbosity()
    their_logging.set_verbosity(logging.CRITICAL)
    their_logging.disable_progress_bar()
    yield
    their_logging.set_verbosity(before)


def vivit_config(**changes: Any) -> Any:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 36}
    sizes |= {"image_size": 24, "num_frames": 4, "tubelet_size": [2, 8, 8], "num_labels": 5}
    return transformers.VivitConfig(**{**sizes, **changes})


def videomae_config(**changes: Any) -> Any:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 36}
    sizes |= {"image_size": 24, "num_frames": 4, "tubelet_size": 2, "patch_size": 8, "num_labels": 5}
    decoder = {"decoder_hidden_size": 8, "decoder_num_attention_heads": 2, "decoder_num_hidden_layers": 1}
    return transformers.VideoMAEConfig(**{**sizes, **decoder, "decoder_intermediate_size": 8, **changes})


def drawn(model: nn.Module) -> Any:
    """Every parameter at random, biases, tokens, positions and norms included, so that nothing hides behind a zero."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            parameter.copy_(centre + 0.3 * torch.randn_like(parameter))
    return model.eval()


def random_video(config: Any, batch: int = 2) -> Tensor:
    height, width = (config.image_size,) * 2 if isinstance(config.image_size, int) else config.image_size
    return torch.randn(batch, config.num_frames, config.num_channels, height, width)


@torch.no_grad()
def difference(ours: nn.Module, theirs: Any, video: Tensor) -> float:
    return (ours(video) - theirs(video).logits).abs().max().item()


# --- ViViT ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["transformers_4", "transformers_5"])
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=NEEDS_5) if case == "not_square" else case for case in VIVIT]
)
def test_a_vivit_folder_gives_the_logits_of_transformers(case: str, layout: str, tmp_path: Path) -> None:
    config = vivit_config(**VIVIT[case])
    theirs = drawn(transformers.VivitForVideoClassification(config))
    theirs.save_pretrained(tmp_path, save_original_format=layout == "transformers_4")
    ours = load_hf_vivit(tmp_path)
    assert difference(ours, theirs, random_video(config)) <= TOLERANCE
    assert ours.load_report.counts()["unused"] == ours.load_report.counts()["new"] == 0


@pytest.mark.parametrize("layout", ["transformers_4", pytest.param("transformers_5", marks=NEEDS_5)])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"activation": "gelu", "layer_norm_eps": 1e-4, "num_frames": 6},
        {"activation": "gelu_quick", "tubelet_size": (4, 16, 8), "num_frames": 8, "image_size": 32, "in_channels": 1},
        {"embedding": "uniform_frames", "tubelet_size": (1, 8, 8), "num_frames": 2, "num_heads": 2},
        {"output_norm": "after_pool", "num_layers": 4, "hidden_size": 8, "num_classes": 1},
    ],
    ids=["plain", "gelu", "quick_gelu", "frames", "after_pool"],
)
def test_transformers_loads_what_we_write_and_gives_our_logits(
    changes: dict[str, Any], layout: Any, tmp_path: Path
) -> None:
    config = tiny(**changes)
    ours = drawn(ViViT(config, PreprocessingConfig(num_frames=config.num_frames)))
    save_hf_vivit(ours, tmp_path, key_layout=layout)
    theirs, problems = transformers.VivitForVideoClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(problems[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert difference(ours, theirs.eval(), random_video(theirs.config)) <= TOLERANCE
    assert same_tensors(load_hf_vivit(tmp_path), ours)


@NEEDS_5
def test_a_picture_that_is_not_square_goes_out_in_the_layout_of_transformers_5(tmp_path: Path) -> None:
    ours = drawn(ViViT(tiny(image_size=(16, 24))))
    save_hf_vivit(ours, tmp_path, key_layout="transformers_5")
    theirs = transformers.VivitForVideoClassification.from_pretrained(tmp_path)
    assert difference(ours, theirs, random_video(theirs.config)) <= TOLERANCE


def test_a_deeper_model_is_the_same_function_to_the_last_digits(tmp_path: Path) -> None:
    """In float64, where rounding does not hide what the logits of a badly conditioned model would."""
    config = vivit_config(hidden_size=96, num_hidden_layers=6, num_attention_heads=6, intermediate_size=200)
    theirs = drawn(transformers.VivitForVideoClassification(config)).double()
    theirs.save_pretrained(tmp_path)
    ours = load_hf_vivit(tmp_path)
    assert ours.head.weight.dtype == torch.float64
    assert difference(ours, theirs, random_video(config).double()) <= 1e-9


def test_an_encoder_alone_gives_the_features_of_transformers(tmp_path: Path) -> None:
    config = vivit_config()
    theirs = drawn(transformers.VivitModel(config))
    theirs.save_pretrained(tmp_path)
    ours, video = load_hf_vivit(tmp_path), random_video(config)
    with torch.no_grad():
        expected = theirs(video).last_hidden_state
        assert (ours.forward_features(video) - expected).abs().max() <= TOLERANCE
    assert ours.load_report.names("unused") == ["pooler.dense.bias", "pooler.dense.weight"]


def test_an_encoder_alone_is_written_as_a_vivit_model(tmp_path: Path) -> None:
    ours = drawn(ViViT(tiny(num_classes=0)))
    notes = save_hf_vivit(ours, tmp_path)
    assert any("add_pooling_layer" in note for note in notes)
    theirs = transformers.VivitModel.from_pretrained(tmp_path, add_pooling_layer=False)
    video = random_video(theirs.config)
    with torch.no_grad():
        assert (ours.forward_features(video) - theirs(video).last_hidden_state).abs().max() <= TOLERANCE


def test_frames_that_fill_no_tubelet_are_ignored_as_transformers_ignores_them(tmp_path: Path) -> None:
    config = vivit_config(num_frames=5)
    theirs = drawn(transformers.VivitForVideoClassification(config))
    theirs.save_pretrained(tmp_path)
    ours, video = load_hf_vivit(tmp_path), random_video(config)
    assert ours.config.num_frames == 4
    with torch.no_grad():
        assert (ours(video[:, :4]) - theirs(video).logits).abs().max() <= TOLERANCE
    assert any("num_frames=5" in note for note in ours.load_report.notes)


def test_shards_and_pickled_weights_are_read_as_one_safetensors_file_is(tmp_path: Path) -> None:
    config = vivit_config()
    theirs = drawn(transformers.VivitForVideoClassification(config))
    theirs.save_pretrained(tmp_path / "shards", max_shard_size="10KB")
    assert (tmp_path / "shards/model.safetensors.index.json").is_file()
    theirs.config.save_pretrained(tmp_path / "pickled")
    torch.save(theirs.state_dict(), tmp_path / "pickled/pytorch_model.bin")
    video = random_video(config)
    for folder in ("shards", "pickled"):
        assert difference(load_hf_vivit(tmp_path / folder), theirs, video) <= TOLERANCE


def test_labels_and_dropout_go_both_ways(tmp_path: Path) -> None:
    names = ["wave", "clap", "a, b", "ü", "5"]
    config = vivit_config(
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
        hidden_dropout_prob=0.2,
        attention_probs_dropout_prob=0.1,
    )
    drawn(transformers.VivitForVideoClassification(config)).save_pretrained(tmp_path / "theirs")
    ours = load_hf_vivit(tmp_path / "theirs")
    assert ours.labels == {"label": names}
    assert (ours.config.dropout, ours.config.attention_dropout) == (0.2, 0.1)
    save_hf_vivit(ours, tmp_path / "ours")
    again = transformers.VivitConfig.from_pretrained(tmp_path / "ours")
    assert list(again.id2label.values()) == names
    assert again.label2id["ü"] == 3
    assert again.hidden_dropout_prob == 0.2


def test_classes_without_names_stay_without(tmp_path: Path) -> None:
    drawn(transformers.VivitForVideoClassification(vivit_config())).save_pretrained(tmp_path / "theirs")
    ours = load_hf_vivit(tmp_path / "theirs")
    assert ours.labels is None
    save_hf_vivit(ours, tmp_path / "ours")
    assert transformers.VivitConfig.from_pretrained(tmp_path / "ours").num_labels == 5
    assert load_hf_vivit(tmp_path / "ours").labels is None


# --- preprocessing ----------------------------------------------------------------------------------------------------


def clip(height: int, width: int, frames: int = 4) -> numpy.ndarray[Any, Any]:
    return numpy.random.default_rng(0).integers(0, 256, (frames, height, width, 3), dtype=numpy.uint8)


def ours_of(preprocessing: PreprocessingConfig | None, frames: numpy.ndarray[Any, Any]) -> Tensor:
    assert preprocessing is not None
    return Preprocessing(preprocessing).spatial(torch.from_numpy(frames).permute(0, 3, 1, 2))[0]


PROCESSORS = {
    "default": {},
    "google_kinetics400": {"size": {"shortest_edge": 224}},
    "no_normalisation": {"do_normalize": False},
    "no_offset": {"offset": False, "rescale_factor": 1 / 255},
    "neither": {"do_normalize": False, "offset": False, "rescale_factor": 1 / 255},
    "channels": {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]},
    "raw": {"do_rescale": False, "offset": False, "do_normalize": False},
}


@pytest.mark.parametrize("processor", PROCESSORS)
def test_our_preprocessing_feeds_the_numbers_of_the_image_processor(processor: str, tmp_path: Path) -> None:
    theirs = transformers.VivitImageProcessor(**PROCESSORS[processor])
    ours = vivit_folder(tmp_path, theirs)
    frames = clip(theirs.size["shortest_edge"], 300)
    expected = theirs(list(frames), return_tensors="pt")["pixel_values"][0].float()
    scale = expected.abs().max().item()
    torch.testing.assert_close(ours_of(ours.preprocessing, frames), expected, rtol=0, atol=2e-6 * max(scale, 1))


def test_resizing_agrees_with_the_image_processor_to_one_grey_level(tmp_path: Path) -> None:
    theirs = transformers.VivitImageProcessor()
    ours = vivit_folder(tmp_path, theirs)
    frames = clip(288, 385)  # 342 pixels wide when resized: the centre crop does not lie between two pixels
    expected = theirs(list(frames), return_tensors="pt")["pixel_values"][0]
    difference = (ours_of(ours.preprocessing, frames) - expected).abs()
    assert difference.max() <= 4 / 255 + 1e-5  # [-3, 1] is 4 wide
    assert (difference > 1e-5).float().mean() < 0.05


def test_where_the_centre_lies_between_two_pixels_our_crop_is_one_further_than_theirs(tmp_path: Path) -> None:
    theirs = transformers.VivitImageProcessor()
    ours = vivit_folder(tmp_path, theirs)
    frames = clip(256, 301)
    expected = theirs(list(frames), return_tensors="pt")["pixel_values"][0]
    given = ours_of(ours.preprocessing, frames)
    torch.testing.assert_close(given[..., :-1], expected[..., 1:], rtol=0, atol=1e-5)


def test_the_default_processor_is_warned_of_and_can_be_overruled(tmp_path: Path) -> None:
    ours = vivit_folder(tmp_path, transformers.VivitImageProcessor())
    assert ours.preprocessing is not None
    assert ours.preprocessing.mean == (0.75, 0.75, 0.75)
    assert ours.preprocessing.std == (0.25, 0.25, 0.25)
    assert any("[-3, 1]" in note and "pixel_range=(-1, 1)" in note for note in ours.load_report.notes)
    other = load_hf_vivit(tmp_path, pixel_range=(-1.0, 1.0))
    black_and_white = (
        torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2).expand(1, 3, 224, 2).repeat(1, 1, 1, 112)
    )
    seen = Preprocessing(other.preprocessing).normalise(black_and_white)
    assert (seen.min().item(), seen.max().item()) == pytest.approx((-1, 1))
    assert not any("[-3, 1]" in note for note in other.load_report.notes)


def test_the_video_processor_of_transformers_5_is_followed(tmp_path: Path) -> None:
    processor = getattr(transformers, "VivitVideoProcessor", None)
    if processor is None:
        pytest.skip("this transformers has no VivitVideoProcessor")
    theirs = processor(image_mean=[0.1, 0.2, 0.3])
    ours = vivit_folder(tmp_path, theirs)
    frames = clip(256, 300)
    expected = theirs(list(frames), return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(ours_of(ours.preprocessing, frames), expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize(
    "changes",
    [{}, {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}, {"mean": (0.0,) * 3, "std": (1.0,) * 3}],
    ids=["centred", "imagenet", "unit"],
)
def test_the_processors_that_we_write_do_our_preprocessing(changes: dict[str, Any], tmp_path: Path) -> None:
    preprocessing = PreprocessingConfig(num_frames=4, frame_stride=3, crop_size=(224, 224), **changes)
    save_hf_vivit(ViViT(tiny(), preprocessing), tmp_path)
    frames = clip(256, 300)
    expected = ours_of(preprocessing, frames)
    kinds = ["VivitImageProcessor", "AutoImageProcessor", "VivitVideoProcessor"]
    for kind in kinds:
        if hasattr(transformers, kind):
            theirs = getattr(transformers, kind).from_pretrained(tmp_path)
            given = theirs(list(frames), return_tensors="pt")["pixel_values"][0]
            torch.testing.assert_close(
                given, expected, rtol=0, atol=2e-6, msg=lambda text, kind=kind: f"{kind}: {text}"
            )
    assert load_hf_vivit(tmp_path).preprocessing == preprocessing


def vivit_folder(folder: Path, processor: Any) -> ViViT:
    drawn(transformers.VivitForVideoClassification(vivit_config())).save_pretrained(folder)
    processor.save_pretrained(folder)
    return load_hf_vivit(folder)


# --- VideoMAE ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["transformers_4", "transformers_5"])
@pytest.mark.parametrize("case", VIDEOMAE)
def test_a_videomae_folder_gives_the_logits_of_transformers(case: str, layout: str, tmp_path: Path) -> None:
    config = videomae_config(**VIDEOMAE[case])
    theirs = drawn(transformers.VideoMAEForVideoClassification(config))
    theirs.save_pretrained(tmp_path / "theirs", save_original_format=layout == "transformers_4")
    ours, video = load_videomae(tmp_path / "theirs"), random_video(config)
    assert difference(ours, theirs, video) <= TOLERANCE
    save(ours, tmp_path / "ours")
    assert difference(load_native(tmp_path / "ours"), theirs, video) <= TOLERANCE


@pytest.mark.parametrize("use_mean_pooling", [True, False])
@pytest.mark.parametrize("kind", ["VideoMAEModel", "VideoMAEForPreTraining"])
def test_a_videomae_encoder_gives_the_features_of_transformers(
    kind: str, use_mean_pooling: bool, tmp_path: Path
) -> None:
    config = videomae_config(use_mean_pooling=use_mean_pooling)
    theirs = drawn(getattr(transformers, kind)(config))
    theirs.save_pretrained(tmp_path)
    ours, video = load_videomae(tmp_path), random_video(config)
    encoder = theirs if kind == "VideoMAEModel" else theirs.videomae
    with torch.no_grad():
        expected = encoder(video).last_hidden_state  # not normalised with mean pooling, so of any magnitude
        given = ours.forward_features(video)
    assert (given - expected).abs().max() <= TOLERANCE * max(1, expected.abs().max().item())
    assert ours.config.num_classes == 0
    assert all(name.startswith(("decoder", "encoder_to", "mask")) for name in ours.load_report.names("unused"))
    assert bool(ours.load_report.names("unused")) == (kind == "VideoMAEForPreTraining")


def test_the_videomae_processor_comes_along(tmp_path: Path) -> None:
    drawn(transformers.VideoMAEForVideoClassification(videomae_config())).save_pretrained(tmp_path)
    assumed = load_videomae(tmp_path).preprocessing
    assert assumed is not None
    assert assumed.mean == (0.485, 0.456, 0.406)
    theirs = transformers.VideoMAEImageProcessor(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])
    theirs.save_pretrained(tmp_path)
    frames = clip(224, 226)
    expected = theirs(list(frames), return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(ours_of(load_videomae(tmp_path).preprocessing, frames), expected, rtol=0, atol=2e-6)


def tiny(**changes: Any) -> ModelConfig:
    sizes = {"hidden_size": 16, "num_layers": 2, "num_heads": 4, "mlp_dim": 36}
    config = ModelConfig(**sizes, image_size=24, num_frames=4, tubelet_size=(2, 8, 8), num_classes=5)
    return replace(config, **changes)


def same_tensors(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
