"""The figures of the demonstration."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tubelet.data.generated import CLASSES
from tubelet.demo.in_use import Explained, Exported
from tubelet.evaluation import Evaluation
from tubelet.prediction import Result


@dataclass(frozen=True)
class Scores:
    """Shares of the held-out videos.

    Attributes:
        top1: called by their class.
        direction: of which this part of the class was right.
        speed: the same.
        colours: the same.
    """

    top1: float
    direction: float
    speed: float
    colours: float


@dataclass(frozen=True)
class DemoResult:
    """What came out.

    Attributes:
        folder: of everything.
        report: the page.
        scores: `encoder`, the factorised encoder on the held-out videos; `encoder_shuffled`, the same model on the same
            videos with their frames in random order; `baseline`, the average-pool baseline, trained and measured on
            shuffled frames. Chance is one in eight.
        result: the prediction for one held-out video.
        explained: what decided it.
        exported: the factorised encoder for ONNX Runtime.
        seconds: that each step took; 0 for one that had been done before.
    """

    folder: Path
    report: Path
    scores: dict[str, Scores]
    result: Result
    explained: Explained
    exported: Exported
    seconds: dict[str, float]

    def next_commands(self) -> list[str]:
        """What to type now."""
        run = shlex.quote(str(self.folder / "runs" / "factorised-encoder"))
        video = shlex.quote(str(self.result.path))
        return [
            f"tubelet predict {run} {video} --timeline timeline.srt",
            f"tubelet explain {run} {video}",
            f"tubelet evaluate {run} --views 2x1",
            f"tubelet serve {run}",
            "tubelet train YOUR_CLIPS/ --out runs/mine",
        ]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "folder": str(self.folder),
            "report": str(self.report),
            "chance": 1 / len(CLASSES),
            "scores": {name: asdict(score) for name, score in self.scores.items()},
            "prediction": self.result.to_dict(),
            "explanation": asdict(self.explained),
            "exported": asdict(self.exported),
            "next": self.next_commands(),
            "seconds": {name: round(seconds, 2) for name, seconds in self.seconds.items()},
        }


def scores_of(evaluation: Evaluation) -> Scores:
    """How often the class, and each part of it, was right."""
    parts = {motion.name: motion for motion in CLASSES}
    names = evaluation.classes["label"]
    hits = {"direction": 0, "speed": 0, "colours": 0}
    for prediction in evaluation.predictions:
        if prediction.logits is not None:
            logits = prediction.logits["label"]
            said = parts[names[max(range(len(names)), key=logits.__getitem__)]]
            truth = parts[names[prediction.labels["label"]]]
            for part in hits:
                hits[part] += getattr(said, part) == getattr(truth, part)
    shares = {part: count / evaluation.num_videos for part, count in hits.items()}
    return Scores(evaluation.top1, **shares)
