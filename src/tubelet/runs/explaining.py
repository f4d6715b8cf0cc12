"""What decided in a run's most confident mistakes: pictures for its page."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tubelet.errors import DataError, VideoError
from tubelet.explanation import Explanation, Target, auto_method, explain_views
from tubelet.explanation.film import contact_sheet
from tubelet.explanation.views import views_of_video
from tubelet.files import write_text
from tubelet.json_files import dump_json
from tubelet.model import ViViT
from tubelet.prediction.ready import ready
from tubelet.report import write_report
from tubelet.report.run_files import EXPLANATIONS_FILE, read_run
from tubelet.report.sections import Prediction, heads, most_confident_mistakes
from tubelet.video.still import data_uri


@dataclass(frozen=True)
class ExplainedMistakes:
    """What was written.

    Attributes:
        report: the run's page, with the pictures.
        method: how they were computed.
        count: mistakes that were explained.
        missing: videos that could not be read, with the reason.
    """

    report: Path
    method: str
    count: int
    missing: tuple[str, ...]


def explain_mistakes(
    run: str | os.PathLike[str],
    *,
    model: ViViT | None = None,
    method: str = "auto",
    device: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ExplainedMistakes:
    """Explain the mistakes that the page of a run shows, and write the page again.

    The map is of the difference between the logits of the predicted and of the true class, in the middle clip of the
    video. The pictures are kept in RUN/explanations.jsonl.

    Args:
        run: its folder, with an evaluation.
        model: of the run, if it is loaded already.
        method: one of `tubelet.explanation.METHODS`, or `auto`.
        device: where to.
        progress: called with (mistakes done, all).

    Raises:
        DataError: no run, or one without predictions.
        ConfigError: a method that does not fit the model.
    """
    files = read_run(Path(run))
    if not files.predictions:
        raise DataError(f"{run} holds no predictions to find mistakes in; make them: tubelet evaluate {run}")
    if not files.evaluation.get("metrics") and files.evaluation.get("multi_label"):
        raise DataError(
            "mistakes are one class in place of another, and videos may show several here; explain a class of a video: "
            f"tubelet explain {run} VIDEO --target CLASS"
        )
    loaded, preprocessing = ready(os.fspath(run) if model is None else model, device)
    if method == "auto":
        method, _ = auto_method(loaded)
    wanted = [(head, *one) for head in heads(files) for one in most_confident_mistakes(files, head)]
    rows, missing = [], []
    for number, (head, prediction, truth, said, _) in enumerate(wanted, 1):
        path, names = str(prediction["path"]), files.evaluation["classes"][head]
        target = Target(head, said, names[said], truth, names[truth])
        try:
            seen = views_of_video(path, preprocessing, 1, 1, prediction.get("start"), prediction.get("end"))
            found = explain_views(loaded, seen, target=target, method=method)
            rows.append(_row(found, contact_sheet(found, path), head, prediction))
        except VideoError as error:
            missing.append(str(error))
        if progress is not None:
            progress(number, len(wanted))
    write_text(files.folder / EXPLANATIONS_FILE, "".join(dump_json(row) + "\n" for row in rows))
    return ExplainedMistakes(write_report(files.folder), method, len(rows), tuple(missing))


def _row(found: Explanation, sheet: Image.Image, head: str, prediction: Prediction) -> dict[str, Any]:
    """What the page needs, and what it knows the prediction by."""
    picture = io.BytesIO()
    sheet.save(picture, "jpeg", quality=85)
    return {
        **{key: prediction.get(key) for key in ("path", "start", "end")},
        "head": head,
        "logits": prediction["logits"][head],
        "method": found.method,
        "difference": found.logit,
        "picture": data_uri("image/jpeg", picture.getvalue()),
    }
