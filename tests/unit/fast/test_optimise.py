"""`tubelet.optimise`: the same function."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch
from torch import Tensor

import tubelet
from tubelet.config import ModelConfig
from tubelet.fast import Evaluating, OptimisedViViT, attention, tiles
from tubelet.fast.gelu import activate
from tubelet.model import ViViT
from tubelet.nn import record_attention
from tubelet.nn.activations import ACTIVATIONS

VARIANTS = ("spatio_temporal", "factorised_encoder", "factorised_self_attention", "factorised_dot_product")


def build(variant: str = "spatio_temporal", **fields: object) -> tuple[ViViT, OptimisedViViT]:
    """A model whose every parameter is drawn, and what `optimise` makes of it."""
    defaults = {"hidden_size": 32, "num_layers": 3, "num_heads": 4, "mlp_dim": 48, "num_classes": 5}
    sizes = {"image_size": (16, 24), "num_frames": 6, "tubelet_size": (2, 8, 8)}
    model = ViViT(ModelConfig(variant=variant, **{**sizes, **defaults, **fields})).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model, tubelet.optimise(model)


def same(ours: Tensor, plain: Tensor) -> bool:
    return bool((ours - plain).abs().max() <= 1e-5 * plain.abs().max())


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("pool", ["cls", "mean", "max", "weighted"])
@pytest.mark.parametrize(("rows", "long"), [(tiles.TILE_TOKENS, attention.LONG), (14, attention.LONG), (14, 5)])
@torch.no_grad()
def test_logits_and_features_are_the_models_own(
    variant: str, pool: str, rows: int, long: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 14 tokens in a piece, two sequences fit along any axis of the grid; of 5, all but those over time are long."""
    monkeypatch.setattr(tiles, "TILE_TOKENS", rows)
    monkeypatch.setattr(attention, "LONG", long)
    if pool == "cls" and variant in VARIANTS[2:]:
        pytest.skip("no class token in models 3 and 4")
    order = {"attention_order": "time_space"} if variant == "factorised_self_attention" else {}
    model, fast = build(variant, pool=pool, input_norm=pool == "max", **order)
    video = torch.randn(2, 6, 3, 16, 24)
    before = video.clone()
    mask = torch.tensor([[True] * 6, [False, False, True, True, True, False]])
    for frame_mask in (None, mask):
        assert same(fast(video, frame_mask), model(video, frame_mask))
        assert same(fast.forward_pooled(video, frame_mask), model.forward_pooled(video, frame_mask))
        assert same(fast.forward_features(video, frame_mask), model.forward_features(video, frame_mask))
    assert same(fast(video[:, :4, :, :8]), model(video[:, :4, :, :8])), "of another size"
    assert torch.equal(video, before)
    if variant == "factorised_encoder":
        tokens = model.embed(video)
        assert same(fast.encode_space(tokens), model.encode_space(tokens))
        assert torch.equal(tokens, model.embed(video)), "what the caller holds was overwritten"


@torch.no_grad()
def test_long_sequences_and_many_tokens_are_cut_into_pieces_and_nothing_shows() -> None:
    model, fast = build(num_frames=12, image_size=144)
    video = torch.randn(1, 12, 3, 144, 144)
    assert model.config.num_tokens > tiles.TILE_TOKENS
    assert same(fast(video), model(video))


def test_pieces_hold_everything_once_and_are_of_one_size() -> None:
    cut = [(piece.start, piece.stop) for piece in tiles.even_tiles(3137, 1600)]
    assert cut == [(0, 1569), (1569, 3137)], "a last piece of a few tokens would be slow"
    assert [piece.stop for piece in tiles.even_tiles(3, 0)] == [1, 2, 3]
    assert list(tiles.even_tiles(0, 5)) == []


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-6), (torch.float64, 1e-14), (torch.bfloat16, 1e-2)])
def test_activations_in_place_are_the_activations(activation: str, dtype: torch.dtype, error: float) -> None:
    x = torch.cat([torch.randn(130, 40) * 3, torch.linspace(-1e4, 1e4, 40)[None], torch.zeros(1, 40)]).to(dtype)
    bias = torch.randn(40).to(dtype)
    expected = ACTIVATIONS[activation](x.add(bias).double())
    activate(x, bias, ACTIVATIONS[activation])
    assert ((x.double() - expected).abs() <= error * (1 + expected.abs())).all()


