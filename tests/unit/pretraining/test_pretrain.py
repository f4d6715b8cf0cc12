"""Whole pretrainings of a tiny model: what is learned, written, carried over, refused and resumed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import tubelet
from reporters import StopsAt, Told
from tubelet.cli.main import main
from tubelet.config import PretrainConfig, from_dict, override, pretrain_config, replace, to_dict, train_config
from tubelet.data import read_table
from tubelet.errors import ConfigError, DataError, UnreadableError
from tubelet.presets import preset
from tubelet.pretraining import PretrainResult, pretrain
from tubelet.training import SilentReporter, TrainingInterrupted, read_events, train
from tubelet.training.checkpoint import load_checkpoint


def run(clips: Path, out: Path, config: PretrainConfig, **fields: Any) -> PretrainResult:
    return pretrain(clips, out, config=config, reporter=SilentReporter(), **fields)


def table_of(clips: Path, folder: Path, splits: list[str]) -> Path:
    """A table of the eight videos, with labels and splits."""
    rows = [f"{clips / f'{n}.mp4'},class {n % 2},{split}" for n, split in enumerate(splits)]
    folder.mkdir(exist_ok=True)
    (folder / "table.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    return folder / "table.csv"


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def comparable(folder: Path) -> list[dict[str, Any]]:
    """The log without what depends on the clock."""
    timed = ("clips_per_second", "data_wait_share", "seconds")
    events = read_events(folder / "metrics.jsonl")
    return [{key: value for key, value in event.items() if key not in timed} for event in events]


@pytest.mark.parametrize("preset_name", ["vivit_tiny_16x2", "vivit_tiny_16x2_fe"])
def test_the_loss_falls(clips: Path, tmp_path: Path, tiny: PretrainConfig, preset_name: str) -> None:
    factorised = preset_name.endswith("_fe")
    model = {name: value for name, value in tiny.model.items() if factorised or name != "temporal_layers"}
    fields = {**to_dict(tiny), "preset": preset_name, "model": {**model, "hidden_size": 48}}
    fields["masking"].update(time_mask_ratio=None, decoder_size=48)
    config = override(
        from_dict(PretrainConfig, fields), epochs=25, learning_rate=3e-3, targets="normalised_pixels", seed=1
    )
    result = run(clips, tmp_path / "run", config)
    losses = [event["loss"] for event in read_events(tmp_path / "run" / "metrics.jsonl", "epoch")]
    assert result.loss == losses[-1]
    assert losses[-1] < 0.85 * losses[0]


def test_the_run_folder_starts_a_training_and_every_tensor_but_the_head_is_carried_over(
    clips: Path, tmp_path: Path, tiny: PretrainConfig
) -> None:
    out = tmp_path / "pretrained"
    result = run(clips, out, tiny)
    stored = load_file(out / "model.safetensors")
    assert same(result.model.state_dict(), stored)
    assert not [name for name in stored if name.startswith("head.")]
    drawn = tubelet.create(result.model.config).state_dict()
    assert not [name for name, value in stored.items() if torch.equal(value, drawn[name])], "nothing was learned"
    table = table_of(clips, tmp_path / "labelled", ["train"] * 6 + ["val"] * 2)
    trained = train(
        table, tmp_path / "run", init=str(out), learning_rate=0.0, epochs=1, ema_decay=None, workers=0,
        reporter=SilentReporter(),
    )  # fmt: skip
    weights = trained.model.state_dict()
    assert same({name: value for name, value in weights.items() if not name.startswith("head.")}, stored)
    assert weights["head.weight"].shape == (2, 24)
    assert trained.model.labels == {"label": ["class 0", "class 1"]}
    assert trained.model.preprocessing is not None
    assert trained.model.preprocessing == result.model.preprocessing


@pytest.mark.parametrize(
    ("file", "chosen", "factor"),
    [
        ("", {"init_branches": None}, 0.1),
        ("model.safetensors", {"init_branches": None}, 0.1),
        ("", {"init_branches": 0.5}, 0.5),
        ("", {"init_branches": 1.0}, 1),
        ("", {"init_branches": None, "freeze": "spatial"}, 1),
    ],
)
def test_branches_start_small_again_where_a_training_lets_them(
    clips: Path, tmp_path: Path, tiny: PretrainConfig, file: str, chosen: dict[str, Any], factor: float
) -> None:
    """As they did in the pretraining, unless something is frozen, which then has to stay what it is."""
    out, told = tmp_path / "pretrained", Told()
    before = run(clips, out, override(tiny, model={"residual_init": 0.1})).model
    table = table_of(clips, tmp_path / "labelled", ["train"] * 6 + ["val"] * 2)
    still = {"learning_rate": 0.0, "epochs": 1, "ema_decay": None, "workers": 0}
    after = train(table, tmp_path / "run", init=str(out / file), reporter=told, **still, **chosen).model.eval()
    tokens = torch.randn(2, 9, 24)
    for encoder in ("spatial_encoder", "temporal_encoder"):
        for old, new in zip(getattr(before, encoder).blocks, getattr(after, encoder).blocks, strict=True):
            torch.testing.assert_close(new.attention(tokens), factor * old.attention(tokens))
            torch.testing.assert_close(new.mlp(tokens), factor * old.mlp(tokens))
    assert torch.equal(after.embedding.weight, before.embedding.weight)
    assert any("(init_branches)" in message for message in told.messages) == (factor != 1)


def test_branches_stay_as_they_are_where_a_pretraining_or_a_training_goes_on_from_them(
    clips: Path, tmp_path: Path, tiny: PretrainConfig
) -> None:
    small = override(tiny, model={"residual_init": 0.1}, learning_rate=0.0, epochs=1)
    first = run(clips, tmp_path / "first", small).model
    second = run(clips, tmp_path / "second", override(small, init=str(tmp_path / "first"))).model
    assert same(first.state_dict(), second.state_dict())
    table = table_of(clips, tmp_path / "labelled", ["train"] * 6 + ["val"] * 2)
    still = {"learning_rate": 0.0, "epochs": 1, "ema_decay": None, "workers": 0, "reporter": SilentReporter()}
    third = train(table, tmp_path / "third", init=str(tmp_path / "first"), init_branches=None, **still).model
    fourth = train(table, tmp_path / "fourth", init=str(tmp_path / "third"), init_branches=None, **still).model
    assert not same(third.state_dict(), {**third.state_dict(), **first.state_dict()})
    assert same(third.state_dict(), fourth.state_dict())


def test_branches_cannot_start_small_where_they_are_frozen(clips: Path, tmp_path: Path, tiny: PretrainConfig) -> None:
    run(clips, tmp_path / "pretrained", tiny)
    table = table_of(clips, tmp_path / "labelled", ["train"] * 6 + ["val"] * 2)
    chosen = {"init": str(tmp_path / "pretrained"), "freeze": "spatial", "init_branches": 0.1}
    with pytest.raises(ConfigError, match=r"init_branches=0\.1 changes weights that freeze=.spatial. is to keep"):
        train(table, tmp_path / "run", reporter=SilentReporter(), **chosen)
    assert not (tmp_path / "run").exists()


def test_the_run_folder_says_what_happened(clips: Path, tmp_path: Path, tiny: PretrainConfig) -> None:
    out = tmp_path / "run"
    result = run(clips, out, tiny)
    description = json.loads((out / "run.json").read_text())
    assert description["kind"] == "pretraining"
    assert description["config"]["masking"]["mask_ratio"] == 0.7
    assert description["data"]["learned_from"] == 8
    assert [event["event"] for event in comparable(out)] == [*["train"] * 3, "epoch", *["train"] * 3, "epoch", "end"]
    assert result.picture == out / "reconstructions.png"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("targets", ["motion", "normalised_pixels"])
def test_the_picture_shows_and_names_the_clip_what_was_visible_and_the_guess(
    clips: Path, tmp_path: Path, tiny: PretrainConfig, targets: str
) -> None:
    result = run(clips, tmp_path / "run", tiny, targets=targets)
    assert result.picture is not None
    with Image.open(result.picture) as opened:
        picture, (width, height) = torch.frombuffer(bytearray(opened.tobytes()), dtype=torch.uint8), opened.size
    side, gap, of_a_clip = 96, 2, 4 if targets == "motion" else 3
    frames = 4 * (side + gap) + gap
    assert height == 4 * of_a_clip * (side + gap) + gap
    names = picture.view(height, width, 3)[gap:, frames:].unfold(0, side, side + gap).flatten(1).min(dim=1).values
    assert len(names) == 4 * of_a_clip
    assert names.lt(100).all(), "every row has its name at the right"
    rows = picture.view(height, width, 3)[gap:, gap:frames].unfold(0, side, side + gap).unfold(1, side, side + gap)
    for clip in range(4):
        truth, seen, *wanted, predicted = rows[of_a_clip * clip : of_a_clip * (clip + 1)]
        visible = seen == truth
        share = visible.all(dim=1).float().mean().item()
        assert 0.05 < share < 0.6
        (wanted,) = wanted or [truth]
        assert torch.equal(predicted[visible], wanted[visible])
        assert not torch.equal(predicted, wanted)


def test_stopped_and_resumed_it_ends_bit_identical(clips: Path, tmp_path: Path, tiny: PretrainConfig) -> None:
    config = override(tiny, accumulate_steps=2)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(clips, whole, config)
    for step, resume in ((2, False), (4, True)):
        with pytest.raises(TrainingInterrupted, match=f"step {step} of 6.*tubelet pretrain --resume --out"):
            pretrain(
                None if resume else clips,
                broken,
                config=None if resume else config,
                resume=resume,
                reporter=StopsAt(step),
            )
        tubelet.load(broken)  # what there is can be used
    torch.manual_seed(99)  # the state of the process does not matter
    pretrain(out=broken, resume=True, reporter=SilentReporter(), workers=1, cache="none")
    for file in ("model.safetensors", "checkpoints/last/model.safetensors"):
        assert same(load_file(broken / file), load_file(whole / file)), file
    ours, theirs = (load_checkpoint(folder / "checkpoints" / "last").state for folder in (broken, whole))
    assert ours["position"] == theirs["position"]
    for key, moments in theirs["optimiser"]["state"].items():
        assert all(torch.equal(ours["optimiser"]["state"][key][name], value) for name, value in moments.items())
    logs = [
        [event for event in comparable(folder) if event["event"] in ("train", "epoch")] for folder in (broken, whole)
    ]
    assert logs[0] == logs[1]
    assert (broken / "reconstructions.png").read_bytes() == (whole / "reconstructions.png").read_bytes()


def test_a_pretraining_whose_videos_vanish_stops_and_a_complete_one_knows_its_loss(
    clips: Path, tmp_path: Path, tiny: PretrainConfig
) -> None:
    config = override(tiny, cache="none", checkpoint_steps=1)
    whole = run(clips, tmp_path / "whole", config)
    data, gone = tmp_path / "data", tmp_path / "gone"
    shutil.copytree(clips, data)

    class Vanish(SilentReporter):
        def step(self, step: int, text: str) -> None:
            if step == 3:
                data.rename(gone)

    with pytest.raises(UnreadableError, match="last 8 videos in a row could not be read"):
        pretrain(data, tmp_path / "run", config=config, reporter=Vanish())
    gone.rename(data)
    for _ in range(2):  # the second time it is complete
        again = pretrain(out=tmp_path / "run", resume=True, reporter=SilentReporter())
        assert (again.loss, again.num_failures) == (whole.loss, 0)
    assert same(again.model.state_dict(), whole.model.state_dict())


def test_pretrain_ends_when_its_minutes_are_over(clips: Path, tmp_path: Path, tiny: PretrainConfig) -> None:
    assert run(clips, tmp_path / "run", tiny, minutes=1e-6).steps == 1
    (end,) = read_events(tmp_path / "run" / "metrics.jsonl", "end")
    assert end["reason"] == "time"
    assert tubelet.load(tmp_path / "run").config.num_frames == 4


def test_labels_do_not_matter_and_other_splits_are_not_opened(
    clips: Path, tmp_path: Path, tiny: PretrainConfig
) -> None:
    splits = ["train"] * 5 + ["val", "test", "test"]
    table = table_of(clips, tmp_path / "right", splits)
    lines = table.read_text().splitlines()
    (tmp_path / "other").mkdir()
    broken = tmp_path / "other" / "broken.mp4"
    broken.write_bytes(b"not a video")
    rows = [line.replace("class 1", "class 0") for line in lines[:-1]] + [f"{broken},class 9,test"]
    (tmp_path / "other" / "table.csv").write_text("\n".join(rows) + "\n")
    told = Told()
    one = pretrain(table, tmp_path / "one", config=tiny, reporter=told)
    other = run(tmp_path / "other" / "table.csv", tmp_path / "two", tiny)
    assert same(one.model.state_dict(), other.model.state_dict())
    assert other.num_failures == 0
    assert any("5 videos of train are learned from, without labels; 3 are not seen" in text for text in told.messages)
    more = run(table, tmp_path / "three", tiny, splits=("train", "validation"))
    assert json.loads((more.folder / "run.json").read_text())["data"]["learned_from"] == 6
    assert "class" not in (more.folder / "splits.csv").read_text()
    with pytest.raises(DataError, match=r"no video is in the split 'extra'.*train \(5\)"):
        run(table, tmp_path / "four", tiny, splits=("extra",))


def test_a_table_can_be_given_and_an_unreadable_video_is_named(
    clips: Path, tmp_path: Path, tiny: PretrainConfig
) -> None:
    path = table_of(clips, tmp_path / "labelled", ["train"] * 8)
    (tmp_path / "labelled" / "broken.mp4").write_bytes(b"not a video")
    path.write_text(path.read_text() + f"{tmp_path / 'labelled' / 'broken.mp4'},class 0,train\n")
    result = pretrain(read_table(path), tmp_path / "run", config=tiny, epochs=1, reporter=SilentReporter())
    assert result.num_failures == 1
    assert "broken.mp4" in (tmp_path / "run" / "failures.jsonl").read_text()
    nothing = table_of(clips, tmp_path / "nothing", [])
    nothing.write_text(f"path\n{tmp_path / 'labelled' / 'broken.mp4'}\n")
    with pytest.raises(DataError, match=r"not one of the first 1 videos can be read.*broken\.mp4"):
        run(nothing, tmp_path / "hopeless", tiny)


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ({"splits": ("train", "Test")}, "must not see them before it is tested"),
        ({"splits": ()}, "leaves nothing to learn from"),
        ({"mixup": 0.2}, "mixup=0.2 has no meaning in a pretraining"),
        ({"label_smoothing": 0.1}, "has no labels and no head"),
        ({"layer_decay": 0.7}, "layer_decay=0.7 has no meaning"),
        ({"balanced": True}, "balanced=True has no meaning"),
        ({"model": {"drop_path": 0.1}}, "set it when the model is trained"),
        ({"mask_ratio": 1.0}, "0.75 to 0.9"),
        ({"time_mask_ratio": 1.0}, "from 0 to below 1"),
        ({"decoder_size": 50}, "use 48"),
        ({"mask_ratoi": 0.5}, "did you mean 'mask_ratio'"),
        ({"preprocessing": {"crop_size": 64}}, r"set model\.image_size"),
    ],
)
def test_settings_that_cannot_be_meant_are_errors_that_help(fields: dict[str, Any], advice: str) -> None:
    with pytest.raises(ConfigError, match=advice):
        pretrain_config(**fields)


def test_a_run_is_neither_overwritten_nor_mistaken_for_a_training(
    clips: Path, tmp_path: Path, tiny: PretrainConfig
) -> None:
    out = tmp_path / "run"
    run(clips, out, tiny)
    with pytest.raises(ConfigError, match="holds a run already"):
        run(clips, out, tiny)
    with pytest.raises(ConfigError, match=r"masking\.mask_ratio was 0\.7.*cannot become 0\.8"):
        pretrain(out=out, resume=True, mask_ratio=0.8, reporter=SilentReporter())
    description = json.loads((out / "run.json").read_text())
    del description["kind"]
    (out / "run.json").write_text(json.dumps(description))
    with pytest.raises(ConfigError, match="holds a training, not a pretraining"):
        pretrain(out=out, resume=True, reporter=SilentReporter())


def test_the_default_fits_the_recipe_that_will_train_it() -> None:
    pretraining, training = pretrain_config(), train_config()
    assert pretraining.preset == training.preset
    assert pretraining.preset is not None
    rates = {"drop_path": 0.0, "dropout": 0.0, "attention_dropout": 0.0, "token_drop": 0.0}
    assert preset(pretraining.preset, **pretraining.model) == replace(
        preset(pretraining.preset, **training.model), **rates
    )
    assert pretraining.preprocessing == training.preprocessing
    assert pretraining.augmentation.coverage == training.augmentation.coverage
    assert from_dict(PretrainConfig, json.loads(json.dumps(to_dict(pretraining)))) == from_dict(
        PretrainConfig, to_dict(pretraining)
    )


def test_files_come_over_the_recipe_and_fields_over_files(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("seed = 3\n[masking]\nmask_ratio = 0.9\n[optimisation]\nepochs = 7\n")
    config = pretrain_config("small-data", tmp_path / "own.toml", epochs=8)
    assert (config.seed, config.masking.mask_ratio, config.optimisation.epochs) == (3, 0.9, 8)
    (tmp_path / "typo.toml").write_text("[masking]\nmask_rate = 0.9\n")
    with pytest.raises(ConfigError, match=r"typo.*'mask_rate'.*did you mean 'mask_ratio'"):
        pretrain_config(None, tmp_path / "typo.toml")


def test_the_command_line_pretrains_and_says_how_to_go_on(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    flags = (
        "--num-frames 4 --image-size 16 --tubelet-size 2 8 8 --hidden-size 24 --num-layers 1 --num-heads 2 "
        "--mlp-dim 24 --temporal-layers 1 --epochs 1 --batch-size 4 --mask-ratio 0.5 --workers 0 --cache none"
    )
    words = flags.split()
    assert main(["pretrain", str(clips), "--out", str(out), "--json", *words]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["run"], said["steps"], said["num_failures"]) == (str(out), 2, 0)
    assert tubelet.load(out).config.num_frames == 4
    assert main(["pretrain", "--resume", "--out", str(out)]) == 0
    assert f"tubelet train DATA --init {out}" in capsys.readouterr().out.replace("\n", " ")
    assert main(["pretrain", str(clips), "--splits", "test", "--out", str(tmp_path / "no")]) == 2
