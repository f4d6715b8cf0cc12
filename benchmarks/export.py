"""Exported forms of the four variants beside the plain and the optimised model: seconds a clip, and the proof.

    python -m benchmarks.export                                       ViViT-B/16x2, 32 frames of 224 x 224
    python -m benchmarks.export --size tiny --formats onnx --rounds 3
    python -m benchmarks.export --videos shared/data/utd_mhad_depth   proven on these, not on noise

All forms of a variant take turns, one clip at a time. ONNX Runtime is there twice: with its default settings, as
tubelet runs it, and with the best that are found first (number of threads, optimisation of the graph, spinning).
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

import tubelet
from tubelet.exported import ExportedViViT
from tubelet.timing import seconds_in_turn

VARIANTS = {"spatio_temporal": "", "factorised_encoder": "_fe", "factorised_self_attention": "_fsa"}
VARIANTS["factorised_dot_product"] = "_fdp"


def main() -> None:
    """Export, time, print."""
    options = _options()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    print("| variant | form | seconds a clip | of plain | logits differ by |\n|---|---|---|---|---|")
    for variant in options.variants:
        with tempfile.TemporaryDirectory() as folder:
            _variant(variant, options, Path(folder))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export", description="Exported forms, in turn.")
    parser.add_argument("--size", default="base", help="of the preset vivit_SIZE_16x2")
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--formats", nargs="*", default=["onnx", "openvino", "pt2"])
    parser.add_argument("--videos", help="a folder; by default noise")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    return parser.parse_args()


def _variant(variant: str, options: argparse.Namespace, folder: Path) -> None:
    torch.manual_seed(0)
    model = tubelet.create(f"vivit_{options.size}_16x2{VARIANTS[variant]}", num_classes=10).eval()
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.normal_(std=0.02)
    frames, (height, width) = model.config.num_frames, model.config.image_size
    model.preprocessing = tubelet.PreprocessingConfig(
        num_frames=frames, frame_stride=1, resize=height, crop_size=(height, width)
    )
    videos = options.videos or _noise(folder / "noise", frames, height, width)
    clip = torch.randint(0, 256, (1, frames, 3, height, width), dtype=torch.uint8)
    video = tubelet.video.Preprocessing(model.preprocessing).normalise(clip)
    forms: dict[str, Callable[[], object]] = {
        "plain": partial(_forward, model, video),
        "optimise": partial(_forward, tubelet.optimise(model), video),
    }
    proofs: dict[str, str] = {}
    for format in options.formats:
        proof = tubelet.export(model, folder / format, format, data=[videos])
        exported = tubelet.load(str(folder / format))
        assert isinstance(exported, ExportedViViT)
        pixels = clip.permute(0, 1, 3, 4, 2).contiguous().numpy()
        forms[format] = partial(exported.session, [pixels])
        proofs[format] = f"{proof.difference:.0e}"
        if format == "onnx":
            settings, best = _best_settings(folder / format / "model.onnx", pixels)
            forms[f"onnx, {settings}"] = best
    for run in forms.values():
        run()
    seconds = dict(zip(forms, seconds_in_turn(list(forms.values()), options.rounds), strict=True))
    for form, time in seconds.items():
        print(
            f"| {variant} | {form} | {time:.3f} | {time / seconds['plain']:.2f} | {proofs.get(form, '')} |", flush=True
        )


@torch.inference_mode()
def _forward(model: tubelet.ViViT, video: torch.Tensor) -> object:
    return model(video)


def _noise(folder: Path, frames: int, height: int, width: int) -> Path:
    folder.mkdir()
    for number in range(3):
        tubelet.write_video(folder / f"{number}.mp4", torch.randint(0, 256, (frames, 3, height, width)).byte(), 10.0)
    return folder


def _best_settings(file: Path, pixels: Any) -> tuple[str, Callable[[], object]]:
    """The fastest of some settings of ONNX Runtime, in words, and what runs it."""
    import onnxruntime

    found: dict[str, Callable[[], object]] = {}
    cores = torch.get_num_threads()
    levels = {name: getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{name}") for name in ("ALL", "BASIC")}
    for threads, (name, level), spinning in itertools.product(sorted({1, cores, 2 * cores}), levels.items(), "01"):
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3
        settings.intra_op_num_threads, settings.graph_optimization_level = threads, level
        settings.add_session_config_entry("session.intra_op.allow_spinning", spinning)
        session = onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
        words = f"{threads} threads, {name.lower()}, {'spinning' if spinning == '1' else 'waiting'}"
        found[words] = partial(session.run, None, {"video": pixels})
        found[words]()
    seconds = seconds_in_turn(list(found.values()), 3)
    return min(zip(seconds, found.items(), strict=True), key=lambda pair: pair[0])[1]


if __name__ == "__main__":
    main()