def test_weights_are_shared_and_keep_their_names() -> None:
    model, fast = build()
    own = dict(model.named_parameters())
    assert {name: parameter.data_ptr() for name, parameter in fast.named_parameters()} == {
        name: parameter.data_ptr() for name, parameter in own.items()
    }
    assert set(fast.state_dict()) == set(model.state_dict())
    video = torch.randn(1, 6, 3, 16, 24)
    before = fast(video)
    with torch.no_grad():
        own["encoder.blocks.1.mlp.fc1.weight"].mul_(2)
    assert not torch.allclose(fast(video), before)
    assert same(fast(video), model(video).detach())


def test_the_model_itself_still_trains_and_the_optimised_one_refuses() -> None:
    model, fast = build()
    video = torch.randn(1, 6, 3, 16, 24)
    assert not fast(video).requires_grad
    with pytest.raises(tubelet.ConfigError, match="train the model that it was made from"):
        fast.train()
    model.train()
    model(video).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert not fast.training


@torch.no_grad()
def test_recording_and_autocast_do_as_the_model_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "TILE_TOKENS", 14)
    model, fast = build("factorised_self_attention")
    video = torch.randn(1, 6, 3, 16, 24)
    with record_attention(fast) as ours:
        fast(video)
    with record_attention(model) as plain:
        model(video)
    assert ours.keys() == plain.keys()
    for name in plain:
        torch.testing.assert_close(ours[name], plain[name], atol=1e-6, rtol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fast(video), model(video))


@torch.no_grad()
def test_evaluation_computes_with_the_optimised_model_while_nobody_wants_more_than_its_output() -> None:
    model, _ = build()
    video = torch.randn(1, 6, 3, 16, 24)
    evaluating = Evaluating(model)
    with evaluating() as forward:
        assert isinstance(forward, OptimisedViViT)
        assert same(forward(video), model(video))
    with record_attention(model) as weights, evaluating() as forward:
        forward(video)
    assert len(weights) == model.config.num_layers
    seen: list[Tensor] = []
    hook = model.encoder.norm.register_forward_hook(lambda _, inputs, output: seen.append(output))
    with evaluating() as forward:
        forward(video)
    assert len(seen) == 1
    hook.remove()
    with evaluating() as forward:
        assert isinstance(forward, OptimisedViViT)


@torch.no_grad()
def test_evaluation_follows_a_model_that_learns_changes_its_head_and_its_mode() -> None:
    model, _ = build(drop_path=0.9)
    video = torch.randn(1, 6, 3, 16, 24)
    evaluating = Evaluating(model.train())
    with evaluating() as forward:
        before = forward(video)
        assert torch.equal(forward(video), before), "drop-path is off"
    assert model.training
    model.encoder.blocks[1].mlp.fc1.weight.mul_(2)
    with evaluating() as forward:
        assert not torch.allclose(forward(video), before)
    model.reset_classifier(7)
    with evaluating() as forward:
        assert same(forward(video), model.eval()(video))


