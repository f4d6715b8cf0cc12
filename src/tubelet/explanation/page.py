"""The files of an explanation: a film, a sheet, a page, and the numbers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tubelet.explanation.attribution import Progress, no_progress
from tubelet.explanation.film import contact_sheet, write_film
from tubelet.explanation.overlay import AGAINST, FOR
from tubelet.explanation.result import Explanation
from tubelet.files import replacing, storage_errors, write_text
from tubelet.paths import require_free
from tubelet.prediction.sources import Source
from tubelet.report.page import environment
from tubelet.text import printable, printable_lines
from tubelet.video.still import data_uri

ABOUT = {
    "balanced": "every block's input times its gradient, with attention weights, the divisors of LayerNorms and the "
    "gates of activations held constant, so that tokens and biases add up to the logit.",
    "balanced_tokens": "the tokens times their gradient, with the same constants as balanced gradients, so that tokens "
    "and biases add up to the logit.",
    "shapley": "what a moment adds to the logit, averaged over all orders in which the moments can be added; inside a "
    "moment the places share its value as balanced gradients have it.",
    "legrad": "the positive gradient of each layer's attention weights. It shows support alone, without a unit.",
    "rollout": "attention weights multiplied through the layers. It is the same for every class.",
    "integrated_gradients": "the mean gradient between the clip's mean colour and the clip, times the difference.",
    "occlusion": "how far the logit falls when a tube of tokens is replaced by the clip's mean colour.",
    "rise": "how the logit and the visibility of a token vary together under random masks.",
}


@dataclass(frozen=True)
class ExplanationFiles:
    """The files of one explanation.

    Attributes:
        film: MP4: the video with the map over it.
        sheet: PNG: the frames that mattered most.
        page: HTML, which shows both.
        numbers: JSON: `Explanation.to_dict`.
    """

    film: Path
    sheet: Path
    page: Path
    numbers: Path


def files_of(folder: str | os.PathLike[str], name: str) -> ExplanationFiles:
    """The files that `write_files` writes."""
    return ExplanationFiles(*(Path(folder) / f"{name}{suffix}" for suffix in (".mp4", ".png", ".html", ".json")))


def require_free_files(
    folder: str | os.PathLike[str], names: Iterable[str], *, overwrite: bool, inputs: Sequence[str | Path]
) -> None:
    """Hold that `write_files` may write explanations of these names: `require_free` for each of their files."""
    if Path(folder).exists():
        for name in names:
            for file in vars(files_of(folder, name)).values():
                require_free(file, overwrite=overwrite, inputs=inputs)


def write_files(
    explanation: Explanation,
    source: Source,
    folder: str | os.PathLike[str],
    name: str,
    progress: Progress | None = None,
) -> ExplanationFiles:
    """Write `name.mp4`, `name.png`, `name.html` and `name.json` to a folder.

    Args:
        explanation: of a video, not of a preprocessed tensor.
        source: the video again.
        folder: made if it is not there.
        name: of the files, without a suffix.
        progress: called with (done, all) frames of the film.

    Raises:
        VideoError: the video cannot be read.
        StorageError: the folder cannot be written.
    """
    files = files_of(folder, name)
    with storage_errors(files.page.parent):
        files.page.parent.mkdir(parents=True, exist_ok=True)
    write_film(explanation, source, files.film, progress or no_progress)
    with replacing(files.sheet) as partial:
        contact_sheet(explanation, source).save(partial, "png")
    write_text(
        files.page, explanation_page(explanation, files.film.name, data_uri("image/png", files.sheet.read_bytes()))
    )
    explanation.save_json(files.numbers)
    return files


def explanation_page(explanation: Explanation, film: str | None, sheet: str | None) -> str:
    """A page as HTML.

    Args:
        explanation: what it shows.
        film: address of the MP4; None for none.
        sheet: address of the PNG; None for none.
    """
    against = explanation.target.against_label
    of = explanation.target.label if against is None else f"{explanation.target.label} rather than {against}"
    name = printable(Path(explanation.path).name if explanation.path else "clip in memory")
    parts = [("the video's tokens", float(explanation.map.sum()))]
    if explanation.unattributed is not None:
        parts += [*explanation.unattributed.items(), ("logit", explanation.logit)]
    template = environment("tubelet.explanation").get_template("explanation.html.j2")
    html = template.render(
        title=f"Why {of}? {name}",
        sentence=f"The model gives {of} a logit of {explanation.logit:.3f} on {name}.",
        target=of,
        score="Not scored: add --score to measure whether this map is to be believed."
        if explanation.score is None
        else str(explanation.score).capitalize() + ".",
        sanity=None if explanation.sanity is None else str(explanation.sanity).capitalize() + ".",
        video=film,
        sheet=sheet,
        colour_for=FOR,
        colour_against=AGAINST,
        parts=parts,
        split=list(explanation.split.items()),
        top=explanation.top,
        method=explanation.method,
        about=ABOUT[explanation.method],
    )
    return printable_lines(html)
