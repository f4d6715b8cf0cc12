"""The models are plain modules, and so are their fast forms: hooks, replaced parts, copies, dtypes, torch's tools."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as every_module

import tubelet
from contract.configurations import VARIANTS, small
from tubelet.model import ViViT
from tubelet.nn import MLP, DotProduct, FactorisedDotProductAttention, SelfAttention, manual_attention

every = pytest.mark.parametrize("variant", VARIANTS)
masks = pytest.mark.parametrize("masked", [False, True], ids=["all frames", "masked"])

FORMS: dict[str, Callable[[ViViT], ViViT]] = {
    "plain": lambda model: model,
    "training": lambda model: tubelet.optimise(model, training=True),
    "inference": tubelet.optimise,
}


def build(variant: str, **fields: object) -> ViViT:
    """Every parameter drawn, so that nothing hides behind a zero."""
    model = ViViT(small(variant, **fields))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def a_video(batch: int = 2) -> Tensor:
    return torch.randn(batch, 6, 3, 16, 24)


def frame_mask(masked: bool) -> Tensor | None:
    return torch.tensor([[True] * 6, [False, False, True, True, True, False]]) if masked else None


# --- hooks -----------------------------------------------------------------------------------------------------------

HOOKS = ("forward_hook", "forward_pre_hook", "full_backward_hook", "full_backward_pre_hook")
FORMS_AND_HOOKS = [(form, kind) for form in FORMS for kind in HOOKS if not (form == "inference" and "backward" in kind)]
"""The form for inference has no gradient."""

LAYERS = (nn.Linear, nn.LayerNorm)
PARTS = (*LAYERS, SelfAttention, FactorisedDotProductAttention, MLP, DotProduct)


@every
@pytest.mark.parametrize(("form", "kind"), FORMS_AND_HOOKS)
@pytest.mark.parametrize("registered", ["before", "after"])
def test_a_hook_on_every_part_fires_once_a_step(variant: str, kind: str, form: str, registered: str) -> None:
    """Hooks of the model, registered before or after the fast form of it is made."""
    model, called = build(variant), []
    fast = FORMS[form](model) if registered == "after" else None
    names = [name for name, module in model.named_modules() if isinstance(module, PARTS)]
    for name in names:
        getattr(model.get_submodule(name), f"register_{kind}")(lambda *given, name=name: called.append(name))
    fast = fast or FORMS[form](model)
    for _ in range(2):
        called.clear()
        loss = fast(a_video().requires_grad_()).sum()
        if loss.requires_grad:
            loss.backward()
        assert sorted(called) == sorted(names)


@contextmanager
def global_hook(kind: str, hook: Callable[..., None]) -> Iterator[None]:
    handle = getattr(every_module, f"register_module_{kind}")(hook)
    try:
        yield
    finally:
        handle.remove()


@every
@pytest.mark.parametrize(("form", "kind"), FORMS_AND_HOOKS)
def test_a_global_hook_fires_once_a_step_for_every_layer(variant: str, kind: str, form: str) -> None:
    model, called = build(variant), []
    fast, layers = FORMS[form](model), sum(isinstance(module, LAYERS) for module in model.modules())

    def hook(module: nn.Module, *given: Any) -> None:
        if isinstance(module, LAYERS):
            called.append(module)

    with global_hook(kind, hook):
        loss = fast(a_video().requires_grad_()).sum()
        if loss.requires_grad:
            loss.backward()
    assert len(called) == len(set(called)) == layers


@every
@pytest.mark.parametrize("form", ["training", "inference"])
def test_a_hook_on_one_block_sees_and_keeps_what_the_model_computes(variant: str, form: str) -> None:
    """Blocks around it are fast, and none overwrites what the hook has kept."""

    class Keeper:
        """Hooks may be methods of an object, whose state belongs to the user."""

        def __init__(self) -> None:
            self.outputs: list[Tensor] = []

        def keep(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
            self.outputs.append(output)

    model, keeper = build(variant, num_layers=3), Keeper()
    blocks = (model.spatial_encoder if variant == "factorised_encoder" else model.encoder).blocks
    blocks[1].register_forward_hook(keeper.keep)
    fast, video = FORMS[form](model), a_video()
    fast(video)
    model(video)
    seen, expected = keeper.outputs
    torch.testing.assert_close(seen, expected, atol=1e-5, rtol=1e-5)


@every
def test_a_backward_hook_can_change_gradients(variant: str) -> None:
    model = build(variant)
    last = [module for module in model.modules() if hasattr(module, "qkv")][-1]
    last.qkv.register_full_backward_hook(lambda module, grad_input, grad_output: (torch.zeros_like(grad_input[0]),))
    model(a_video().requires_grad_()).sum().backward()
    norms = [name for name, _ in model.named_modules() if name.endswith(("norm_attention", "norm_time"))]
    assert not model.get_submodule(norms[-1]).weight.grad.any()


# --- parts of one's own ----------------------------------------------------------------------------------------------


class Mixer(nn.Module):
    """Attention of a researcher's own: a linear map of the mean over the first axis of tokens."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None:
            x = x * mask.reshape(*mask.shape, *[1] * (x.ndim - mask.ndim))
        return self.linear(x.mean(dim=1, keepdim=True).expand_as(x))


