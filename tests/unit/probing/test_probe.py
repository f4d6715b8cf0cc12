"""Probing features: the classifiers against scikit-learn and by hand, and the whole way from videos to accuracies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import tubelet
from tubelet.cli.main import main
from tubelet.data import dataset as dataset_module
from tubelet.data import read_table
from tubelet.errors import ConfigError, DataError
from tubelet.probing import fit_linear, knn_votes
from unit.training.conftest import TINY_MODEL, moving_bar


def vectors(count: int, classes: int = 4, dim: int = 12, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Overlapping clouds whose axes have very different lengths."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, dim, generator=torch.Generator().manual_seed(9))
    labels = torch.randint(classes, (count,), generator=generator)
    noise = torch.randn(count, dim, generator=generator)
    return (centres[labels] + 1.2 * noise) * torch.logspace(-1, 1, dim) + 3, labels


def test_the_linear_classifier_is_scikit_learn_s() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    (x, y), (unseen, _) = vectors(200), vectors(50, seed=1)
    for penalty in (1e-1, 1e-3):
        ours = fit_linear(x, y, 4, penalties=(penalty,))
        scale = x.double().std(dim=0, correction=0)
        standardised = ((each.double() - x.double().mean(dim=0)) / scale for each in (x, unseen))
        inside, outside = (each.numpy() for each in standardised)
        peer = linear_model.LogisticRegression(C=1 / (penalty * len(x)), tol=1e-10, max_iter=5000).fit(
            inside, y.numpy()
        )
        expected = peer.predict_proba(outside)
        numpy.testing.assert_allclose(ours(unseen).softmax(dim=1).numpy(), expected, rtol=0, atol=2e-5)


def test_the_penalty_is_the_one_that_held_out_samples_like_best() -> None:
    x, y = vectors(60, dim=40)
    held_out = torch.arange(60) % 5 == 0
    penalties = (1.0, 1e-2, 1e-5)
    accuracies = []
    for penalty in penalties:
        fitted = fit_linear(x[~held_out], y[~held_out], 4, penalties=(penalty,))
        accuracies.append((fitted(x[held_out]).argmax(dim=1) == y[held_out]).double().mean().item())
    chosen = fit_linear(x, y, 4, penalties=penalties, held_out=held_out)
    assert accuracies[penalties.index(chosen.penalty)] == max(accuracies)
    alone = fit_linear(x, y, 4, penalties=(chosen.penalty,))
    torch.testing.assert_close(chosen.weight, alone.weight, rtol=0, atol=1e-4)


def test_neighbours_vote_with_the_exponential_of_their_cosine() -> None:
    train = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 3.0], [-1.0, 0.0]])
    votes = knn_votes(train, torch.tensor([0, 1, 1, 2]), torch.tensor([[5.0, 0.0]]), 3, neighbours=3)
    by_hand = torch.tensor([[1.0, 0.0 + 2**-0.5, 0.0]])
    expected = (by_hand / 0.07).exp()
    expected[0, 1] += 1  # the vector at a right angle
    expected[0, 2] = 0  # the fourth neighbour does not vote
    torch.testing.assert_close(votes, expected, rtol=1e-4, atol=0)
    everyone = knn_votes(train, torch.tensor([0, 1, 1, 2]), torch.tensor([[5.0, 0.0]]), 3, neighbours=50)
    assert everyone[0, 2] > 0


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright and dark scenes with a bar, told apart by any features; six of each, two of them for the test."""
    root = tmp_path_factory.mktemp("scenes")
    rows = ["path,light,direction,split"]
    for light in ("bright", "dark"):
        for number in range(6):
            direction = ("down", "right")[number % 2]
            video = moving_bar(direction, number).float()
            video = (video * 0.4 + (150 if light == "bright" else 0)).to(torch.uint8)
            tubelet.write_video(root / f"{light}{number}.mp4", video, 10.0)
            rows.append(f"{root / f'{light}{number}.mp4'},{light},{direction},{'test' if number > 3 else 'train'}")
    (root / "table.csv").write_text("\n".join(rows))
    return root


