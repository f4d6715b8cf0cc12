"""Between decoding and the model: the views of a video, and what its result says of how they were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from tubelet.model import ViViT
from tubelet.prediction.result import Result, head_results
from tubelet.provenance import Use
from tubelet.video import Decoder, Preprocessing, Views
from tubelet.video.in_memory import InMemoryDecoder, numbers_in_source
from tubelet.video.still import thumbnails


@dataclass(frozen=True, eq=False, kw_only=True)
class Loaded:
    """A decoded video, or why it could not be decoded; the fields are those of `Result`."""

    path: str | None = field(kw_only=False)
    error: str | None = None
    views: Views | None = None
    indices: tuple[int, ...] = ()
    timestamps: tuple[float, ...] | None = None
    thumbnails: Tensor | None = None
    use: Use | None = None
    damaged: tuple[int, ...] = ()
    seconds: float = 0.0

    def result(
        self,
        logits: Mapping[str, Tensor],
        model: ViViT,
        views: tuple[int, int],
        top: int,
        seconds: float = 0.0,
    ) -> Result:
        """What the model says.

        Args:
            logits: {head: [K]}; none where the video could not be decoded.
            model: they are of.
            views: (clips, crops).
            top: classes that the result shows.
            seconds: of predicting, which are added to those of decoding.
        """
        error = self.error
        if not all(bool(values.isfinite().all()) for values in logits.values()):
            error, logits = "the model's output for it is not finite", {}
        return Result(
            path=self.path,
            heads=head_results(logits, model),
            error=error,
            views=views,
            indices=self.indices,
            timestamps=self.timestamps,
            seconds=self.seconds + seconds,
            shown=top,
            thumbnails=self.thumbnails,
            resampled=self.views is not None and self.views.resampled,
            use=self.use,
            damaged=self.damaged,
        )


def load_views(
    decoder: Decoder, path: str | None, preprocessing: Preprocessing, clips: int, crops: int, use: Use | None = None
) -> Loaded:
    """Decode the views of an open video.

    Args:
        decoder: open.
        path: that the result names; None for frames without one, which have no timestamps.
        preprocessing: of the model.
        clips, crops: how many; see `Preprocessing.views`.
        use: see `Result`.

    Raises:
        VideoError: as `Preprocessing.views`.
    """
    views = preprocessing.views(decoder, clips, crops)
    frames = sorted({frame for clip in views.indices for frame in clip})
    return Loaded(
        path,
        views=views,
        indices=numbers_in_source(decoder, frames),
        timestamps=tuple(decoder.timestamps[frames].tolist()) if path is not None else None,
        # those of a file are read from it when they are shown
        thumbnails=thumbnails(decoder, frames) if isinstance(decoder, InMemoryDecoder) else None,
        use=use,
        damaged=numbers_in_source(decoder, views.damaged),
    )
