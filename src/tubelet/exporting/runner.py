"""Predict videos with the exported model in this folder: python run.py VIDEO [VIDEO ...] [--json]

It decodes, samples, resizes and crops as the model was trained. It needs numpy, av and the runtime of the model; see
README.md. A video that cannot be read is named on standard error and does not stop the rest; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy
from av.sidedata.sidedata import Type
from av.stream import Disposition
from av.video.reformatter import ColorRange, VideoReformatter

from tubelet.exported.sessions import MODEL_FILES, SESSIONS
from tubelet.video.colour import _pixels, _unnamed_side_data, _upright, orientation_of
from tubelet.video.frame_index import _is_hidden_vp8, _makes_up_timestamps, missing_bytes, origin, time_base
from tubelet.video.pyav_open import LENIENT_METADATA, _preference
from tubelet.video.pyav_stream import THREADED_CODECS
from tubelet.video.rate import sample_at_rate
from tubelet.video.sampling import clip_indices, uniform_indices

if "_missing_" not in vars(Type):
    Type._missing_ = classmethod(_unnamed_side_data)  # type: ignore[method-assign, assignment]


class Video:
    """A video file, decoded from its beginning."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.times = self._times_of_packets()
        self.by_order = not self.times
        if self.by_order:
            self.decode_all()

    def _open(self) -> Any:
        container = av.open(f"file:{self.path}", **LENIENT_METADATA)
        covers = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.dependent
        streams = [stream for stream in container.streams.video if not stream.disposition & covers]
        if not streams:
            raise ValueError("no video stream")
        stream = max(streams, key=_preference)
        stream.codec_context.thread_count = 0 if stream.codec_context.name in THREADED_CODECS else 1
        stream.codec_context.thread_type = "AUTO"
        return container, stream

    def _times_of_packets(self) -> list[int]:
        """When each frame is shown, ascending, in units of the time base; empty if the packets do not say."""
        container, stream = self._open()
        with container:
            vp8 = stream.codec_context.name in ("vp8", "libvpx")
            packets = [packet for packet in container.demux(stream) if packet.size and not packet.is_discard]
            times = [packet.pts for packet in packets if not (vp8 and _is_hidden_vp8(packet))]
            made_up = _makes_up_timestamps(stream)
            if missing_bytes(container, stream, len(packets)) is not None:
                raise ValueError("cut off: the file ends before all that its header lists")
            if not times or None in times or len(set(times)) < len(times) or made_up:
                return []
            return sorted(times)

    def decode_all(self) -> None:
        """Learn from the frames themselves when each is shown."""
        self.by_order = True
        container, stream = self._open()
        with container:
            times = [frame.pts for frame in container.decode(stream)]
            if not times:
                raise ValueError("no frame")
            known = [value for value in times if value is not None]
            if len(set(known)) < len(times):
                step = max(1, round(1 / ((stream.average_rate or 25) * time_base(stream))))
                known = [(min(known) if known else 0) + step * number for number in range(len(times))]
            self.times = sorted(known)

    def seconds(self) -> Any:
        """float64 [N]: when each frame is shown, from the start of the file."""
        container, stream = self._open()
        with container:
            base: Fraction = time_base(stream)
            units = numpy.asarray(self.times, numpy.float64) - float(origin(stream, self.times[0]) / base)
            return units * base.numerator / base.denominator

    def pictures(self, numbers: list[int], transform: Any) -> dict[int, Any] | None:
        """`transform` of the frames with these numbers, RGB [H, W, 3]; None if the frames are others than expected."""
        found: dict[int, Any] = {}
        order = {} if self.by_order else {pts: number for number, pts in enumerate(self.times)}
        container, stream = self._open()
        with container:
            for count, frame in enumerate(container.decode(stream)):
                number = count if self.by_order else order.get(frame.pts)
                if count == 0:
                    size, (orientation, _), converter = (frame.height, frame.width), orientation_of(frame), _converter()
                    if number != 0:
                        return None
                if number is None:
                    return None
                if number in numbers:
                    found[number] = transform(
                        numpy.ascontiguousarray(_upright(_pixels(converter(frame, *size)), orientation))
                    )
                if len(found) == len(set(numbers)):
                    return found
        return None


def _converter() -> Any:
    reformatter = VideoReformatter()
    return lambda frame, height, width: reformatter.reformat(
        frame, width=width, height=height, format="rgb24", dst_color_range=ColorRange.JPEG, threads=1
    )