class Scale(nn.Module):
    """A norm of a researcher's own."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight / (1 + x.abs().mean(dim=-1, keepdim=True))


OWN: dict[str, tuple[type[nn.Module], tuple[str, ...]]] = {
    "attention": (Mixer, ("attention", "space", "time")),
    "norm": (Scale, ("norm_attention", "norm_space", "norm_time", "norm_mlp")),
    "mlp": (Scale, ("mlp",)),
}


def replace_parts(model: ViViT, part: str, of: Callable[[int], bool] = lambda number: True) -> ViViT:
    """The model with a part of its own in the blocks chosen by number, or with whole blocks of its own."""
    for encoder in [module for module in model.modules() if hasattr(module, "blocks")]:
        for number, block in enumerate(encoder.blocks):
            if not of(number):
                continue
            if part == "block":
                encoder.blocks[number] = Mixer(model.config.hidden_size)
                continue
            kind, names = OWN[part]
            for name in names:
                if hasattr(block, name):
                    setattr(block, name, kind(model.config.hidden_size))
    return model


@every
@masks
@pytest.mark.parametrize("part", [*OWN, "block"])
@pytest.mark.parametrize("which", ["all", "last"])
def test_a_part_of_ones_own_trains_evaluates_and_is_optimised(
    variant: str, part: str, which: str, masked: bool
) -> None:
    """In every block, or beside blocks that stay fast; put in after the fast forms were made."""
    model = build(variant)
    training, inference = (FORMS[form](model) for form in ("training", "inference"))
    replace_parts(model, part, lambda number: which == "all" or number == 1)
    video, mask, parameters = a_video(), frame_mask(masked), list(model.parameters())
    expected = model(video, mask)
    for form in (training, inference):
        torch.testing.assert_close(form(video, mask).detach(), expected.detach(), atol=1e-5, rtol=1e-5)
    gradients = torch.autograd.grad(expected.square().sum(), parameters)
    assert all(gradient.any() for gradient in gradients)
    for ours, plain in zip(
        torch.autograd.grad(training(video, mask).square().sum(), parameters), gradients, strict=True
    ):
        torch.testing.assert_close(ours, plain, atol=1e-5 * float(1 + plain.abs().max()), rtol=0)


@every
@pytest.mark.parametrize("part", [*OWN, "block"])
def test_a_model_with_parts_of_ones_own_predicts(variant: str, part: str) -> None:
    model = replace_parts(build(variant), part)
    model.preprocessing = tubelet.PreprocessingConfig(num_frames=6, frame_stride=1, resize=16, crop_size=(16, 24))
    frames = torch.randint(0, 255, (6, 3, 16, 24), dtype=torch.uint8)
    result = tubelet.predict(model, frames)
    expected = model.eval()(frames[None].float() / 127.5 - 1)[0]
    torch.testing.assert_close(result.logits.float(), expected.detach(), atol=1e-5, rtol=1e-5)


# --- fast is plain ---------------------------------------------------------------------------------------------------


def logits_and_gradients(form: ViViT, model: ViViT, *inputs: Tensor | None) -> list[Tensor]:
    logits = form(*inputs)
    return [logits.detach(), *torch.autograd.grad(logits.square().sum(), list(model.parameters()))]


@every
@masks
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_fast_forms_are_as_exact_as_the_model(variant: str, masked: bool, dtype: torch.dtype) -> None:
    """Their distance from the result in float64 is at most twice the model's own, and a few roundings."""
    model = build(variant).to(dtype)
    exact, video, mask = copy.deepcopy(model).double(), a_video().to(dtype), frame_mask(masked)
    truth = logits_and_gradients(exact, exact, video.double(), mask)
    plain = logits_and_gradients(model, model, video, mask)
    fast = logits_and_gradients(tubelet.optimise(model, training=True), model, video, mask)
    with torch.no_grad():
        logits = tubelet.optimise(model.eval())(video, mask)
    assert logits.dtype == fast[0].dtype == dtype
    for ours, theirs, exactly in zip([logits, *fast], [plain[0], *plain], [truth[0], *truth], strict=True):
        limit = 2 * (theirs - exactly).abs().max() + 16 * torch.finfo(dtype).eps * exactly.abs().max()
        assert (ours - exactly).abs().max() <= limit


