"""What guarded processes do with the file of a client (`tubelet.video.guarded`)."""

from __future__ import annotations

import io
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy
import torch
from PIL import Image

from tubelet.config import PreprocessingConfig
from tubelet.errors import VideoError
from tubelet.explanation.film import write_film
from tubelet.explanation.result import Explanation
from tubelet.explanation.views import SeenViews, views_of_decoder
from tubelet.prediction.loaded import Loaded, load_views
from tubelet.prediction.stream_source import DecodedFrames
from tubelet.video import Limits, Preprocessing, Views, open_video
from tubelet.video.still import jpeg_data_uri, thumbnails
from tubelet.video.transcode import transcode

LARGEST_PICTURE = 2**24
"""Pixels of a picture of a camera."""

PREVIEW_SIDE = 360
"""Pixels of the shorter side of a preview."""


def views(
    path: str, config: PreprocessingConfig, clips: int, crops: int, limits: Limits, pictures: bool
) -> dict[str, Any]:
    """The views of a video; with `pictures` also a few of the frames that they hold, as data URIs."""
    with open_video(path, threads=1, limits=limits) as decoder:
        loaded = load_views(decoder, path, Preprocessing(config), clips, crops)
        assert loaded.views is not None
        shown = [jpeg_data_uri(one) for one in thumbnails(decoder, loaded.indices)] if pictures else []
    return {
        "views": vars(loaded.views),
        "indices": loaded.indices,
        "timestamps": loaded.timestamps,
        "damaged": loaded.damaged,
        "thumbnails": shown,
    }


def loaded_of(answer: dict[str, Any], name: str, seconds: float) -> Loaded:
    """What `views` gave, under the client's name of the file."""
    views = answer["views"]
    return Loaded(
        name,
        views=Views(**{**views, "damaged": tuple(views["damaged"])}),
        indices=tuple(answer["indices"]),
        timestamps=tuple(answer["timestamps"]),
        damaged=tuple(answer["damaged"]),
        seconds=seconds,
    )


def seen(path: str, config: PreprocessingConfig, clips: int, crops: int, limits: Limits) -> dict[str, Any]:
    """The views of a video, and where they lie in it."""
    with open_video(path, threads=1, limits=limits) as decoder:
        return vars(views_of_decoder(decoder, Preprocessing(config), clips, crops))


def seen_of(answer: dict[str, Any]) -> SeenViews:
    """What `seen` gave."""
    lists = {name: tuple(answer[name]) for name in ("timestamps", "size")}
    places = {name: tuple(map(tuple, answer[name])) for name in ("frames", "boxes")}
    return SeenViews(**{**answer, **lists, **places})


def frames(path: str, config: PreprocessingConfig, limits: Limits) -> Generator[dict[str, Any], Sequence[int], None]:
    """A conversation: numbers of frames come in, resized frames go out."""
    source = DecodedFrames(open_video(path, threads=1, limits=limits), "video", Preprocessing(config))
    try:
        numbers = yield {"rate": source.rate, "total": source.total}
        while True:
            taken = [frame._asdict() for frame in source.take(numbers)]
            numbers = yield {"frames": taken, "total": source.total}
    finally:
        source.close()


def picture(path: str, data: bytes, config: PreprocessingConfig) -> dict[str, Any]:
    """A JPEG of a camera, resized for the model."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as opened:
            if opened.width * opened.height > LARGEST_PICTURE:
                raise VideoError(path, f"a picture of {opened.width}x{opened.height} pixels; send at most 4096x4096")
            pixels = numpy.array(opened.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise VideoError(path, f"a picture is no JPEG that can be read ({error})") from error
    return {"pixels": Preprocessing(config).resize(torch.from_numpy(pixels).permute(2, 0, 1))}


def preview(path: str, out: str) -> dict[str, Any]:
    """An H.264 MP4 of any video, small, for browsers that cannot play it."""
    start = transcode(path, Path(out), short_side=PREVIEW_SIDE, keyframe_interval=25, crf=28, use_damaged=True)
    return {"start": start}


def film(path: str, explanation: Explanation, out: str) -> None:
    """The film of an explanation."""
    write_film(explanation, path, out)