def clip_of(path: str, how: dict[str, Any], channels: int) -> tuple[Any, list[bool], list[int], list[float], bool]:
    """The clip that the model sees.

    Args:
        path: of the video.
        how: `preprocessing` of tubelet.json.
        channels: of the model.

    Returns:
        uint8 [T, H, W, C]; which frames are real; their numbers in the video; the time of each that is used; and
        whether they were chosen by time.
    """
    video = Video(path)
    while True:
        numbers, real, by_time, seconds = _chosen(video, how)
        pictures = video.pictures(numbers, lambda picture: _fitted(picture, how, channels))
        if pictures is not None:
            break
        if video.by_order:
            raise ValueError("gives other frames each time that it is decoded")
        video.decode_all()
    used = sorted(set(numbers))
    return numpy.stack([pictures[n] for n in numbers]), real, used, [round(seconds[n], 6) for n in used], by_time


def _chosen(video: Video, how: dict[str, Any]) -> tuple[list[int], list[bool], bool, Any]:
    seconds = video.seconds().tolist()
    inside, length = list(range(len(seconds))), how["num_frames"]
    if how["sampling"] == "uniform":
        return uniform_indices(len(inside), length), [True] * length, False, seconds
    by_time = False
    if how["resample"] and how["frames_per_second"] is not None:
        numbers, _ = sample_at_rate(seconds, how["frames_per_second"])
        by_time, inside = numbers != inside, numbers
    start = max(0, len(inside) - length * how["frame_stride"]) // 2
    chosen, real = clip_indices(start, length, how["frame_stride"], len(inside), how["short_clips"])
    return [inside[number] for number in chosen], real, by_time, seconds


