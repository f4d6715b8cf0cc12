"""What a GPU has to do, in five minutes at most: `make test-gpu`.

Without a GPU the same tests run on the CPU, small and without a compiler, so that they are known to work.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import tiny
import tubelet
from contract.configurations import VARIANTS, small
from reporters import KilledAt, KilledError
from tubelet.device import autocast
from tubelet.model import ViViT
from tubelet.training import SilentReporter, read_events
from tubelet.training.parallel import whole_tensors

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is there (make test-gpu)")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, GPU])])
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bars that move down or to the left."""
    return tiny.write_bars(tmp_path_factory.mktemp("gpu") / "clips", ("down", "left"), clips=8)


def test_a_training_in_bfloat16_is_resumed_evaluated_predicted_with_and_streamed(
    clips: Path, tmp_path: Path, device: torch.device
) -> None:
    on_gpu, out, reporter = device.type == "cuda", tmp_path / "run", SilentReporter()
    config = tiny.train_config(
        {"dropout": 0.0, "drop_path": 0.0},
        device=str(device),
        precision="bfloat16",
        compile=on_gpu,
        epochs=20 if on_gpu else 2,
        batch_size=4,
        fractions={"train": 0.75, "val": 0.25},
        colour=0.0,
        grey=0.0,
        learning_rate=3e-3,
        checkpoint_steps=2,
    )
    with pytest.raises(KilledError):
        tubelet.train(clips, out, config=config, reporter=KilledAt(3))
    result = tubelet.train(out=out, resume=True, reporter=reporter)
    losses = [event["loss"] for event in read_events(out / "metrics.jsonl", "train")]
    assert len(losses) == result.steps
    assert all(loss == loss for loss in losses)  # not NaN
    if on_gpu:
        assert sum(losses[-6:]) < 0.8 * sum(losses[:6]), "nothing was learned"

    evaluation = tubelet.evaluate(result.model, clips, device=str(device), views="2x1", include_learned=True)
    assert evaluation.num_videos == 16
    video = clips / "down" / "0.mp4"
    here, on_cpu = (tubelet.predict(result.model, video, device=name) for name in (str(device), "cpu"))
    torch.testing.assert_close(here.logits.cpu(), on_cpu.logits, **near(device, on_cpu.logits))
    decisions = list(tubelet.stream(result.model, video, device=str(device)))
    assert decisions
    assert all(0 <= decision.probability <= 1 for decision in decisions)


def near(device: torch.device, expected: Tensor) -> dict[str, float]:
    """On a GPU `auto` computes in bfloat16: some forty roundings of half its eps, which add up as their root."""
    largest = float(expected.abs().max())
    return {"atol": (6.4 * 2**-7 if device.type == "cuda" else 1e-5) * largest, "rtol": 0.0}


def build(variant: str, **fields: object) -> ViViT:
    torch.manual_seed(0)
    model = ViViT(small(variant, **fields))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def logits_and_gradients(forward: nn.Module, model: nn.Module, video: Tensor) -> list[Tensor]:
    logits = forward(video)
    logits.float().square().sum().backward()
    gradients = [parameter.grad.detach() for parameter in model.parameters()]
    model.zero_grad()
    return [value.detach().float().cpu() for value in (logits, *gradients)]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_logits_and_gradients_are_as_exact_as_those_of_the_cpu(
    device: torch.device, variant: str, dtype: torch.dtype
) -> None:
    """To twice the error of the CPU, and some roundings; convolutions of a GPU may take TF32, which has 10 bits."""
    model, video = build(variant), torch.randn(2, 6, 3, 16, 24)
    exact, moved = copy.deepcopy(model).double(), copy.deepcopy(model).to(device)
    truth = logits_and_gradients(exact, exact, video.double())
    with autocast(torch.device("cpu"), dtype):
        on_cpu = logits_and_gradients(model, model, video)
    with autocast(device, dtype):
        found = [logits_and_gradients(moved, moved, video.to(device))]
        found.append(logits_and_gradients(tubelet.optimise(moved, training=True), moved, video.to(device)))
        with torch.no_grad():
            found.append([tubelet.optimise(moved.eval())(video.to(device)).float().cpu()])
    eps = {torch.float32: 2**-10, torch.bfloat16: 2**-7}[dtype]
    for values in found:
        for ours, theirs, exactly in zip(values, on_cpu, truth, strict=False):
            limit = 2 * (theirs - exactly).abs().max() + 6.4 * eps * exactly.abs().max()
            assert (ours - exactly).abs().max() <= limit


