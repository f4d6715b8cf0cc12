"""timm's image transformers: a model object, a name, or tensors with timm's keys.

The keys do not say how many heads there are, which activation, or how tokens are pooled. A model object does, and so
does a name of timm's, from which the model is built; for tensors alone it is assumed, and the report says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn

from tubelet.errors import WeightsError
from tubelet.text import did_you_mean
from tubelet.weights.image_vit import Activation, ImageViT, per_channel, split_positions
from tubelet.weights.source_tensors import SourceTensors
from tubelet.weights.tensors import MappedTensor

HINT = "ViViT's block is the plain ViT's"
REFUSALS = {
    r"(^|\.)(reg_token|register_tokens)$": "register tokens: every layer attends to them, so that the model is another "
    "one without them, and ViViT has no place for them",
    r"(^|\.)(dist_token|head_dist\.)": "a distillation token: every layer attends to it, and ViViT has one class token "
    "alone; take the model without distillation",
    r"(rope|rotary|freqs)": "rotary positions",
    r"(relative_position|rel_pos)": "relative positions inside attention",
    r"\.(q_norm|k_norm)\.": "normalised queries and keys",
    r"\.attn\.(norm|gate|lambda)": "more than queries, keys and values inside attention",
    r"\.mlp\.(w12|w1|w2|w3|fc1_g|fc1_x|gate|norm)\b": "an MLP that is not two linear layers (SwiGLU, or a norm inside)",
    r"patch_embed\.(backbone|stem|conv|norm|embedder)|^(embeds|stem|conv1|layer\d)\.": "patches that do not come from "
    "one convolution over pixels",
    r"blocks\.\d+\.(attns|ffns|in_proj|in_norm|out_proj|attn_out_proj|mlp_out_proj)": "attention and MLP side by side",
    r"^(neck|layers|stages|patch_embed\.proj\d)\.": "stages or a neck: no plain ViT",
}
"""Which keys show that the model is not a plain ViT, and what it has instead."""

ACTIVATIONS: dict[str, Activation] = {"GELU": "gelu", "GELUTanh": "gelu_tanh", "QuickGELU": "gelu_quick"}
POOLS = {"token": "cls", "avg": "mean"}


@dataclass(frozen=True)
class TimmFacts:
    """What a timm model knows and its tensors do not say: fields of `ImageViT`, and the grid.

    `grid` None is a square, and `pool` None what the keys suggest.
    """

    num_heads: int | None = None
    activation: Activation = "gelu"
    layer_norm_eps: float = 1e-6
    grid: tuple[int, int] | None = None
    pool: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    labels: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


ASSUMED = TimmFacts(
    notes=(
        "the tensors alone do not say the activation (gelu assumed), the norms' eps (1e-6 assumed), the number of "
        "heads (the model's taken) or how pixels were normalised; architecture='<a name of timm>' says it",
    )
)


def from_timm_model(model: nn.Module, source: str) -> ImageViT:
    """The image transformer that a timm model object is."""
    return from_timm_tensors(model.state_dict(), source, facts_of(model, source))


def build(name: str, source: str, *, pretrained: bool, **arguments: Any) -> nn.Module:
    """A model by timm's name; the pretrained weights come through timm's own code, its cache first."""
    try:
        import timm
    except ImportError as error:
        raise WeightsError(f"{source}: timm is needed to know this model: pip install 'tubelet[timm]'") from error
    if not timm.is_model(name):
        nearest = did_you_mean(name.split(".")[0], timm.list_models("*vit*") + timm.list_models("deit*"))
        hint = nearest if nearest.startswith("; did you mean") else "; timm.list_models('vit*') lists them"
        raise WeightsError(f"{source}: neither a file nor a model of timm{hint}")
    try:
        return timm.create_model(name, pretrained=pretrained, **arguments)
    except (OSError, RuntimeError, ValueError, TypeError, AssertionError, ImportError) as error:
        first_line = (str(error) or type(error).__name__).strip().splitlines()[0]
        what = "the pretrained weights could not be had" if pretrained else "timm could not build it"
        raise WeightsError(f"{source}: {what}: {first_line}") from error


def facts_of(model: nn.Module, source: str) -> TimmFacts:
    """What the model object says; refuses what is no plain ViT."""
    _refuse_keys(model.state_dict(), source)
    if getattr(model, "rope", None) is not None:
        raise WeightsError(f"{source}: rotary positions; {HINT}")
    block = _plain_block(model, source)
    eps = {
        module.eps
        for name, module in model.named_modules()
        if isinstance(module, nn.LayerNorm) and not name.startswith(("attn_pool", "head"))
    }
    if len(eps) != 1:
        raise WeightsError(f"{source}: LayerNorms with different eps ({sorted(eps)}); ViViT has one for all")
    pretrained = getattr(model, "pretrained_cfg", None) or {}
    pool = str(getattr(model, "global_pool", "token"))
    grid: Any = model.get_submodule("patch_embed").grid_size
    notes = []
    if getattr(model, "pool_include_prefix", False):
        notes.append("the image model pools its class token with its patches")
    labels = pretrained.get("label_names")
    return TimmFacts(
        num_heads=block.attn.num_heads,
        activation=_activation(block.mlp.act, source),
        layer_norm_eps=eps.pop(),
        grid=(grid[0], grid[1]),
        pool=POOLS.get(pool, pool),
        mean=per_channel(pretrained.get("mean"), "pretrained_cfg['mean']", source),
        std=per_channel(pretrained.get("std"), "pretrained_cfg['std']", source),
        labels=tuple(labels) if labels else None,
        notes=tuple(notes),
    )


def from_timm_tensors(tensors: Mapping[str, Any], source: str, facts: TimmFacts = ASSUMED) -> ImageViT:
    """The image transformer that tensors with timm's keys are.

    LayerScale is folded into the layer before it, exactly; a missing bias becomes 0.
    """
    _refuse_keys(tensors, source)
    if facts is ASSUMED:
        _refuse_guessing(tensors, source)
    taken = SourceTensors(tensors, source)
    found = taken.linear("embedding", "patch_embed.proj")
    shape = list(found["embedding.weight"].tensor.shape)
    if len(shape) != 4:
        raise WeightsError(f"{source}: patch_embed.proj.weight has the shape {shape}; expected [D, C, h, w]")
    if "cls_token" in taken:
        found["cls"] = MappedTensor(taken.take("cls_token").flatten(0, -2), "cls_token")
    positions = taken.take("pos_embed", "only ViTs with learned positions can be read")
    found |= split_positions(positions, "cls" in found, facts.grid, "pos_embed", source)
    if "norm_pre.weight" in taken:
        found |= _norm(taken, "input_norm", "norm_pre")
    for layer in range(taken.count(r"blocks\.(\d+)\.", "blocks.0.")):
        found |= _block(taken, f"blocks.{layer}")
    map_pool = taken.take_all("attn_pool.", "attention pooling: ViViT pools its class token or a mean")
    unusable = "it follows attention pooling, which ViViT does not have" if map_pool else ""
    if pre_logits := taken.take_all("pre_logits.", "a layer before the head: ViViT has none"):
        unusable = "it follows a pre-logits layer, which ViViT does not have"
    unused = map_pool | pre_logits
    for prefix in ("mask_token", "decoder_"):
        unused |= taken.take_all(prefix, "only for its pretraining")
    output_norm: Literal["before_pool", "after_pool"] = "after_pool" if "fc_norm.weight" in taken else "before_pool"
    found |= _norm(taken, "norm", "fc_norm" if output_norm == "after_pool" else "norm")
    if "head.weight" in taken:
        found |= taken.linear("head", "head")
    return ImageViT(
        source=source,
        format="timm",
        tensors=found,
        num_heads=facts.num_heads,
        activation=facts.activation,
        layer_norm_eps=facts.layer_norm_eps,
        pool=facts.pool or _pool_by_keys(output_norm, map_pool=bool(map_pool), has_cls="cls" in found),
        output_norm=output_norm,
        mean=facts.mean,
        std=facts.std,
        labels=facts.labels,
        head_unusable_because=unusable,
        unused=unused,
        unexpected=tuple(taken.left),
        notes=facts.notes,
    )


def facts_of_architecture(
    name: str, tensors: Mapping[str, Any], source: str, arguments: Mapping[str, Any] | None = None
) -> TimmFacts:
    """What timm's architecture says of tensors with its keys; it is built without memory, to look at."""
    with torch.device("meta"):
        model = build(name, source, pretrained=False, **(arguments or {}))
    facts = facts_of(model, source)
    expected = {key: list(tensor.shape) for key, tensor in model.state_dict().items() if key.startswith("blocks.")}
    found = {key: list(getattr(tensor, "shape", ())) for key, tensor in tensors.items() if key.startswith("blocks.")}
    # each of these has two names
    variable = (".gamma_1", ".gamma_2", ".ls1.gamma", ".ls2.gamma", ".q_bias", ".v_bias", ".qkv.bias")
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key) != found.get(key) and not key.endswith(variable):
            raise WeightsError(
                f"{source}: not the weights of {name}: {key} is {found.get(key, 'missing')} there, and "
                f"{expected.get(key, 'missing')} in that architecture"
            )
    # the tensors may be for another image size than the architecture's default: a square is read from the table
    square = facts.grid is not None and facts.grid[0] == facts.grid[1]
    return replace(facts, grid=None if square else facts.grid)


