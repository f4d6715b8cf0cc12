"""What is hidden stays hidden, what is seen is encoded as by the whole model, and the loss judges what was hidden."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from tiny import moving_bar
from tubelet.config import MaskingConfig, ModelConfig
from tubelet.errors import ConfigError
from tubelet.model import ViViT
from tubelet.pretraining import MaskedTubelets, Reconstruction, Visible
from tubelet.pretraining.masking import draw_visible
from tubelet.pretraining.targets import make_targets, to_tubelets, to_video

VARIANTS = ("spatio_temporal", "factorised_encoder", "factorised_self_attention", "factorised_dot_product")
EMBEDDINGS = ("tubelet", "conv_stem", "uniform_frames")
EVERY = [
    pytest.param(variant, embedding, id=f"{variant}-{embedding}")
    for variant, embedding in itertools.product(VARIANTS, EMBEDDINGS)
]


def masked_model(
    variant: str = "spatio_temporal",
    embedding: str = "tubelet",
    masking: MaskingConfig | None = None,
    **fields: object,
) -> MaskedTubelets:
    """Eight frames of 16 x 24: four times of 2 x 3 places; every parameter drawn."""
    single = embedding == "uniform_frames"
    defaults: dict[str, object] = {
        "image_size": (16, 24),
        "num_frames": 8,
        "tubelet_size": (1 if single else 2, 8, 8),
        "sampled_frames": 4 if single else None,
        "hidden_size": 24,
        "num_layers": 2,
        "num_heads": 2,
        "mlp_dim": 48,
        "num_classes": 0,
        "temporal_layers": 2 if variant == "factorised_encoder" else None,
    }
    config = ModelConfig(variant=variant, embedding=embedding, **{**defaults, **fields})  # type: ignore[arg-type]
    model = MaskedTubelets(ViViT(config), masking or MaskingConfig(mask_ratio=0.6)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def a_video() -> Tensor:
    return torch.randn(2, 8, 3, 16, 24)


def encoded(model: MaskedTubelets, video: Tensor, visible: Visible) -> tuple[Tensor, Tensor]:
    return model.encode(video, visible)


def repainted(video: Tensor, config: ModelConfig, hidden: Tensor, colour: float) -> Tensor:
    """The video with the pixels of some tubelets replaced. With sampled frames, those of their times."""
    if config.sampled_frames is None:
        tubelets = to_tubelets(video, config).masked_fill(hidden[..., None], colour)
        return to_video(tubelets, config, 16, 24)
    from tubelet.config import uniform_frame_indices

    video, chosen = video.clone(), uniform_frame_indices(8, config.sampled_frames)
    tubelets = to_tubelets(video, config).masked_fill(hidden[..., None], colour)
    video[:, chosen] = to_video(tubelets, config, 16, 24)
    return video


@pytest.mark.parametrize(("variant", "embedding"), EVERY)
@torch.no_grad()
def test_hidden_pixels_have_no_influence_on_what_the_encoder_gives(variant: str, embedding: str) -> None:
    model = masked_model(variant, embedding)
    video, visible = a_video(), model.draw(2)
    hidden = visible.hidden(4, 6)
    before = encoded(model, video, visible)
    for colour in (7.0, float("nan")):
        after = encoded(model, repainted(video, model.model.config, hidden, colour), visible)
        assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    seen = encoded(model, repainted(video, model.model.config, ~hidden, 7.0), visible)
    assert not torch.allclose(before[0], seen[0])


@pytest.mark.parametrize("variant", ["spatio_temporal", "factorised_encoder"])
@pytest.mark.parametrize("pool", ["cls", "mean", "weighted"])
@torch.no_grad()
def test_only_the_visible_is_encoded_as_if_attention_to_the_rest_was_masked(variant: str, pool: str) -> None:
    """The reference runs every token through the encoder and forbids attention to hidden ones."""
    model = masked_model(variant, pool=pool).double()
    vivit, video, visible = model.model, a_video().double(), model.draw(2)
    tokens, context = encoded(model, video, visible)
    grid = vivit.embed(video)
    cls = int(pool == "cls")

    def reference(encoder: torch.nn.Module, x: Tensor, seen: Tensor) -> Tensor:
        x = encoder.positions(x).flatten(1, 3)
        if cls:
            x = torch.cat([(encoder.cls + encoder.positions.cls).expand(len(x), 1, -1), x], dim=1)
            seen = torch.cat([torch.ones(len(x), 1, dtype=torch.bool), seen], dim=1)
        for block in encoder.blocks:
            x = block(x, seen)
        return encoder.norm(x)

    seen = ~visible.hidden(4, 6)
    if variant == "spatio_temporal":
        x = reference(vivit.encoder, grid, seen.flatten(1))
        expected = x[:, cls:][seen.flatten(1)].view_as(tokens)
        torch.testing.assert_close(tokens, expected, atol=1e-9, rtol=1e-7)
        torch.testing.assert_close(context[:, 0], x[:, :cls], atol=1e-9, rtol=1e-7)
        return
    frames = model.mask_token.detach().repeat(2, 4, 1)
    for sample in range(2):
        for number, time in enumerate(visible.times[sample].tolist()):
            here = seen[sample, time]
            x = reference(vivit.spatial_encoder, grid[sample, time][None, None], here[None])[0]
            torch.testing.assert_close(tokens[sample, number], x[cls:][here], atol=1e-9, rtol=1e-7)
            weights = vivit.spatial_encoder.pool_weights.grid.flatten(0, 2)[here] if pool == "weighted" else 1
            frames[sample, time] = x[0] if cls else (x[here] * weights).mean(dim=0)
    over_time = vivit.encode_times(frames)
    torch.testing.assert_close(context[:, :, -1], over_time[:, cls:], atol=1e-9, rtol=1e-7)
    if cls:
        torch.testing.assert_close(context[:, :, 0], over_time[:, :1].expand(-1, 4, -1), atol=1e-9, rtol=1e-7)


@torch.no_grad()
def test_in_model_2_only_the_temporal_encoder_tells_a_time_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    model = masked_model("factorised_encoder")
    video = a_video()
    visible = Visible(torch.tensor([[0, 1, 3]] * 2), torch.tensor([[0, 4], [1, 2]]))
    other = video.clone()
    other[:, :2] = torch.randn(2, 2, 3, 16, 24)  # the first time
    here, there = (model.reconstruct(clip, visible).values for clip in (video, other))
    assert not torch.allclose(here[:, 2], there[:, 2]), "the hidden time knows nothing of the others"
    monkeypatch.setattr(model.model, "encode_times", lambda frames, mask: frames)
    here, there = (model.reconstruct(clip, visible).values for clip in (video, other))
    assert torch.equal(here[:, 1:], there[:, 1:])
    assert not torch.allclose(here[:, 0], there[:, 0])


@torch.no_grad()
def test_the_loss_is_the_mean_over_hidden_tubelets_and_nothing_else() -> None:
    model = masked_model("factorised_encoder")
    video, visible = a_video(), model.draw(2)
    reconstruction = model.reconstruct(video, visible)
    hidden = visible.hidden(4, 6)
    assert torch.equal(reconstruction.counts, hidden)
    for sample in range(2):
        wrong = (
            (reconstruction.values[sample][hidden[sample]] - reconstruction.targets.values[sample][hidden[sample]])
            .square()
            .mean()
        )
        torch.testing.assert_close(reconstruction.losses()[sample], wrong)
    elsewhere = torch.where(hidden[..., None], reconstruction.values, 100.0)
    torch.testing.assert_close(
        Reconstruction(elsewhere, reconstruction.targets, reconstruction.counts).losses(), reconstruction.losses()
    )
    right = torch.where(hidden[..., None], reconstruction.targets.values, reconstruction.values)
    assert torch.equal(Reconstruction(right, reconstruction.targets, reconstruction.counts).losses(), torch.zeros(2))


@pytest.mark.parametrize(("variant", "embedding"), EVERY)
@torch.no_grad()
def test_frames_that_are_not_real_neither_count_nor_matter(variant: str, embedding: str) -> None:
    model = masked_model(variant, embedding)
    video, mask = a_video(), torch.ones(2, 8, dtype=torch.bool)
    mask[1, 5:] = False  # of its four times two are whole, one is shared, one is not real
    torch.manual_seed(3)
    visible = model.draw(2, mask)
    reconstruction = model.reconstruct(video, visible, mask)
    real = model.model.embedding.token_mask(mask)
    assert not reconstruction.counts[1, ~real[1]].any()
    assert torch.isfinite(reconstruction.losses()).all()
    video[~mask] = float("nan")
    torch.testing.assert_close(model.reconstruct(video, visible, mask).losses(), reconstruction.losses())


def test_the_same_places_are_hidden_at_every_time_and_as_many_as_asked_for() -> None:
    mask = torch.ones(50, 4, dtype=torch.bool)
    mask[:, 2:] = False
    visible = draw_visible(50, 4, 25, visible_times=2, visible_positions=5, time_mask=mask)
    hidden = visible.hidden(4, 25)
    assert (visible.times == torch.tensor([0, 1])).all(), "real times come first"
    assert torch.equal(hidden[:, 0], hidden[:, 1])
    assert ((~hidden).sum(dim=(1, 2)) == 10).all()
    assert len({tuple(row) for row in visible.positions.tolist()}) > 40, "each clip has its own"
    assert torch.equal(visible.positions, visible.positions.sort(dim=1).values)


def test_targets_are_each_tubelet_s_structure_and_noise_stays_small() -> None:
    config = masked_model().model.config
    video = a_video() * torch.tensor([0.01, 3.0]).view(2, 1, 1, 1, 1) + 0.5
    tubelets = to_tubelets(video, config)
    assert torch.equal(to_video(tubelets, config, 16, 24), video)
    assert torch.equal(tubelets[0, 1, 4], video[0, 2:4, :, 8:16, 8:16].transpose(0, 1).flatten())
    targets = make_targets(video, config, "normalised_pixels")
    assert targets.values.mean(dim=-1).abs().max() < 1e-5
    assert (targets.values[1].std(dim=-1) - 1).abs().max() < 0.01
    assert targets.values[0].std(dim=-1).max() < 0.3
    torch.testing.assert_close(targets.pixels(targets.values), tubelets)
    assert torch.equal(make_targets(video, config, "pixels").values, tubelets)


@pytest.mark.parametrize("embedding", ["tubelet", "uniform_frames"])
def test_motion_is_the_change_until_the_next_frame_that_is_embedded(embedding: str) -> None:
    config = masked_model(embedding=embedding).model.config
    video = torch.zeros(1, 8, 3, 16, 24)
    video[:, 3:, :, 9, 17] = 1  # appears in the fourth frame, and stays
    targets = make_targets(video, config, "motion")
    change = to_video(targets.pixels(targets.values), config, 16, 24)
    before = 0 if embedding == "uniform_frames" else 2  # frames 2, 3, 5 and 6 are embedded, or all
    expected = torch.zeros_like(change)
    expected[:, before, :, 9, 17] = 1
    torch.testing.assert_close(change, expected)
    still = make_targets(torch.rand(1, 1, 3, 16, 24).expand(-1, 8, -1, -1, -1), config, "motion")
    assert not still.values.any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_gets_a_gradient(variant: str) -> None:
    model = masked_model(variant)
    model(a_video()).sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not without


@pytest.mark.parametrize("targets", ["motion", "normalised_pixels"])
@pytest.mark.parametrize(("variant", "steps"), [("spatio_temporal", 300), ("factorised_encoder", 500)])
def test_a_few_clips_are_learned_by_heart(variant: str, steps: int, targets: str) -> None:
    """Eight clips of a bar; a prediction that only knows the place of a tubelet stays above 0.5."""
    bars = [moving_bar("right" if clip % 2 else "down", clip, size=28) for clip in range(8)]
    video = torch.stack([bar[::2, :, 2:26, 2:26] for bar in bars]) / 127.5 - 1
    temporal_layers = 1 if variant == "factorised_encoder" else None
    config = ModelConfig(
        variant=variant,  # type: ignore[arg-type]
        image_size=(24, 24),
        num_frames=4,
        tubelet_size=(2, 8, 8),
        hidden_size=48,
        num_layers=2,
        num_heads=2,
        mlp_dim=96,
        num_classes=0,
        temporal_layers=temporal_layers,
    )
    masking = MaskingConfig(mask_ratio=0.5, decoder_layers=1, decoder_heads=2, decoder_size=48, targets=targets)  # type: ignore[arg-type]
    model = MaskedTubelets(ViViT(config), masking)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95))
    losses = []
    for _ in range(steps):
        loss = model(video).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-20:]) / 20 < 0.5 * losses[0]


def test_without_a_temporal_encoder_no_time_is_hidden() -> None:
    model = masked_model("factorised_encoder", temporal_layers=0)
    assert model.visible_times == 4
    assert torch.isfinite(model(a_video())).all()


@pytest.mark.parametrize(
    ("fields", "masking", "advice"),
    [
        ({"variant": "spatio_temporal"}, {"time_mask_ratio": 0.5}, "teaches a temporal encoder.*leave it out"),
        (
            {"variant": "factorised_encoder", "temporal_layers": 0},
            {"time_mask_ratio": 0.5},
            "temporal_layers=0 has none",
        ),
        ({"tubelet_size": (2, 16, 24)}, {}, "single token for each time.*smaller tubelets"),
    ],
)
def test_what_cannot_be_hidden_is_an_error_that_helps(
    fields: dict[str, object], masking: dict[str, float], advice: str
) -> None:
    with pytest.raises(ConfigError, match=advice):
        masked_model(masking=MaskingConfig(**masking), **fields)  # type: ignore[arg-type]
