"""Export the cells named, `VARIANT:EMBEDDING:FORMAT` each, and print what came of it as JSON; or with --table."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch

import tubelet
from tubelet.config import PreprocessingConfig
from tubelet.errors import TubeletError
from tubelet.video import write_video

SIZES = {
    "image_size": (16, 24),
    "num_frames": 4,
    "tubelet_size": (2, 8, 8),
    "hidden_size": 24,
    "num_layers": 1,
    "num_heads": 2,
    "mlp_dim": 32,
    "num_classes": {"verb": 3, "noun": 5},
}


def cell(variant: str, embedding: str, format: str, folder: Path) -> dict[str, object]:
    sizes = {**SIZES, "tubelet_size": (1, 8, 8)} if embedding == "uniform_frames" else SIZES
    if variant == "factorised_encoder":
        sizes = {**sizes, "temporal_layers": 1}
    if embedding == "conv_stem":  # with the rest of what the recipe small-data has
        sizes = {**sizes, "pool": "weighted", "head_norm": "batch"}
    torch.manual_seed(0)
    model = tubelet.ViViT(tubelet.ModelConfig(variant=variant, embedding=embedding, **sizes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    masked = embedding == "tubelet"  # graphs with a mask are in the table too
    model.preprocessing = PreprocessingConfig(
        num_frames=4, frame_stride=2, resize=16, crop_size=(16, 24), short_clips="mask" if masked else "loop"
    )
    videos = folder / "videos"
    if not videos.exists():
        videos.mkdir()
        generator = torch.Generator().manual_seed(0)
        for number, frames in enumerate((12, 5, 9, 3, 12, 8, 10, 6, 4)):
            noise = torch.randint(0, 256, (frames, 3, 24, 36), generator=generator, dtype=torch.uint8)
            write_video(videos / f"{number}.mp4", noise, 10.0)
    try:
        proof = tubelet.export(model, folder / f"{variant}-{embedding}-{format}", format, data=[videos])
    except TubeletError as error:
        return {"refused": str(error)}
    return proof.to_dict()


def table(found: dict[str, dict[str, object]]) -> str:
    """The table in docs/export.md."""
    cells = {tuple(name.split(":")): proof for name, proof in found.items()}
    formats = list(dict.fromkeys(format for _, _, format in cells))
    lines = ["| model, embedding | " + " | ".join(formats) + " |", "|---" * (1 + len(formats)) + "|"]
    for variant, embedding in dict.fromkeys((variant, embedding) for variant, embedding, _ in cells):
        proofs = [cells.get((variant, embedding, format), {"refused": "not run"}) for format in formats]
        shown = [f"{p['difference']:.0e}" if "difference" in p else f"refused: {p['refused']}" for p in proofs]
        lines.append(f"| {variant}, {embedding} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    as_table, names = "--table" in sys.argv, [word for word in sys.argv[1:] if word != "--table"]
    with tempfile.TemporaryDirectory() as made:
        found = {name: cell(*name.split(":"), Path(made)) for name in names}
    print(table(found) if as_table else json.dumps(found))