def _refuse_keys(tensors: Mapping[str, Any], source: str) -> None:
    for pattern, instead in REFUSALS.items():
        found = next((name for name in tensors if re.search(pattern, name)), None)
        if found:
            raise WeightsError(f"{source}: {instead} ({found}); {HINT}")
    if any(re.match(r"blocks\.\d+\.norm1\.weight", name) for name in tensors):
        for name in ("blocks.0.norm1.bias", "blocks.0.norm2.bias"):
            if name not in tensors:
                raise WeightsError(f"{source}: {name} is missing: not a LayerNorm with a bias (RMSNorm?); {HINT}")


def _refuse_guessing(tensors: Mapping[str, Any], source: str) -> None:
    ask = "give architecture='<its name in timm>', which says it"
    if "norm_pre.weight" in tensors:
        raise WeightsError(
            f"{source}: a CLIP-style ViT, of which some have gelu and some quick_gelu with the same keys; {ask}"
        )
    if "blocks.0.gamma_1" in tensors:
        raise WeightsError(
            f"{source}: gamma_1 is in models with rotary positions and without, with the same keys; {ask}"
        )


def _plain_block(model: Any, source: str) -> Any:
    """The first block, after a look at every one: their classes may differ where their keys do not."""
    from timm.layers import Attention, Mlp, PatchEmbed
    from timm.models.vision_transformer import Block, VisionTransformer

    if type(model) is not VisionTransformer:
        raise WeightsError(
            f"{source}: the class is {type(model).__name__} of {type(model).__module__}, not timm's VisionTransformer; "
            f"{HINT}. If this is one too, give its state_dict()"
        )
    if type(model.patch_embed) is not PatchEmbed or not isinstance(model.patch_embed.norm, nn.Identity):
        raise WeightsError(
            f"{source}: patches come from {type(model.patch_embed).__name__}, not one convolution; {HINT}"
        )
    for block in model.blocks:
        kinds = {"block": (block, Block), "attention": (getattr(block, "attn", None), Attention)}
        kinds["MLP"] = (getattr(block, "mlp", None), Mlp)
        for part, (module, expected) in kinds.items():
            if type(module) is not expected:
                raise WeightsError(f"{source}: a {part} of the class {type(module).__name__}; {HINT}")
        for norm in (block.norm1, block.norm2):
            if not isinstance(norm, nn.LayerNorm):
                raise WeightsError(f"{source}: {type(norm).__name__} instead of LayerNorm; {HINT}")
        if block.attn.num_heads * block.attn.head_dim != model.embed_dim:
            raise WeightsError(f"{source}: heads of {block.attn.head_dim}, not hidden_size / num_heads; {HINT}")
    return model.blocks[0]