def _fitted(picture: Any, how: dict[str, Any], channels: int) -> Any:
    """uint8 [h, w, C]: the region, resized, cropped in the centre, grey for a model of one channel."""
    if how["region"] is not None:
        (height, width), (top, left, bottom, right) = picture.shape[:2], how["region"]
        first, start = min(round(top * height), height - 1), min(round(left * width), width - 1)
        picture = picture[first : max(round(bottom * height), first + 1), start : max(round(right * width), start + 1)]
    (height, width), (crop_height, crop_width), short = picture.shape[:2], how["crop_size"], how["resize"]
    size = (short, width * short // height) if height <= width else (height * short // width, short)
    if size[0] < crop_height or size[1] < crop_width:
        if crop_height * width >= crop_width * height:
            size = crop_height, width * crop_height // height
        else:
            size = height * crop_width // width, crop_width
    picture = resized(picture, size, how["interpolation"], how["antialias"])
    top, left = -(-(size[0] - crop_height) // 2), -(-(size[1] - crop_width) // 2)
    picture = picture[top : top + crop_height, left : left + crop_width]
    if channels == 1:
        luma = picture.astype(numpy.int32) @ numpy.array([77, 150, 29], numpy.int32)
        picture = ((luma + 128) >> 8).astype(numpy.uint8)[..., None]
    return picture


def resized(picture: Any, size: tuple[int, int], interpolation: str, antialias: bool) -> Any:
    """uint8 [H, W, C] at (height, width), to the bit as torch resizes bytes: columns first, in whole numbers."""
    for axis in (1, 0):
        if picture.shape[axis] != size[axis]:
            rows, shift = _weights(picture.shape[axis], size[axis], interpolation, antialias)
            lines = numpy.moveaxis(picture, axis, 0).astype(numpy.int32)
            half = 1 << (shift - 1)
            out = [(numpy.tensordot(row, lines[first : first + len(row)], 1) + half) >> shift for first, row in rows]
            picture = numpy.moveaxis(numpy.clip(numpy.stack(out), 0, 255).astype(numpy.uint8), 0, axis)
    return picture


def _weights(before: int, after: int, interpolation: str, antialias: bool) -> tuple[list[tuple[int, Any]], int]:
    """For each place its first source and the weights from there on, as whole numbers, and their binary places."""
    scale, taps = before / after, 2 if interpolation == "bilinear" else 4
    shrink = max(scale, 1.0) if antialias else 1.0
    reach, rows = taps / 2 * shrink, []
    for place in range(after):
        if antialias:
            centre = scale * (place + 0.5)
            first, end = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), before)
            row = numpy.array([_kernel((each - centre + 0.5) / shrink, taps, -0.5) for each in range(first, end)])
            rows.append((first, row / row.sum()))
            continue
        source = scale * (place + 0.5) - 0.5
        source = max(source, 0.0) if taps == 2 else source
        nearest = int(numpy.floor(source)) - (taps // 2 - 1)
        row = numpy.zeros(before)
        for each in range(nearest, nearest + taps):  # beyond the edge the outermost pixel counts again
            row[min(max(each, 0), before - 1)] += _kernel(each - source, taps, -0.75)
        first, end = max(min(nearest, before - 1), 0), min(nearest + taps, before)
        rows.append((first, row[first:end]))
    largest, shift = max(float(row.max()) for _, row in rows), 0
    while shift < 22 and int(0.5 + largest * (1 << (shift + 1))) < 1 << 15:
        shift += 1
    whole = [(first, numpy.where(row < 0, -0.5, 0.5) + row * (1 << shift)) for first, row in rows]
    return [(first, numpy.trunc(row).astype(numpy.int32)) for first, row in whole], shift


def _kernel(distance: float, taps: int, sharpness: float) -> float:
    x, a = abs(distance), sharpness
    if taps == 2:
        return max(1.0 - x, 0.0)
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


def predict(path: str, session: Any, contract: dict[str, Any], top: int = 5) -> dict[str, Any]:
    """What `tubelet predict --json` prints for a video."""
    began = time.perf_counter()
    channels = contract["model"]["in_channels"]
    clip, real, numbers, times, by_time = clip_of(path, contract["preprocessing"], channels)
    inputs = [clip[None], numpy.array([real])][: len(contract["inputs"])]
    if contract["inputs"][0]["type"] == "float32":
        how = contract["preprocessing"]
        std, mean = numpy.array(how["std"], numpy.float64), numpy.array(how["mean"], numpy.float64)
        scale, shift = (1 / (255 * std)).astype(numpy.float32), (-mean / std).astype(numpy.float32)
        inputs[0] = numpy.ascontiguousarray((inputs[0] * scale + shift).transpose(0, 1, 4, 2, 3))
    heads = {}
    for output, logits in zip(contract["outputs"], session(inputs), strict=True):
        name, values = output["name"], logits[0].astype(numpy.float64)
        names = contract["labels"][name] if contract["labels"] else [f"class {i}" for i in range(len(values))]
        several = name in contract["model"].get("multi_label", [])
        point = (contract.get("operating_points") or {}).get(name) or {}
        if several:
            shares = 1 / (1 + numpy.exp(-values))
        else:
            shares = numpy.exp((values - values.max()) / point.get("temperature", 1.0))
            shares /= shares.sum()
        order = numpy.argsort(-values, kind="stable").tolist()
        ranked = [{"label": names[index], "probability": float(shares[index])} for index in order]
        if several:
            least = point.get("thresholds") or [0.5] * len(values)
            labels = [one for one, index in zip(ranked, order, strict=True) if shares[index] >= least[index]]
            heads[name] = {"labels": labels, "top": ranked[:top]}
            continue
        best = ranked[0]
        if best["label"] == point.get("background") or best["probability"] < point.get("unknown_below", 0.0):
            best = {**best, "label": "unknown"}
        heads[name] = {**best, "top": ranked[:top]}
    return {
        "path": path,
        "error": None,
        **(next(iter(heads.values())) if len(heads) == 1 else {"heads": heads}),
        "views": "1x1",
        "frames": numbers,
        "damaged": [],
        "timestamps": times,
        "resampled": by_time,
        "use": None,
        "seconds": round(time.perf_counter() - began, 6),
    }


def _show(result: dict[str, Any]) -> None:
    print(result["path"])
    for name, head in result.get("heads", {"": result}).items():
        if name:
            print(f"  {name}")
        if head.get("label") == "unknown":
            print("  unknown; the most probable classes:")
        for best in head.get("labels", head["top"]) or [{"probability": 0.0, "label": "none of the classes"}]:
            print(f"  {best['probability']:6.1%}  {best['label']}")


def main() -> int:
    """Predict the videos that are named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", metavar="VIDEO")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each video")
    parser.add_argument("--threads", type=int, default=0, help="that compute; by default as many as there are cores")
    options = parser.parse_args()
    folder = Path(__file__).resolve().parent
    contract = json.loads((folder / "tubelet.json").read_text(encoding="utf-8"))
    for name, digest in contract["files"].items():
        if name.startswith("model."):
            with (folder / name).open("rb") as opened:
                if hashlib.file_digest(opened, "sha256").hexdigest() != digest:
                    sys.exit(f"{name} is not the file that was exported")
    session = SESSIONS[contract["format"]](folder / MODEL_FILES[contract["format"]], options.threads)
    print(f"computed by {session.provider}", file=sys.stderr)
    failed = False
    for path in options.videos:
        try:
            result = predict(path, session, contract)
        except (av.FFmpegError, OSError, ValueError) as error:
            failed = True
            print(f"{path}: {error}", file=sys.stderr)
            result = {"path": path, "error": str(error)}
        if options.json:
            print(json.dumps(result), flush=True)
        elif result["error"] is None:
            _show(result)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
