"""Compile and export the configurations named, and print what came of it as JSON. Run by test_contract.py.

In a process of its own, since the run-time checks of signatures that the test session has are not traceable.
"""

from __future__ import annotations

import json
import sys

import torch
from configurations import every_configuration, small

from tubelet.model import ViViT


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


def run(model: ViViT) -> dict[str, float | str]:
    config = model.config
    video = torch.randn(2, config.num_frames, 3, *config.image_size)
    mask = torch.ones(2, config.num_frames, dtype=torch.bool)
    mask[1, 4:] = False
    with torch.no_grad():
        expected, masked = model(video), model(video, mask)
    found: dict[str, float | str] = {}
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    with torch.no_grad():
        found["compile"] = difference(compiled(video), expected)
        found["compile with a mask"] = difference(compiled(video, mask), masked)
    larger = torch.randn(5, *video.shape[1:])
    with torch.no_grad():
        exported = torch.export.export(model, (video,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        traced = torch.jit.trace(model, (video,), check_trace=False)
        found["export"] = difference(exported.module()(video), expected)
        found["export, another batch"] = difference(exported.module()(larger), model(larger))
        found["trace, another batch"] = difference(traced(larger), model(larger))
    return found


def inductor(model: ViViT) -> float:
    """Through the real code generator, forward and backward, against eager."""
    video = torch.randn(2, model.config.num_frames, 3, *model.config.image_size)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True)
    model(video).square().sum().backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters()])
    model.zero_grad()
    compiled(video).square().sum().backward()
    return difference(torch.cat([p.grad.flatten() for p in model.parameters()]), expected)


if __name__ == "__main__":
    torch.manual_seed(0)
    table = every_configuration()
    results: dict[str, dict[str, float | str]] = {}
    for name in sys.argv[1:]:
        try:
            if name == "inductor":
                results[name] = {"difference": inductor(ViViT(small("factorised_self_attention")))}
            else:
                results[name] = run(ViViT(table[name]).eval())
        except Exception as error:  # noqa: BLE001 - whatever it is, the test that reads this shows it
            results[name] = {"error": f"{type(error).__name__}: {error}"}
    json.dump(results, sys.stdout)
