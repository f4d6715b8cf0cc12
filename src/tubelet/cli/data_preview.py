"""`tubelet data preview`: clips as the model will see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from tubelet.cli.arguments import CommonOptions
from tubelet.cli.output import Output
from tubelet.cli.training_options import config_of, parse_training
from tubelet.errors import ConfigError, DataError
from tubelet.paths import require_data, require_free
from tubelet.text import printable


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Show clips as the model will see them: sampled, augmented, cropped, mixed. One picture, a row a clip.

    Takes every flag of `tubelet train`, and shows what that training would be given.

    Attributes:
        source: a folder or a table of labelled videos.
        out: PNG or JPEG file to write.
        overwrite: replace a file that exists.
        plain: without augmentation, as in evaluation.
        clips: rows of the picture.
        frames: of each clip, evenly spread.
        epoch: that the draws belong to.
        recipe: a whole configuration to start from: RECIPES, or a TOML file. Without one, the one that fits.
        config: TOML files with settings to change.
        preset: the model; `tubelet models` lists them.
        init: the weights that training would start from.
        seed: random seed of everything that is drawn.
        resume: not for a preview.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATA")]
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("preview.png")
    overwrite: bool = False
    plain: bool = False
    clips: int = 8
    frames: int = 8
    epoch: int = 0
    recipe: Annotated[str | None, tyro.conf.arg(metavar="RECIPE")] = None
    config: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="[FILE.toml ...]")] = ()
    preset: Annotated[str | None, tyro.conf.arg(metavar="PRESET")] = None
    init: Annotated[str | None, tyro.conf.arg(metavar="SOURCE")] = None
    seed: int = 0
    resume: tyro.conf.Suppress[bool] = False


def parse(words: Sequence[str], prog: str) -> Any:
    """Options with a flag for every setting of a training."""
    return parse_training(Options, words, prog)


def run(options: Any, output: Output) -> int:
    """Draw a batch and write the picture."""
    require_data(options.source)
    require_free(options.out, overwrite=options.overwrite)
    suffix = options.out.suffix.lower()
    if suffix not in (".png", ".jpg", ".jpeg"):
        raise ConfigError(f"{options.out}: write a .png or .jpg file")
    from PIL import Image

    from tubelet.data import contact_sheet
    from tubelet.files import replacing
    from tubelet.runs import preview_batch

    config = config_of(options)
    config = replace(config, data=replace(config.data, source=options.source))
    preview = preview_batch(config, options.clips, epoch=options.epoch, plain=options.plain)
    for note in preview.notes:
        output.warn(note)
    batch = preview.batch
    if not len(batch):
        raise DataError(f"no video could be read, first {batch.failures[0].path}: {batch.failures[0].reason}")
    sheet = contact_sheet(batch, preview.preprocessing, preview.classes, clips=options.clips, frames=options.frames)
    with replacing(options.out) as partial:
        Image.fromarray(sheet.permute(1, 2, 0).numpy()).save(partial, Image.registered_extensions()[suffix])
    for failure in batch.failures:
        output.warn(f"{failure.path}: could not be read: {failure.reason}")
    if not output.as_json:
        output.console.print(printable(str(options.out)), soft_wrap=True)
    output.data({"file": str(options.out), "clips": len(batch), "height": sheet.shape[1], "width": sheet.shape[2]})
    return 1 if batch.failures else 0
