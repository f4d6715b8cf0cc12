"""Metrics beside the loss, detection of spikes, and loggers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tubelet.config.serialise import check_types
from tubelet.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class MonitoringConfig:
    """Monitoring of a training. It does not change what is learned, so a resumed run may change it.

    Every metric is in metrics.jsonl of the run folder and in the report, whatever these settings are.

    Attributes:
        log: loggers besides: `tensorboard` (files in the run folder), `wandb`, `trackio`.
        log_project: what the run belongs to in wandb and trackio.
        update_ratio_steps: every so many steps, the norm of the weights' change over the norm of the weights is taken;
            1e-3 is usual. 0 for never.
        spike_deviations: a loss or a gradient norm is a spike if it is above twice its running median, and by more than
            so many standard deviations (of its logarithm, over the last 128 steps). Spikes are written down with the
            names of the videos. None looks for none.
        on_spike: `log` writes it to metrics.jsonl, `warn` counts them in one line at the end as well, `stop` ends the
            training with the checkpoint from before.
        sample_clips: keep up to 32 clips in the run folder, with the logits that the trained model gives for them:
            `tubelet doctor RUN` compares with these. They are real pictures of the videos.
    """

    log: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()
    log_project: str = "tubelet"
    update_ratio_steps: int = 20
    spike_deviations: float | None = 8.0
    on_spike: Literal["log", "warn", "stop"] = "warn"
    sample_clips: bool = True

    def __post_init__(self) -> None:
        check_types(self)
        if self.update_ratio_steps < 0:
            raise ConfigError(f"update_ratio_steps={self.update_ratio_steps} must be 0 (never) or more")
        if self.spike_deviations is not None and self.spike_deviations <= 0:
            raise ConfigError(
                f"spike_deviations={self.spike_deviations:g} must be above 0; leave it out (none) to look for no spikes"
            )
        if len(set(self.log)) < len(self.log):
            raise ConfigError(f"log={self.log} names a place twice")
