"""The README.md of a model on the Hugging Face Hub: what the model is, what it reached, how to use it.

Only facts are in it: the architecture, and from the folder of a run its figures (`evaluation.json`) and training
settings (`run.json`). Paths and command lines of the machine stay at home.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from tubelet.config import ModelConfig, PreprocessingConfig
from tubelet.model import ViViT
from tubelet.text import listing
from tubelet.version import __version__
from tubelet.weights.json_config import read_json

VARIANTS = {
    "spatio_temporal": "model 1, spatio-temporal attention",
    "factorised_encoder": "model 2, factorised encoder",
    "factorised_self_attention": "model 3, factorised self-attention",
    "factorised_dot_product": "model 4, factorised dot-product attention",
}
SETTINGS = ("optimiser", "learning_rate", "weight_decay", "epochs", "warmup_epochs", "batch_size", "seed")
"""Fields of `run.json` that are told, wherever they stand in it."""
CLASSES_SHOWN = 50

_PAPER = """\
```bibtex
@inproceedings{arnab2021vivit,
  title     = {{ViViT}: A Video Vision Transformer},
  author    = {Arnab, Anurag and Dehghani, Mostafa and Heigold, Georg and Sun, Chen and Lu{\\v{c}}i{\\'c}, Mario and
               Schmid, Cordelia},
  booktitle = {International Conference on Computer Vision},
  year      = {2021}
}
```"""


def model_card(
    model: ViViT, repo_id: str, *, run: str | Path | None = None, licence: str | None = None, name: str | None = None
) -> str:
    """Markdown with the metadata that the Hub reads.

    Args:
        model: the model.
        repo_id: owner/name on the Hub, for the example.
        run: the folder of the run that trained it, with `evaluation.json` and `run.json`, where they are there.
        licence: as the Hub abbreviates it ("apache-2.0", "cc-by-4.0"); nothing is said if None.
        name: the title; the name in `repo_id` if None.

    Raises:
        WeightsError: `evaluation.json` or `run.json` is there and is no JSON.
    """
    title = name or repo_id.rpartition("/")[2]
    evaluation, settings = _read(run, "evaluation.json"), _read(run, "run.json")
    parts = [
        f"---\n{_metadata(title, licence, evaluation)}\n---",
        f"# {title}",
        f"A video classifier: ViViT, {VARIANTS[model.config.variant]}, made with tubelet {__version__}.",
        "## Use",
        _use(repo_id, model.config),
        "## Model",
        _table("", "", _architecture(model)),
    ]
    if model.preprocessing is not None:
        parts += ["## Preprocessing", _table("", "", _preprocessing(model.preprocessing))]
    if evaluation:
        parts += ["## Evaluation", _evaluation(evaluation)]
    rows = {key: value for key in SETTINGS if (value := _find(settings, key)) is not None}
    if rows:
        parts += ["## Training", _table("setting", "value", rows)]
    if model.labels:
        parts += ["## Classes", *(_classes(head, names, len(model.labels) > 1) for head, names in model.labels.items())]
    parts += ["## Citation", _PAPER]
    return "\n\n".join(parts) + "\n"


def _metadata(title: str, licence: str | None, evaluation: Mapping[str, Any]) -> str:
    results = list(_results(evaluation))
    data = ModelCardData(
        library_name="tubelet",
        pipeline_tag="video-classification",
        license=licence,
        tags=["tubelet", "vivit", "video-classification"],
        model_name=title if results else None,
        eval_results=results or None,
    )
    return str(data.to_yaml()).strip()


def _results(evaluation: Mapping[str, Any]) -> Iterator[EvalResult]:
    for head, key, value in _figures(evaluation):
        yield EvalResult(
            task_type="video-classification",
            dataset_type="videos",
            dataset_name="the videos of the run" if head == "label" else f"the videos of the run ({head})",
            metric_type="accuracy",
            metric_name="top-1 accuracy" if key == "top1" else "top-5 accuracy",
            metric_value=round(value, 4),
        )


def _figures(evaluation: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    """(head, `top1` or `top5`, share) of every figure that is there."""
    metrics = evaluation.get("metrics")
    heads = dict(metrics) if isinstance(metrics, dict) else {}
    if evaluation.get("joint"):
        heads["all heads"] = evaluation["joint"]
    for head, values in heads.items():
        for key in ("top1", "top5"):
            value = values.get(key) if isinstance(values, dict) else None
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield head, key, float(value)


def _use(repo_id: str, config: ModelConfig) -> str:
    heads = "" if isinstance(config.num_classes, int) else f"  # of {', '.join(config.heads)}"
    return (
        "```bash\npip install tubelet\n```\n\n```python\nimport tubelet\n\n"
        f'model = tubelet.from_pretrained("{repo_id}")\n'
        f'result = tubelet.predict(model, "clip.mp4")\nprint(result.top(5)){heads}\n```'
    )


def _architecture(model: ViViT) -> dict[str, Any]:
    config = model.config
    return {
        "parameters": f"{sum(parameter.numel() for parameter in model.parameters()):,}",
        "input": f"{config.num_frames} frames of {config.image_size[0]} x {config.image_size[1]}",
        "tubelet (frames x height x width)": " x ".join(map(str, config.tubelet_size)),
        "tokens": f"{config.num_tokens:,}",
        "layers": " + ".join(str(layers) for layers in (config.num_layers, config.temporal_layers) if layers),
        "width, heads, MLP": f"{config.hidden_size}, {config.num_heads}, {config.mlp_dim}",
        "classes": ", ".join(f"{size}" if head == "label" else f"{head} {size}" for head, size in config.heads.items())
        or "none: features alone",
    }


def _preprocessing(preprocessing: PreprocessingConfig) -> dict[str, Any]:
    low = min(-mean / std for mean, std in zip(preprocessing.mean, preprocessing.std, strict=True))
    high = max((1 - mean) / std for mean, std in zip(preprocessing.mean, preprocessing.std, strict=True))
    frames = f"{preprocessing.num_frames}, "
    frames += "spread over the video" if preprocessing.sampling == "uniform" else f"{preprocessing.frame_stride} apart"
    if preprocessing.sampling_rate is not None and preprocessing.sampling == "dense":
        frames += f" at {preprocessing.sampling_rate:g} frames per second"
    return {
        "frames": frames,
        "region": "the whole picture"
        if preprocessing.region is None
        else "top {:.0%}, left {:.0%}, bottom {:.0%}, right {:.0%}".format(*preprocessing.region),
        "short side, crop": f"{preprocessing.resize}, {preprocessing.crop_size[0]} x {preprocessing.crop_size[1]}",
        "pixels": f"[{low:.4g}, {high:.4g}], mean {list(preprocessing.mean)}, std {list(preprocessing.std)}",
    }


def _evaluation(evaluation: Mapping[str, Any]) -> str:
    figures: dict[str, dict[str, str]] = {}
    for head, key, value in _figures(evaluation):
        figures.setdefault(head, {})[key] = f"{value:.1%}"
    lines = ["| | top-1 | top-5 |", "|---|---|---|"]
    lines += [f"| {head} | {row.get('top1', '')} | {row.get('top5', '')} |" for head, row in figures.items()]
    facts = []
    if isinstance(evaluation.get("num_videos"), int):
        facts.append(f"{evaluation['num_videos']} videos")
    views = evaluation.get("views")
    if isinstance(views, list) and len(views) == 2:
        facts.append(f"{views[0]} x {views[1]} views of each")
    if evaluation.get("failures"):
        facts.append(f"{len(evaluation['failures'])} could not be read and count as wrong")
    return "\n".join(lines) + (f"\n\n{', '.join(facts)}." if facts else "")


def _classes(head: str, names: list[str], named: bool) -> str:
    shown = listing([f"`{name}`" for name in names], CLASSES_SHOWN, more=" (`config.json`)")
    return f"{f'{head}: ' if named else ''}{shown}"


def _table(left: str, right: str, rows: Mapping[str, Any]) -> str:
    return "\n".join([f"| {left} | {right} |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items())])


def _read(run: str | Path | None, name: str) -> dict[str, Any]:
    file = None if run is None else Path(run) / name
    return {} if file is None or not file.is_file() else read_json(file)


def _find(data: Any, key: str) -> Any:
    """The first plain value of that name, at any depth."""
    if not isinstance(data, Mapping):
        return None
    value = data.get(key)
    if isinstance(value, int | float | str):
        return value
    return next((found for item in data.values() if (found := _find(item, key)) is not None), None)
