"""`tubelet probe`: how good a model's features are."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tubelet.cli.arguments import TableOptions, load_model, one_source, read_or_own, require_source
from tubelet.cli.output import Output
from tubelet.paths import require_data, require_free


@dataclass(frozen=True, kw_only=True)
class Options(TableOptions):
    """Measure a model's features: nearest neighbours and a linear classifier on the vectors before its head.

    The model stays as it is, and its classes need not be those of the data. Both classifiers learn on the training
    videos and are tested on the others, without those that the model learned from. Features are kept on disk, so that
    a second probe decodes nothing.

    Attributes:
        model: a run, a pretraining, a model folder, a checkpoint or a Hub id.
        data: a folder or a table of labelled videos; without it, the videos that the run was given.
        data_flag: the same.
        train_split: samples to learn from.
        test_split: samples to test on; test, or else val, by default.
        include_learned: test on videos that the model learned from as well; the result says how many there are.
        group_column: column of the table whose groups (a person, a source video) are not divided between splits.
        views: CLIPSxCROPS of each video, whose features are averaged.
        neighbours: how many training videos vote.
        features: write the features of all videos to this safetensors file, with paths, labels and splits.
        overwrite: replace the file of --features if it exists.
        feature_folder: where features are kept; tubelet/features in the user's cache folder by default.
        device: auto (the first GPU, else the CPU), cpu, cuda, cuda:1, mps.
        precision: of matrix products; auto is bfloat16 on GPUs that are made for it.
        workers: processes that decode; one for each core, at most 8, by default.
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    data: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[DATA]")] = None
    data_flag: Annotated[str | None, tyro.conf.arg(name="data", metavar="DATA")] = None
    train_split: str = "train"
    test_split: Annotated[str | None, tyro.conf.arg(metavar="SPLIT")] = None
    include_learned: bool = False
    group_column: Annotated[str | None, tyro.conf.arg(metavar="COLUMN")] = None
    views: str = "1x1"
    neighbours: int = 20
    features: Annotated[Path | None, tyro.conf.arg(metavar="FILE.safetensors")] = None
    overwrite: bool = False
    feature_folder: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    workers: int | None = None


def run(options: Options, output: Output) -> int:
    """Probe and print."""
    options = dataclasses.replace(
        options, data=one_source(options.data, options.data_flag, "probe MODEL"), data_flag=None
    )
    require_source(options.model)
    if options.data is not None:
        require_data(options.data)
    if options.features is not None:
        require_free(options.features, overwrite=options.overwrite)
    from tubelet.probing import probe

    table = read_or_own(options, options.model, options.data, "tubelet probe MODEL DATA")
    with output.progress("features") as progress:
        result = probe(
            load_model(options.model, output),
            table,
            train_split=options.train_split,
            test_split=options.test_split,
            include_learned=options.include_learned,
            views=options.views,
            neighbours=options.neighbours,
            features=options.features,
            overwrite=options.overwrite,
            feature_folder=options.feature_folder,
            workers=options.workers,
            device=options.device,
            precision=options.precision,
            progress=progress,
        )
    for failure in result.failures:
        output.warn(f"could not be read: {failure.path}: {failure.reason}")
    for note in result.notes:
        output.warn(note)
    if not output.as_json:
        output.console.print(str(result), markup=False, soft_wrap=True)
        if options.features is not None:
            output.console.print(f"features  {options.features}", markup=False, soft_wrap=True)
    output.data({**result.to_dict(), "features": options.features})
    return 1 if result.failures else 0