def _activation(module: nn.Module, source: str) -> Activation:
    name = type(module).__name__
    if isinstance(module, nn.GELU) and module.approximate == "tanh":
        return "gelu_tanh"
    if name not in ACTIVATIONS:
        raise WeightsError(f"{source}: the activation {name}; ViViT has {', '.join(sorted(set(ACTIVATIONS.values())))}")
    return ACTIVATIONS[name]


def _block(tensors: SourceTensors, block: str) -> dict[str, MappedTensor]:
    found = _norm(tensors, f"{block}.norm_attention", f"{block}.norm1")
    found |= _norm(tensors, f"{block}.norm_mlp", f"{block}.norm2")
    found |= tensors.linear(f"{block}.attention.qkv", f"{block}.attn.qkv")
    if f"{block}.attn.q_bias" in tensors:
        query, value = tensors.take(f"{block}.attn.q_bias"), tensors.take(f"{block}.attn.v_bias")
        names, how = f"{block}.attn.q_bias + {block}.attn.v_bias", "no key bias in the source: 0"
        bias = torch.cat([query, torch.zeros_like(query), value])
        found[f"{block}.attention.qkv.bias"] = MappedTensor(bias, names, how)
    for ours, theirs, number in (("attention.out", "attn.proj", 1), ("mlp.fc2", "mlp.fc2", 2)):
        scales = (f"{block}.ls{number}.gamma", f"{block}.gamma_{number}")
        found |= _scaled_linear(tensors, f"{block}.{ours}", f"{block}.{theirs}", scales)
    found |= tensors.linear(f"{block}.mlp.fc1", f"{block}.mlp.fc1")
    fc1, fc2 = found[f"{block}.mlp.fc1.weight"], found[f"{block}.mlp.fc2.weight"]
    if len(fc1.tensor) == 2 * fc2.tensor.shape[-1]:
        raise WeightsError(f"{tensors.source}: {fc1.source} makes two halves that gate each other (SwiGLU); {HINT}")
    return found