@every
@masks
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@torch.no_grad()
def test_half_precision_is_near_the_same_weights_in_single_precision(
    variant: str, masked: bool, dtype: torch.dtype
) -> None:
    """About 40 results follow one another, each rounded by up to eps / 2; rounding errors add up as sqrt(40)."""
    model = build(variant).eval().to(dtype)
    single, video, mask = copy.deepcopy(model).float(), a_video().to(dtype), frame_mask(masked)
    logits, expected = model(video, mask), single(video.float(), mask)
    assert logits.dtype == dtype
    assert (logits - expected).abs().max() <= 40**0.5 * torch.finfo(dtype).eps * expected.abs().max()


# --- copies and states -----------------------------------------------------------------------------------------------


def through_torch_save(model: ViViT) -> ViViT:
    file = io.BytesIO()
    torch.save(model, file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=False)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "torch.save": through_torch_save,
}


@every
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", COPIES)
@torch.no_grad()
def test_a_copy_is_the_same_function_of_weights_of_its_own(variant: str, form: str, way: str) -> None:
    original = FORMS[form](build(variant).eval())
    twin, video = COPIES[way](original), a_video()
    expected = original(video)
    assert type(twin) is type(original)
    assert torch.equal(twin(video), expected)
    assert set(twin.state_dict()) == set(original.state_dict())
    for parameter in original.parameters():
        parameter.zero_()
    assert torch.equal(twin(video), expected)


@every
@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_a_functional_call_and_a_loaded_state_are_the_model_with_those_weights(variant: str, form: str) -> None:
    model, other, video = build(variant).eval(), build(variant).eval(), a_video()
    fast, state, before = FORMS[form](model), other.state_dict(), model(video)
    expected = other(video)
    assert not torch.allclose(expected, before)
    torch.testing.assert_close(torch.func.functional_call(fast, state, (video,)), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(fast(video), before, atol=1e-5, rtol=1e-5)
    fast.load_state_dict(state)
    torch.testing.assert_close(fast(video), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(model(video), expected)


@every
def test_gradients_of_every_sample_add_up_to_those_of_the_batch(variant: str) -> None:
    model, x = build(variant), a_video(3)
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def loss(parameters: dict[str, Tensor], clip: Tensor) -> Tensor:
        return torch.func.functional_call(model, parameters, (clip[None],)).square().sum()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # vmap of the fused attention falls back to a loop
        each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, x)
    model(x).square().sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(each[name].sum(dim=0), parameter.grad, atol=1e-5, rtol=1e-4)


@every
def test_hessian_vector_products_are_those_of_finite_differences(variant: str) -> None:
    """The fused attention of torch has no second derivative and says so; the manual one has."""
    model, x = build(variant).double(), a_video(1).double()
    direction = torch.randn_like(x)

    def function(x: Tensor) -> Tensor:
        return model(x).square().sum()

    def gradient(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(function(x), x)[0]

    with pytest.raises(RuntimeError, match="not implemented"):
        torch.autograd.functional.hvp(function, x, direction)
    with manual_attention(model):
        _, product = torch.autograd.functional.hvp(function, x, direction)
    expected = (gradient(x + 1e-5 * direction) - gradient(x - 1e-5 * direction)) / 2e-5
    assert expected.abs().max() > 0
    torch.testing.assert_close(product, expected, atol=1e-3 * float(expected.abs().max()), rtol=0)


# --- weights that are no plain tensors -------------------------------------------------------------------------------


class Scaled(Tensor):
    """Operations other than linear layers are refused, as quantised weights do."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func is nn.functional.linear:
            plain = [value.as_subclass(Tensor) if isinstance(value, Scaled) else value for value in args]
            return func(*plain, **(kwargs or {}))
        if func in (Tensor.split, Tensor.chunk, Tensor.__getitem__, torch.addmm, torch.mm):
            raise NotImplementedError(func)
        return super().__torch_function__(func, types, args, kwargs or {})


@every
@torch.no_grad()
def test_weights_may_be_tensor_subclasses(variant: str) -> None:
    model, x = build(variant).eval(), a_video()
    expected = model(x)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.weight = nn.Parameter(module.weight.as_subclass(Scaled))
    for form in FORMS.values():
        torch.testing.assert_close(form(model)(x).as_subclass(Tensor), expected, atol=1e-5, rtol=1e-5)


@every
@torch.no_grad()
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_dynamic_quantisation_leaves_a_model_that_runs(variant: str) -> None:
    """Weights and inputs of 8 bits: each is off by up to 1/254 of the largest of its tensor."""
    model, x = build(variant).eval(), a_video()
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    expected = model(x)
    torch.testing.assert_close(quantised(x), expected, atol=0.1 * float(expected.abs().max()), rtol=0)
