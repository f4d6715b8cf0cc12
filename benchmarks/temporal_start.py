"""How the attention over time of model 3 should start: the three behaviours of `tubelet.initialise`, measured.

    python -m benchmarks.temporal_start

A small image transformer with random weights becomes a factorised self-attention model, which then learns in which of
four directions a textured square moves (it leaves at one side and comes in at the other, so that no single frame and no
average over frames gives it away). No download, no GPU; about two minutes on one core.
"""

from __future__ import annotations

import argparse
import math

import torch
from torch import Tensor, nn

from tubelet import ModelConfig, ViViT, initialise
from tubelet.weights.initialise import config_for

DIM, HEADS, LAYERS, FRAMES, SIZE, PATCH = 48, 4, 3, 8, 32, 8
BEHAVIOURS = ("default", "original", "paper")


def image_vit(seed: int = 0) -> dict[str, Tensor]:
    """An image transformer without class token, under timm's keys, as it comes out of a usual initialisation."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) / math.sqrt(math.prod(shape[1:]))

    state = {
        "patch_embed.proj.weight": draw(DIM, 3, PATCH, PATCH),
        "patch_embed.proj.bias": torch.zeros(DIM),
        "pos_embed": 0.02 * torch.randn(1, (SIZE // PATCH) ** 2, DIM, generator=generator),
    }
    linears = {
        "attn.qkv": (3 * DIM, DIM),
        "attn.proj": (DIM, DIM),
        "mlp.fc1": (4 * DIM, DIM),
        "mlp.fc2": (DIM, 4 * DIM),
    }
    for layer in range(LAYERS):
        for name, shape in linears.items():
            state[f"blocks.{layer}.{name}.weight"] = draw(*shape)
            state[f"blocks.{layer}.{name}.bias"] = torch.zeros(shape[0])
    for name in ["norm", *(f"blocks.{layer}.norm{n}" for layer in range(LAYERS) for n in (1, 2))]:
        state |= {f"{name}.weight": torch.ones(DIM), f"{name}.bias": torch.zeros(DIM)}
    return state


def clips(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Videos [B, T, 3, H, W] of a square that moves 4 pixels a frame, and the direction of each, 0 to 3."""
    directions = torch.randint(4, (count,), generator=generator)
    steps = torch.tensor([[0, 4], [0, -4], [4, 0], [-4, 0]])
    videos = []
    for direction in directions:
        scene = torch.zeros(3, SIZE, SIZE)
        scene[:, :12, :12] = torch.randn(3, 12, 12, generator=generator)
        start = torch.randint(SIZE, (2,), generator=generator)
        places = [(start + frame * steps[direction]).tolist() for frame in range(FRAMES)]
        videos.append(torch.stack([scene.roll(place, dims=(1, 2)) for place in places]))
    return torch.stack(videos), directions


def temporal(model: nn.Module) -> dict[str, Tensor]:
    """The parameters of attention over time: queries, keys and values apart."""
    found = {}
    for name, parameter in model.named_parameters():
        if ".time." not in name:
            continue
        parts = zip("qkv", parameter.chunk(3), strict=True) if "qkv" in name else [("out", parameter)]
        found |= {f"{name}/{part}": tensor for part, tensor in parts}
    return found


def measure(behaviour: str, steps: int, seed: int = 0) -> dict[str, float]:
    """Start, train and watch one model."""
    torch.manual_seed(seed)
    source = image_vit(seed)
    base = ModelConfig(image_size=SIZE, num_frames=FRAMES, embedding="uniform_frames", tubelet_size=(1, PATCH, PATCH))
    fields = {"num_heads": HEADS, "num_classes": 4, "pool": "mean"}
    model = ViViT(config_for(source, base, variant="factorised_self_attention", **fields))
    one_frame = ViViT(config_for(source, base, num_frames=1, **fields)).eval()
    for each in (model, one_frame):
        initialise(each, source, behaviour=behaviour)
    still = torch.randn(4, 1, 3, SIZE, SIZE)
    with torch.no_grad():
        shown = model.eval().forward_features(still.expand(-1, FRAMES, -1, -1, -1)).mean(1)
        start = (shown - one_frame.forward_features(still).mean(1)).abs().max()
    kernels = {name: tensor.detach().clone() for name, tensor in temporal(model).items() if "weight" in name}
    optimiser = torch.optim.AdamW(model.train().parameters(), lr=1e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    generator = torch.Generator().manual_seed(seed)
    result = {"start": float(start)}
    for step in range(1, steps + 1):
        videos, directions = clips(32, generator)
        loss = nn.functional.cross_entropy(model(videos), directions)
        optimiser.zero_grad()
        loss.backward()
        if step in (1, 2):
            gradients = [p.grad.norm() for n, p in model.named_parameters() if ".time." in n and "weight" in n]
            result[f"gradient{step}"] = float(torch.stack(gradients).norm())
        optimiser.step()
        schedule.step()
        if step == 20:
            moved = [
                not torch.equal(kernels[name], tensor) for name, tensor in temporal(model).items() if name in kernels
            ]
            result["moved"] = 100 * sum(moved) / len(moved)
    videos, directions = clips(512, torch.Generator().manual_seed(seed + 1000))
    with torch.no_grad():
        result["accuracy"] = 100 * float((model.eval()(videos).argmax(1) == directions).float().mean())
    return result


def main() -> None:
    """Print one line for each behaviour."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=300, help="training steps, 20 or more")
    parser.add_argument("--seeds", type=int, default=1, help="how many runs to average")
    arguments = parser.parse_args()
    print(f"{'behaviour':<12}{'start':>10}{'gradient 1':>12}{'gradient 2':>12}{'moved at 20':>13}{'accuracy':>10}")
    for behaviour in BEHAVIOURS:
        runs = [measure(behaviour, max(arguments.steps, 20), seed) for seed in range(arguments.seeds)]
        mean = {name: sum(run[name] for run in runs) / len(runs) for name in runs[0]}
        print(
            f"{behaviour:<12}{mean['start']:>10.1e}{mean['gradient1']:>12.1e}{mean['gradient2']:>12.1e}"
            f"{mean['moved']:>11.0f} %{mean['accuracy']:>8.1f} %"
        )


if __name__ == "__main__":
    main()
