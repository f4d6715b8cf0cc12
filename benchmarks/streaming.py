"""What a factorised encoder saves by encoding each tubelet once: streams, and views that overlap.

    python -m benchmarks.streaming                                  ViViT-B/16x2, 32 frames of 224 x 224
    python -m benchmarks.streaming --preset vivit_small_16x2_fe --rounds 5 --views 12x1 4x3

A stream makes one decision a tubelet; it is compared with a forward pass of each window. Views overlap by half: clips
start half a clip after the one before. They are compared with a forward pass of each. Both are timed in turn, with
`tubelet.optimise(model)`; processor time (all threads) is given beside wall-clock time, as it is the steadier one on a
busy machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tubelet import PreprocessingConfig, create, optimise, stream
from tubelet.evaluation import predict_views
from tubelet.model import ViViT
from tubelet.video import Preprocessing
from tubelet.video.views import parse_views


def main() -> None:
    """Time, compare, print."""
    options = _options()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    model = optimise(create(options.preset))
    size = model.config.image_size[0]
    model.preprocessing = PreprocessingConfig(
        num_frames=model.config.num_frames, frame_stride=2, resize=size, crop_size=model.config.image_size
    )
    print("| | wall s | processor s | of all anew, wall | of all anew, processor | logits differ by |")
    print("|---|---|---|---|---|---|")
    _stream(model, options.rounds)
    for views in options.views:
        _views(model, *parse_views(views))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description="Tubelets encoded once.")
    parser.add_argument("--preset", default="vivit_base_16x2_fe")
    parser.add_argument("--rounds", type=int, default=3, help="decisions of the stream")
    parser.add_argument("--views", nargs="*", default=["12x1", "4x3"])
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    return parser.parse_args()


def _spent(run: Callable[[], Any]) -> tuple[Any, float, float]:
    """What comes out, and wall and processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    result = run()
    return result, time.perf_counter() - wall, time.process_time() - processor


def _row(name: str, ours: list[tuple[float, float]], anew: list[tuple[float, float]], difference: float) -> None:
    wall, processor = (statistics.median(one[kind] for one in ours) for kind in (0, 1))
    ratios = [statistics.median(a[kind] / b[kind] for a, b in zip(ours, anew, strict=True)) for kind in (0, 1)]
    print(
        f"| {name} | {wall:.3f} | {processor:.3f} | {ratios[0]:.3f} | {ratios[1]:.3f} | {difference:.1e} |", flush=True
    )


def _stream(model: ViViT, rounds: int) -> None:
    assert model.preprocessing is not None
    size, stride = model.config.image_size[0], model.preprocessing.frame_stride
    count, hop = model.config.num_frames, model.config.tubelet_size[0] * stride
    frames = torch.randint(0, 255, ((count - 1) * stride + 1 + rounds * hop, 3, size, size), dtype=torch.uint8)
    decisions = stream(model, frames)
    next(decisions)  # fills the first window
    preprocessing = Preprocessing(model.preprocessing)
    ours, anew, difference = [], [], 0.0
    for number in range(1, rounds + 1):
        decision, *spent = _spent(lambda: next(decisions))
        ours.append(tuple(spent))
        start = number * hop
        video = preprocessing.spatial(frames[start : start + count * stride : stride])
        logits, *spent = _spent(lambda video=video: _forward(model, video))
        anew.append(tuple(spent))
        difference = max(difference, (logits[0] - decision.head.logits).abs().max().item())
    _row("stream, a decision", ours, anew, difference)


def _views(model: ViViT, clips: int, crops: int) -> None:
    count = model.config.num_frames
    size = model.config.tubelet_size[0]
    starts = [number * (count // 2 // size * size) for number in range(clips)]
    video = torch.randn(crops, starts[-1] + count, 3, *model.config.image_size)
    views = torch.cat([video[:, start : start + count] for start in starts])
    frames = [list(range(start, start + count)) for start in starts]
    shared, *ours = _spent(lambda: predict_views(model, views, frames=frames)["label"])
    apart, *anew = _spent(lambda: torch.cat([_forward(model, view[None]) for view in views]).mean(0))
    _row(f"views {clips}x{crops}", [(ours[0], ours[1])], [(anew[0], anew[1])], (shared - apart).abs().max().item())


@torch.inference_mode()
def _forward(model: ViViT, video: Tensor) -> Tensor:
    logits = model(video)
    assert isinstance(logits, Tensor)
    return logits.double()


if __name__ == "__main__":
    main()