@pytest.fixture
def group(device: torch.device, tmp_path: Path) -> Iterator[None]:
    """A process group of this process alone."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def replicated(model: ViViT, device: torch.device) -> nn.Module:
    ids = [torch.cuda.current_device()] if device.type == "cuda" else None
    return DistributedDataParallel(model, device_ids=ids)


def sharded(model: ViViT, device: torch.device) -> nn.Module:
    mesh = init_device_mesh(device.type, (1,))
    for block in model.encoder.blocks:
        fully_shard(block, mesh=mesh)
    return fully_shard(model, mesh=mesh)


@pytest.mark.usefixtures("group")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("engine", [replicated, sharded], ids=["DDP", "FSDP2"])
def test_a_step_of_an_engine_with_one_process_is_the_step_without(
    device: torch.device, engine: Callable[[ViViT, torch.device], nn.Module]
) -> None:
    alone = build("spatio_temporal").to(device)
    shared, video = copy.deepcopy(alone), torch.randn(2, 6, 3, 16, 24, device=device)
    for model, forward in ((alone, alone), (shared, engine(shared, device))):
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
        forward(video).square().sum().backward()
        optimiser.step()
    ours, expected = whole_tensors(shared), alone.state_dict()
    for name, value in expected.items():
        torch.testing.assert_close(ours[name], value, atol=1e-5, rtol=1e-5, msg=name)


def step(model: nn.Module, forward: Callable[[Tensor], Any], video: Tensor) -> None:
    with torch.autocast(video.device.type, torch.bfloat16):
        logits = forward(video)
    getattr(logits, "logits", logits).float().square().mean().backward()
    model.zero_grad()


def measured(run: Callable[[], None], device: torch.device, repeats: int) -> tuple[float, float]:
    """Median seconds of a call, and its peak memory in GB (0 on a CPU)."""
    seconds = []
    for _ in range(3):
        run()
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    peak = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else 0.0
    return sorted(seconds)[repeats // 2], peak


@pytest.mark.filterwarnings("ignore")
def test_a_step_is_no_slower_than_that_of_transformers(device: torch.device, tmp_path: Path) -> None:
    """B/16x2, 16 frames, batch 8, bfloat16; of the same weights, and with the same logits."""
    transformers = pytest.importorskip("transformers")
    on_gpu = device.type == "cuda"
    sizes: dict[str, Any] = {"image_size": 224, "num_frames": 16} if on_gpu else {"image_size": 32, "num_frames": 4}
    model = tubelet.create("vivit_base_16x2" if on_gpu else "vivit_tiny_16x2", num_classes=10, **sizes).eval()
    torch.nn.init.normal_(model.head.weight, std=0.1)
    tubelet.convert(model, tmp_path / "theirs", format="transformers")
    theirs = transformers.VivitForVideoClassification.from_pretrained(tmp_path / "theirs", attn_implementation="sdpa")
    size, frames = model.config.image_size, model.config.num_frames
    video = torch.randn(8 if on_gpu else 1, frames, 3, *size, device=device)
    model, theirs = model.to(device), theirs.to(device).eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(video[:1]).logits, model(video[:1]), atol=2e-2 if on_gpu else 1e-4, rtol=1e-2)
    sides = {"tubelet": (model, model), "transformers": (theirs, theirs)}
    if on_gpu:
        sides["tubelet, compiled"] = (model, torch.compile(model))
    figures = {}
    for name, (owner, forward) in sides.items():
        figures[name] = measured(partial(step, owner, forward, video), device, 20 if on_gpu else 1)
        print(f"{name}: {figures[name][0] * 1e3:.1f} ms a step, peak {figures[name][1]:.2f} GB")
    if on_gpu:
        seconds, memory = figures["transformers"]
        assert figures["tubelet"][0] <= 1.05 * seconds
        assert figures["tubelet"][1] <= 1.05 * memory
        assert figures["tubelet, compiled"][0] <= seconds
