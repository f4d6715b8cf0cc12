"""The demonstration's page: the report of the factorised encoder's run, with a section that tells the story."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from tubelet.data.generated import CLASSES, PICTURES
from tubelet.demo.result import DemoResult
from tubelet.report import Section, write_report
from tubelet.report.pictures import Picture, picture
from tubelet.video.still import data_uri

MODELS = {
    "encoder": ("Factorised encoder", "frames in order"),
    "encoder_shuffled": ("The same model", "frames shuffled"),
    "baseline": ("Average-pool baseline", "trained and tested on shuffled frames"),
}
SCENE = "000.mp4"
STRIP = 12
"""Frames of it that are shown: each colour once."""


def write_page(done: DemoResult, run: Path) -> Path:
    """Write `done.report`: what was compared, the eight classes on one scene, a prediction, then the run's report."""
    templates = Environment(
        loader=PackageLoader("tubelet.demo"),
        autoescape=select_autoescape(("html", "j2")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = [(*MODELS[name], score) for name, score in done.scores.items()]
    story = templates.get_template("story.html.j2").render(
        rows=rows,
        chance=1 / len(CLASSES),
        classes=len(CLASSES),
        pictures=PICTURES,
        seconds={name: value for name, value in done.seconds.items() if value >= 0.5},
    )
    scene = templates.get_template("scene.html.j2").render(films=_films(done.folder), frames=STRIP)
    predicted = templates.get_template("prediction.html.j2").render(
        result=Markup(done.result._repr_html_()),  # escapes what it was given
        command=f"tubelet predict {run} {done.result.path}",
    )
    in_use = templates.get_template("in_use.html.j2").render(
        explained=done.explained,
        sheet=data_uri("image/png", Path(done.explained.page).with_suffix(".png").read_bytes()),
        exported=done.exported,
        commands=done.next_commands(),
    )
    sections = [
        Section("What only time can tell", story),
        Section("One scene, eight classes", scene),
        Section("A prediction", predicted),
        Section("Why, and elsewhere", in_use),
    ]
    return write_report(run, out=done.report, title="A first look at tubelet", extra=sections)


def _films(folder: Path) -> list[tuple[str, Picture | None]]:
    """The first held-out scene in every class, and with its pictures shuffled."""
    names = {motion.name: folder / "clips" / "test" / motion.name / SCENE for motion in CLASSES}
    names[f"{CLASSES[0].name}, shuffled"] = folder / "clips-shuffled" / "test" / CLASSES[0].name / SCENE
    return [(name, picture(str(path), strip=range(STRIP))) for name, path in names.items()]
