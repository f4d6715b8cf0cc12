"""The models are plain modules: hooks, adapters, replaced layers, derivatives, quantisation, export, tracing."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

import tubelet
from tubelet.config import ModelConfig
from tubelet.model import ViViT
from tubelet.nn import MLP, DotProduct, FactorisedDotProductAttention, SelfAttention, manual_attention

VARIANTS = ("spatio_temporal", "factorised_encoder", "factorised_self_attention", "factorised_dot_product")
every = pytest.mark.parametrize("variant", VARIANTS)


def made(variant: str, **fields: object) -> ViViT:
    sizes = {"image_size": 16, "num_frames": 4, "tubelet_size": (2, 8, 8), "num_classes": 3}
    widths = {"hidden_size": 16, "num_layers": 2, "num_heads": 2, "mlp_dim": 24}
    return ViViT(ModelConfig(variant=variant, **{**sizes, **widths, **fields}))


def video(batch: int = 2) -> Tensor:
    return torch.randn(batch, 4, 3, 16, 16)


@every
@pytest.mark.parametrize("kind", ["forward", "forward_pre", "full_backward", "full_backward_pre"])
def test_a_hook_on_every_module_fires_once_a_step(variant: str, kind: str) -> None:
    model, called = made(variant).train(), []
    kinds = (nn.Linear, nn.LayerNorm, SelfAttention, FactorisedDotProductAttention, MLP, DotProduct)
    names = [name for name, module in model.named_modules() if isinstance(module, kinds)]
    for name in names:
        getattr(model.get_submodule(name), f"register_{kind}_hook")(lambda *given, name=name: called.append(name))
    model(video().requires_grad_()).sum().backward()
    assert sorted(called) == sorted(names)


@every
def test_a_global_hook_fires_for_every_linear_layer(variant: str) -> None:
    model, called = made(variant), []
    handle = register_module_forward_hook(lambda module, inputs, output: called.append(module))
    try:
        for evaluating in (model, tubelet.optimise(model), tubelet.optimise(model, training=True)):
            called.clear()
            evaluating(video())
            count = sum(isinstance(module, nn.Linear) for module in called)
            assert count == sum(isinstance(module, nn.Linear) for module in model.modules())
    finally:
        handle.remove()


@every
def test_a_backward_hook_can_change_gradients(variant: str) -> None:
    model = made(variant)
    last = [module for module in model.modules() if hasattr(module, "qkv")][-1]
    last.qkv.register_full_backward_hook(lambda module, grad_input, grad_output: (torch.zeros_like(grad_input[0]),))
    x = video().requires_grad_()
    model(x).sum().backward()
    norms = [name for name, _ in model.named_modules() if name.endswith(("norm_attention", "norm_time"))]
    assert not model.get_submodule(norms[-1]).weight.grad.any()


@every
def test_hessian_vector_products_are_those_of_finite_differences(variant: str) -> None:
    """The fused attention of torch has no second derivative and says so; the manual one has."""
    model, x = made(variant).double(), video(1).double()
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


@every
def test_torch_func_sees_a_function_of_the_parameters(variant: str) -> None:
    model, x = made(variant), video(3)
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def loss(parameters: dict[str, Tensor], clip: Tensor) -> Tensor:
        return torch.func.functional_call(model, parameters, (clip[None],)).square().sum()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # vmap of the fused attention falls back to a loop
        each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, x)
    model(x).square().sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(each[name].sum(dim=0), parameter.grad, atol=1e-5, rtol=1e-4)


class Scaled(Tensor):
    """Weights that are no plain tensor: operations other than linear layers are refused, as quantised ones do."""

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
    model, x = made(variant).eval(), video()
    expected = model(x)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.weight = nn.Parameter(module.weight.as_subclass(Scaled))
    for each in (model, tubelet.optimise(model), tubelet.optimise(model, training=True)):
        torch.testing.assert_close(each(x).as_subclass(Tensor), expected, atol=1e-5, rtol=1e-5)


@every
@torch.no_grad()
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_dynamic_quantisation_leaves_a_model_that_runs(variant: str) -> None:
    model, x = made(variant).eval(), video()
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    torch.testing.assert_close(quantised(x), model(x), atol=0.2, rtol=0)


class Uniform(nn.Module):
    """Attention of a researcher's own: every token becomes a linear map of the mean over those that are real."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.linear(x.mean(dim=1, keepdim=True).expand_as(x))


@pytest.mark.parametrize("variant", VARIANTS[:2])
@pytest.mark.parametrize("part", ["attention", "mlp", "norm_attention", "block"])
def test_a_part_of_every_block_may_be_replaced(variant: str, part: str) -> None:
    """In training, evaluation, prediction and the optimised forms."""
    model = made(variant)
    for module in list(model.modules()):
        for number, block in enumerate(getattr(module, "blocks", ())):
            if part == "block":
                module.blocks[number] = Uniform(16)
            else:
                setattr(block, part, Uniform(16) if part == "attention" else nn.Linear(16, 16))
    x = video()
    for form in (model, tubelet.optimise(model, training=True)):
        model.zero_grad()
        form(x).square().sum().backward()
        own = [parameter for name, parameter in model.named_parameters() if "blocks" in name]
        assert all(parameter.grad is not None for parameter in own)
    model.eval()
    torch.testing.assert_close(tubelet.optimise(model)(x), model(x).detach())
    model.preprocessing = tubelet.PreprocessingConfig(num_frames=4, frame_stride=1, resize=16, crop_size=(16, 16))
    frames = torch.randint(0, 255, (4, 3, 16, 16), dtype=torch.uint8)
    result = tubelet.predict(model, frames)
    expected = model(frames[None].float() / 127.5 - 1)[0]
    torch.testing.assert_close(result.logits.float(), expected.detach(), atol=1e-5, rtol=1e-5)
