"""`tubelet export`: a model for other runtimes, proven to be the model."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tubelet.cli.arguments import CommonOptions, require_source
from tubelet.cli.output import Output
from tubelet.errors import ConfigError
from tubelet.text import printable


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Write a model as a folder that runs without torch, and prove on real clips that it is the model.

    The folder holds the model file, its labels and preprocessing (tubelet.json), real clips with their logits
    (sample.npz), a program that predicts videos without tubelet (run.py), and a README. It gets its name when the
    logits of the real clips agree with the model's to 1e-4 of the largest, with the same best class for each.

    With --check, the word is the folder of an exported model, and the proof is repeated: hashes of its files, labels
    and preprocessing inside the model file, logits.

    Attributes:
        model: a run, a model folder, a checkpoint or a Hub id; with --check, an exported model.
        out: folder to write.
        format: onnx; openvino; pt2, compiled for processors with AVX2, run by torch; executorch, one clip at a time.
        input: uint8 takes pixels and normalises them in the graph; float takes normalised clips, as the model does.
        frames: frames of a clip, if not those of the model.
        image_size: pixels of one side of a frame, if not those of the model.
        data: prove it on these videos, folders or tables; by default on the sample clips of the training.
        int8: with --format onnx, matrix products in whole numbers of eight bits, calibrated on the clips; refused where
            that is not faster here, or where more than 1 % of the clips get another class.
        parts: of a factorised encoder, two more graphs, for tubelets and for times, with which streams and clips that
            overlap encode each tubelet once.
        check: look whether an exported model is still what was exported.
        overwrite: replace an exported model that is there.
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    out: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[OUT]")] = None
    format: Literal["onnx", "openvino", "pt2", "executorch"] = "onnx"
    input: Literal["uint8", "float"] = "uint8"
    frames: int | None = None
    image_size: int | None = None
    data: Annotated[tuple[str, ...], tyro.conf.arg(metavar="DATA ...")] = ()
    int8: bool = False
    parts: bool = False
    check: bool = False
    overwrite: bool = False


def run(options: Options, output: Output) -> int:
    """Export and print the proof, or check."""
    require_source(options.model)
    if options.check:
        return _check(options, output)
    if options.out is None:
        raise ConfigError("no folder to write was named: tubelet export MODEL OUT; or tubelet export --check FOLDER")
    from tubelet.exporting import export

    proof = export(
        options.model,
        options.out,
        options.format,
        data=options.data,
        input=options.input,
        num_frames=options.frames,
        image_size=options.image_size,
        int8=options.int8,
        parts=options.parts,
        overwrite=options.overwrite,
    )
    if not output.as_json:
        size = sum(file.stat().st_size for file in options.out.iterdir()) / 1e6
        output.console.print(
            f"proven   {proof.same_top1} of {proof.clips} real clips have the same best class; logits differ by "
            f"{proof.difference:.1e} of the largest\n"
            f"run by   {proof.provider}\n"
            f"written  {printable(str(options.out))}  ({size:,.1f} MB)",
            soft_wrap=True,
        )
    output.data({"out": str(options.out), "format": options.format, "parity": proof.to_dict()})
    output.next_command(f"tubelet predict {shlex.quote(str(options.out))} VIDEO")
    return 0


def _check(options: Options, output: Output) -> int:
    if options.out is not None:
        raise ConfigError("--check takes one word, the folder of an exported model: tubelet export --check FOLDER")
    from tubelet.exporting import check_export

    found = check_export(options.model)
    for problem in found.problems:
        output.warn(f"{options.model}: {problem}")
    if found.ok and found.parity is not None and not output.as_json:
        output.console.print(
            f"{printable(options.model)} is what was exported: files, labels and preprocessing as they were; logits of "
            f"{found.parity.clips} real clips differ by {found.parity.difference:.1e} of the largest "
            f"({found.parity.provider})",
            soft_wrap=True,
        )
    output.data(found.to_dict())
    return 0 if found.ok else 1
