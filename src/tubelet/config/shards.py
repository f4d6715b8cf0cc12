"""How videos are stored in shards."""

from __future__ import annotations

from dataclasses import dataclass

from tubelet.config.serialise import check_types
from tubelet.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ShardConfig:
    """How videos are put into shards.

    Attributes:
        short_side: pixels of the shorter side of the stored videos, even; smaller videos keep their size, but for an
            odd last row or column. The `resize` of the training that is to come loses nothing.
        keyframe_interval: at most so many frames from one key frame to the next. A clip that starts anywhere is decoded
            from the key frame before it: fewer are faster to get at, and larger.
        crf: quality, 0 (lossless) to 51; 18 looks like the source.
        copy: store the files as they are, and encode nothing. Clips are then those of the files, to the bit.
        shard_megabytes: at most so many 10^6 bytes of videos in a shard, but for a single video that is larger.
        use_damaged: store videos with damaged frames too, as the decoder restores them.
        seed: of the order in which videos are put into shards, so that a shard read from end to end is mixed.
    """

    short_side: int = 256
    keyframe_interval: int = 12
    crf: int = 20
    copy: bool = False
    shard_megabytes: float = 512.0
    use_damaged: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        if self.short_side < 2 or self.short_side % 2:
            raise ConfigError(
                f"short_side={self.short_side} must be even, as H.264 with halved colour needs; "
                f"use {max(2, self.short_side + 1)}"
            )
        if self.keyframe_interval < 1:
            raise ConfigError(f"keyframe_interval={self.keyframe_interval} must be at least 1 (key frames alone)")
        if not 0 <= self.crf <= 51:
            raise ConfigError(f"crf={self.crf} must be from 0 (lossless) to 51 (worst)")
        if self.shard_megabytes <= 0:
            raise ConfigError(f"shard_megabytes={self.shard_megabytes:g} must be above 0")