@pytest.fixture
def model(tmp_path: Path) -> Path:
    made = tubelet.create("vivit_tiny_16x2_fe", num_classes=7, **{**TINY_MODEL, "dropout": 0.0})
    made.preprocessing = tubelet.PreprocessingConfig(num_frames=4, resize=18, crop_size=(16, 16), frame_stride=2)
    tubelet.save(made, tmp_path / "model")
    return tmp_path / "model"


def test_from_videos_to_accuracies_by_head_and_a_file_of_features(
    bars: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = read_table(bars / "table.csv", labels=["light", "direction"])
    out = tmp_path / "features.safetensors"
    result = tubelet.probe(model, table, features=out, feature_folder=tmp_path / "kept", views="2x1", workers=0)
    assert (result.num_train, result.num_test, result.test_split) == (8, 4, "test")
    assert result.heads["light"].linear == result.heads["light"].knn == 1
    assert result.heads["light"].most_frequent == 0.5
    stored = load_file(out)
    with safe_open(out, framework="pt") as file:
        about = {name: json.loads(text) for name, text in file.metadata().items()}
    loaded = tubelet.load(model)
    views = dataset_module.ClipDataset(table, loaded.preprocessing, mode="evaluate", clips=2)
    by_path = {sample.path: number for number, sample in enumerate(table.samples)}
    for place, path in enumerate(about["paths"]):
        item = views[by_path[path]]
        with torch.no_grad():
            expected = loaded.forward_head(loaded.forward_features(item["video"]), pre_logits=True).mean(dim=0)
        torch.testing.assert_close(stored["features"][place], expected, rtol=0, atol=1e-5)
        assert about["classes"]["light"][stored["labels.light"][place]] in path
    assert about["splits"] == ["train"] * 8 + ["test"] * 4

    def closed(*args: object, **options: object) -> None:
        raise AssertionError("the second probe decodes")

    monkeypatch.setattr(dataset_module, "open_video", closed)
    again = tubelet.probe(model, table, feature_folder=tmp_path / "kept", views="2x1", workers=0)
    assert again.heads == result.heads
    with pytest.raises(ConfigError, match="exists and is not overwritten"):
        tubelet.probe(model, table, features=out, feature_folder=tmp_path / "kept")


def test_an_unreadable_test_video_counts_as_wrong_and_a_training_one_is_left_out(
    bars: Path, model: Path, tmp_path: Path
) -> None:
    rows = (bars / "table.csv").read_text().splitlines()
    for split in ("train", "test"):
        (tmp_path / f"{split}.mp4").write_bytes(b"no video")
        rows.append(f"{tmp_path / f'{split}.mp4'},dark,down,{split}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    table = read_table(tmp_path / "table.csv", labels=["light"])
    result = tubelet.probe(model, table, feature_folder=tmp_path / "kept", workers=0)
    assert (result.num_train, result.num_test, len(result.failures)) == (8, 5, 2)
    assert result.heads["label"].linear == pytest.approx(4 / 5)
    with pytest.raises(DataError, match="no labels"):
        tubelet.probe(model, read_table(bars, labels=[]), feature_folder=tmp_path / "kept")


def test_the_command_prints_figures_and_json(
    bars: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    words = ["probe", str(model), str(bars / "table.csv"), "--labels", "light", "--workers", "0", "--neighbours", "3"]
    assert main(words) == 0
    assert "linear 100.00%   3 nearest neighbours 100.00%   most frequent class 50.00%" in capsys.readouterr().out
    assert len(list((tmp_path / "home" / "tubelet" / "features").rglob("*.safetensors"))) == 12
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["num_test"] == 4
    assert main(["probe", str(model)]) == 2
    assert "name some: tubelet probe MODEL DATA" in capsys.readouterr().err