def _scaled_linear(tensors: SourceTensors, ours: str, theirs: str, scales: Sequence[str]) -> dict[str, MappedTensor]:
    """gamma * (W x + b) = (gamma W) x + (gamma b)."""
    found = tensors.linear(ours, theirs)
    scale = next((name for name in scales if name in tensors), None)
    if scale is None:
        return found
    gamma, bias = tensors.take(scale), found[f"{ours}.bias"]
    if gamma.shape != bias.tensor.shape:
        raise WeightsError(
            f"{tensors.source}: {scale} has the shape {list(gamma.shape)}, not {list(bias.tensor.shape)}"
        )
    for name, mapped in found.items():
        if mapped.source:
            scaled = gamma.view(-1, *[1] * (mapped.tensor.ndim - 1)) * mapped.tensor
            found[name] = MappedTensor(scaled, f"{mapped.source} + {scale}", "LayerScale multiplied in", adapted=True)
    return found


def _pool_by_keys(output_norm: str, *, map_pool: bool, has_cls: bool) -> str:
    """What the keys suggest: a norm after pooling belongs to a mean."""
    if map_pool:
        return "map"
    return "cls" if has_cls and output_norm == "before_pool" else "mean"


def _norm(tensors: SourceTensors, ours: str, theirs: str) -> dict[str, MappedTensor]:
    return tensors.module(ours, theirs, f"only LayerNorm with weight and bias can be read; {HINT}")
