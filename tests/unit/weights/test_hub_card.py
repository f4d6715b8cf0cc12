"""The model card: what the Hub reads in it, and what a person does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from tubelet.config import ModelConfig, PreprocessingConfig
from tubelet.errors import WeightsError
from tubelet.model import ViViT
from tubelet.weights.model_card import model_card


def classifier(**fields: Any) -> ViViT:
    sizes = {"hidden_size": 8, "num_layers": 2, "num_heads": 2, "mlp_dim": 16, "image_size": 16, "num_frames": 4}
    config = ModelConfig(**{**sizes, "tubelet_size": (2, 8, 8), "num_classes": 3, **fields})
    names = {head: [f"{head} {number}" for number in range(size)] for head, size in config.heads.items()}
    return ViViT(config, PreprocessingConfig(num_frames=4), names or None)


def evaluated(run: Path, metrics: dict[str, Any], joint: dict[str, Any] | None = None) -> Path:
    run.mkdir(exist_ok=True)
    evaluation = {
        "metrics": metrics,
        "joint": joint,
        "views": [4, 3],
        "num_videos": 40,
        "failures": [{"path": "a.mp4"}],
    }
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    return run


def test_the_hub_finds_library_task_licence_and_figures(tmp_path: Path) -> None:
    run = evaluated(tmp_path, {"label": {"top1": 0.8125, "top5": 0.975}})
    data = ModelCard(model_card(classifier(), "me/waves", run=run, licence="cc-by-4.0")).data.to_dict()
    assert data["library_name"] == "tubelet"
    assert data["pipeline_tag"] == "video-classification"
    assert data["license"] == "cc-by-4.0"
    (result,) = data["model-index"][0]["results"]
    assert {metric["name"]: metric["value"] for metric in result["metrics"]} == {
        "top-1 accuracy": 0.8125,
        "top-5 accuracy": 0.975,
    }


def test_nothing_is_made_up_where_nothing_is_known() -> None:
    model = classifier()
    model.preprocessing, model.labels = None, None
    text = model_card(model, "me/waves")
    data = ModelCard(text).data.to_dict()
    assert "license" not in data
    assert not {"model-index", "model_name"} & set(data)
    assert not [part for part in ("Evaluation", "Training", "Preprocessing", "Classes") if f"## {part}" in text]


def test_several_heads_have_their_own_figures_and_classes(tmp_path: Path) -> None:
    metrics = {"verb": {"top1": 0.5, "top5": None}, "noun": {"top1": 0.25, "top5": 0.75}}
    run = evaluated(tmp_path, metrics, joint={"top1": 0.125, "top5": None})
    text = model_card(classifier(num_classes={"verb": 2, "noun": 60}), "me/actions", run=run)
    assert "| verb | 50.0% |  |" in text
    assert "| noun | 25.0% | 75.0% |" in text
    assert "| all heads | 12.5% |  |" in text
    assert "verb: `verb 0`, `verb 1`" in text
    assert "and 10 more" in text
    assert "1 could not be read and count as wrong" in text


def test_the_example_in_the_card_names_the_model() -> None:
    assert 'tubelet.from_pretrained("me/waves")' in model_card(classifier(), "me/waves")


@pytest.mark.parametrize("variant", ["spatio_temporal", "factorised_encoder"])
def test_the_model_is_described(variant: str) -> None:
    model = classifier(variant=variant, num_classes=0)
    text = model_card(model, "me/waves")
    count = sum(parameter.numel() for parameter in model.parameters())
    assert f"| parameters | {count:,} |" in text
    assert "| layers | 2 + 4 |" in text if variant == "factorised_encoder" else "| layers | 2 |" in text
    assert "none: features alone" in text


def test_a_broken_evaluation_is_named(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text("{")
    with pytest.raises(WeightsError, match=r"evaluation.json: not JSON"):
        model_card(classifier(), "me/waves", run=tmp_path)