class Adapted(torch.nn.Linear):
    """A linear layer that somebody's adapter stands in for."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1


@torch.no_grad()
def test_a_layer_that_somebody_replaced_is_computed_as_it_is() -> None:
    model, _ = build()
    video = torch.randn(1, 6, 3, 16, 24)
    evaluating = Evaluating(model)
    with evaluating() as forward:
        before = forward(video)
    fc1 = model.encoder.blocks[1].mlp.fc1
    adapted = Adapted(fc1.in_features, fc1.out_features)
    adapted.load_state_dict(fc1.state_dict())
    model.encoder.blocks[1].mlp.fc1 = adapted
    expected = model(video)
    assert not torch.allclose(expected, before)
    assert same(tubelet.optimise(model)(video), expected)
    with evaluating() as forward:
        assert same(forward(video), expected)
    model.encoder.blocks[0].mlp.fc2.forward = lambda x: x[..., : model.config.hidden_size]
    for one in (tubelet.optimise(model), model):
        with Evaluating(one)() as forward:
            assert same(forward(video), model(video))


@torch.no_grad()
def test_evaluation_leaves_a_forward_of_ones_own_and_a_compiled_one_alone() -> None:
    class Doubled(ViViT):
        def forward(self, *inputs: Tensor) -> Tensor:
            return 2 * super().forward(*inputs)

    model, _ = build()
    own = Doubled(model.config)
    with Evaluating(own)() as forward:
        assert forward is own
    model.compile(backend="eager")
    with Evaluating(model)() as forward:
        assert forward is model


def test_a_backend_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = build()
    with pytest.raises(tubelet.ConfigError, match="torch, openvino"):
        tubelet.optimise(model, backend="tensorrt")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(tubelet.ConfigError, match=r"tubelet\[openvino\]"):
        tubelet.optimise(model, backend="openvino")


@torch.no_grad()
def test_it_follows_what_is_replaced_in_the_model() -> None:
    model, fast = build()
    video = torch.randn(2, 6, 3, 16, 24)
    evaluating = Evaluating(model)
    for change in (
        lambda: model.reset_classifier(7),
        lambda: model.reconfigure(activation="gelu_quick", layer_norm_eps=0.1),
        lambda: setattr(model, "head", torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(32, 2))),
        lambda: setattr(model.encoder.blocks[2].attention, "qkv", Adapted(32, 96)),
        model.double,
    ):
        change()
        video = video.to(next(model.parameters()).dtype)
        expected = model.eval()(video)
        assert same(fast(video), expected)
        assert same(fast.forward_features(video), model.forward_features(video))
        with evaluating() as forward:
            assert same(forward(video), expected)


def test_moving_it_is_refused_and_converts_nothing() -> None:
    """Parameters are the model's own: they would change under it, and its buffers would not."""
    model, fast = build(embedding="conv_stem")
    for move in (lambda: fast.to(torch.bfloat16), fast.half, lambda: fast.to("meta")):
        with pytest.raises(tubelet.ConfigError, match=r"model\.to"):
            move()
    assert fast.to("cpu").float() is fast
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    video = torch.randn(1, 6, 3, 16, 24)
    model.to(torch.float64)
    assert same(fast(video.double()), model(video.double()).detach())


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_hooks_put_on_it_see_what_hooks_on_the_model_see(variant: str) -> None:
    model, fast = build(variant)
    video = torch.randn(1, 6, 3, 16, 24)
    seen: list[dict[str, Tensor]] = [{}, {}]

    def keep(_: object, __: object, output: Tensor, name: str, outputs: dict[str, Tensor]) -> None:
        outputs.setdefault(name, output)

    for each, outputs in zip((model, fast), seen, strict=True):
        for name, module in each.named_modules():
            if name.endswith(("qkv", "fc1", "norm_mlp", "encoder.dropout", "blocks.1")):
                module.register_forward_hook(partial(keep, name=name, outputs=outputs))
    assert same(fast(video), model(video))
    assert seen[0].keys() == seen[1].keys()
    for name, output in seen[0].items():
        torch.testing.assert_close(seen[1][name], output, atol=1e-5, rtol=1e-5, msg=name)


@torch.no_grad()
def test_threads_share_a_model_in_training_mode_with_a_hook() -> None:
    """Each computes without dropout, and the last one leaves every module in the mode that it was in."""
    model, _ = build(dropout=0.5, drop_path=0.5)
    video = torch.randn(1, 6, 3, 16, 24)
    expected = model(video)
    model.train()
    model.encoder.blocks[0].eval()
    modes = [module.training for module in model.modules()]
    model.encoder.norm.register_forward_hook(lambda *given: time.sleep(0.001))

    def predicted(_: int) -> bool:
        with Evaluating(model)() as forward, torch.no_grad():
            return torch.equal(forward(video), expected)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(predicted, range(64)))
    assert [module.training for module in model.modules()] == modes
