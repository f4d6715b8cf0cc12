"""What an evaluation gives: a prediction for every video, and the figures that follow from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tubelet.config import OperatingPoint, from_dict, to_dict
from tubelet.config.model_cost import multiply_adds_text
from tubelet.config.operating_point import UNFITTED
from tubelet.errors import DataError
from tubelet.evaluation.abstention import Abstention, abstains, abstention
from tubelet.evaluation.calibration import Calibration, calibrate, fit_temperature
from tubelet.evaluation.cost import EvaluationCost
from tubelet.evaluation.frame_order_metrics import FrameOrderResult
from tubelet.evaluation.intervals import RESAMPLES, Bootstrap, Resampling
from tubelet.evaluation.known_videos import KnownVideos
from tubelet.evaluation.metrics import HeadMetrics, JointMetrics, compute_metrics
from tubelet.evaluation.multi_label import MultiLabelMetrics, multi_label_metrics
from tubelet.evaluation.predictions import VideoPrediction, load_predictions, save_predictions
from tubelet.evaluation.scores import scores_of
from tubelet.files import write_text
from tubelet.json_files import read_json_object
from tubelet.provenance import Use
from tubelet.text import count
from tubelet.video.views import ViewPlan, plan_views

EVALUATION_FILE = "evaluation.json"


@dataclass(frozen=True)
class VideoFailure:
    """A video that could not be read."""

    path: str
    reason: str


@dataclass(frozen=True)
class Evaluation(KnownVideos):
    """Predictions for a set of videos, and their metrics. `KnownVideos` has the fields on what the model knew of them.

    Attributes:
        classes: head to class names; a single head is called `label`.
        predictions: one for every video, in the order of the data; empty if only the figures were loaded.
        metrics: head to figures.
        joint: with several heads, the figures of all heads together (verb and noun: the action).
        views: as `plan_views` reads them, `4x3`.
        average: whether `logits` or `probabilities` were averaged over the views.
        num_videos: how many, unreadable ones included.
        failures: videos that could not be read. They count as wrong.
        num_damaged: videos of which some of the frames that were used are known to be damaged. They count as others.
        seconds: the evaluation took.
        resampled: videos of another frame rate than the model's, sampled by their timestamps.
        split: of the data that this is; None if it is all.
        data: what was evaluated: a folder, a table; None if unknown.
        date: when, ISO 8601.
        multi_label: figures of the heads whose videos may show several classes.
        operating_points: by head, the thresholds that were used (`tubelet.ViViT.operating_points`).
        abstention: coverage and accuracy of the heads that call doubtful videos `unknown`.
        bootstrap: what the intervals of the figures are over; None without intervals.
        calibration: head to what a temperature does that was fitted on other videos (see `calibrated`).
        cost: multiply-adds and views of a video; None where the model is not known.
        probe: accuracy with frames in another order (`evaluate_frame_orders`); None if that was not asked.
    """

    classes: dict[str, list[str]]
    metrics: dict[str, HeadMetrics]
    joint: JointMetrics | None
    views: str
    average: Literal["logits", "probabilities"]
    num_videos: int
    failures: tuple[VideoFailure, ...]
    seconds: float
    resampled: int = 0
    predictions: tuple[VideoPrediction, ...] = field(default=(), repr=False)
    split: str | None = None
    data: str | None = None
    date: str | None = None
    multi_label: dict[str, MultiLabelMetrics] = field(default_factory=dict)
    bootstrap: Bootstrap | None = None
    calibration: dict[str, Calibration] = field(default_factory=dict)
    cost: EvaluationCost | None = None
    probe: FrameOrderResult | None = None
    num_damaged: int = 0
    operating_points: dict[str, OperatingPoint] = field(default_factory=dict)
    abstention: dict[str, Abstention] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        predictions: Sequence[VideoPrediction],
        classes: Mapping[str, Sequence[str]],
        *,
        views: str | tuple[int, int] | ViewPlan = (1, 1),
        average: Literal["logits", "probabilities"] = "logits",
        seconds: float = 0.0,
        split: str | None = None,
        cost: EvaluationCost | None = None,
        resamples: int = RESAMPLES,
        operating_points: Mapping[str, OperatingPoint] | None = None,
    ) -> Evaluation:
        """The evaluation that these predictions amount to. No model is needed.

        Args:
            predictions: of all videos, unreadable ones too.
            classes: head to class names.
            views: that were looked at.
            average: that was taken over them.
            seconds: it took.
            split: of the data.
            cost: of the model.
            resamples: of the bootstrap; 0 for no intervals.
            operating_points: by head, how the model's probabilities become labels.

        Raises:
            DataError: no predictions, or such as do not fit the classes.
        """
        named = {head: list(names) for head, names in classes.items()}
        points = dict(operating_points or {})
        resampling = Resampling.over(predictions, resamples=resamples) if resamples and predictions else None
        several = multi_label_metrics(predictions, named, points, resampling)
        single = {head: names for head, names in named.items() if head not in several}
        metrics, joint = compute_metrics(predictions, single, resampling)
        return cls(
            classes=named,
            metrics=metrics,
            joint=joint,
            views=str(plan_views(views)),
            average=average,
            num_videos=len(predictions),
            failures=tuple(VideoFailure(p.path, p.error or "") for p in predictions if p.logits is None),
            seconds=seconds,
            resampled=sum(bool(p.resampled) for p in predictions),
            predictions=tuple(predictions),
            split=split,
            multi_label=several,
            bootstrap=None if resampling is None else resampling.bootstrap,
            cost=cost,
            num_damaged=sum(prediction.damaged is not None for prediction in predictions),
            operating_points=points,
            abstention={
                head: abstention(
                    scores_of(predictions, head, len(named[head])),
                    point,
                    None if point.background is None else named[head].index(point.background),
                )
                for head, point in points.items()
                if head in single and abstains(point)
            },
        )

    def at(self, operating_points: Mapping[str, OperatingPoint]) -> Evaluation:
        """The same predictions with these thresholds."""
        again = Evaluation.of(self.predictions, self.classes, operating_points=operating_points)
        return replace(
            self,
            multi_label=again.multi_label,
            operating_points=again.operating_points,
            abstention=again.abstention,
        )

    def calibrated(self, fitted_on: Evaluation) -> Evaluation:
        """The same with a temperature for each head, fitted on the predictions of another evaluation.

        Multi-label heads have none (`tubelet.evaluation.operating_points` fits their thresholds).

        Args:
            fitted_on: of the same model on other videos, the validation split.

        Raises:
            DataError: the two share a video or not their classes; or no temperature is best.
        """
        shared = {one.key for one in self.predictions} & {one.key for one in fitted_on.predictions}
        if shared:
            raise DataError(
                f"{len(shared)} videos are in both, {next(iter(shared))[0]} for one: a temperature that is fitted on "
                "the videos it is measured on says nothing; name another split"
            )
        if fitted_on.classes != self.classes:
            raise DataError("a temperature is fitted on the same model, and these have other classes")
        temperatures = {}
        for head, names in self.classes.items():
            if head in self.metrics:
                scores = scores_of(fitted_on.predictions, head, len(names))
                temperatures[head] = (fit_temperature(scores.logits, scores.target), len(scores.target))
        return self.with_temperatures(temperatures, fitted_on.split)

    def with_temperatures(self, temperatures: Mapping[str, tuple[float, int]], split: str | None) -> Evaluation:
        """The same with temperatures that are known already.

        Args:
            temperatures: head to temperature and number of videos that it was fitted on.
            split: that these are of.
        """
        found = {}
        for head, (temperature, videos) in temperatures.items():
            scores = scores_of(self.predictions, head, len(self.classes[head]))
            if len(scores.target):
                found[head] = calibrate(scores.logits, scores.target, temperature, videos, split)
        return replace(self, calibration=found)

    def measured_on(
        self,
        uses: Sequence[Use | None],
        *,
        left_out: int = 0,
        unknown: str | None = None,
        data: str | None = None,
        split: str | None = None,
    ) -> Evaluation:
        """The same with what the model did with its videos before.

        Args:
            uses: of each video in the order of the predictions.
            left_out: videos that are not among them because the model learned from them.
            unknown: why `uses` may lack something.
            data: where the videos are from.
            split: of the data.
        """
        predictions = tuple(replace(one, use=use) for one, use in zip(self.predictions, uses, strict=True))
        known = vars(KnownVideos.counted(uses, left_out, unknown))
        return replace(self, predictions=predictions, data=data, split=split, **known)

    @property
    def origin(self) -> list[str]:
        """Which videos the figures are of, in sentences: split and data, and what the model did with them before."""
        what = f"{self.split} videos" if self.split is not None else "all videos"
        first = f"{what} of {self.data}" if self.data is not None else what
        return [first, *self.describe(self.num_videos)]

    @property
    def top1(self) -> float:
        """Share of videos whose class has the highest logit; with several heads, the mean over them.

        Raises:
            DataError: all heads are multi-label, for which there is no top-1.
        """
        if not self.metrics:
            raise DataError("there is no top-1 where videos show several classes; see multi_label")
        return _mean([head.top1 for head in self.metrics.values()])

    @property
    def loss(self) -> float | None:
        """Cross entropy, binary in multi-label heads: mean over the videos that could be read, and then over heads.

        None if no video could be read.
        """
        heads: list[HeadMetrics | MultiLabelMetrics] = [*self.metrics.values(), *self.multi_label.values()]
        losses = [head.loss for head in heads if head.loss is not None]
        return _mean(losses) if losses else None

    @property
    def mean_average_precision(self) -> float | None:
        """Of the multi-label heads, mean over them, 0 for one of which no class is shown; None if there is none."""
        found = [head.mean_average_precision or 0.0 for head in self.multi_label.values()]
        return _mean(found) if found else None

    @property
    def score(self) -> float:
        """What weights are chosen by: top-1, or mean average precision of multi-label heads; mean over all heads."""
        tops = [head.top1 for head in self.metrics.values()]
        return _mean([*tops, *(head.mean_average_precision or 0.0 for head in self.multi_label.values())])

    def __str__(self) -> str:
        first, *more = self.origin
        lines = [f"{first}: {count(self.num_videos, 'video')}, {self.views} views, {self.seconds:.1f} s"]
        if self.cost is not None:
            lines[0] += f", {multiply_adds_text(self.cost.multiply_adds)} multiply-adds a video"
        lines += [f"  {line}" for line in more]
        if self.resampled:
            have = "has" if self.resampled == 1 else "have"
            lines.append(
                f"  {count(self.resampled, 'video')} {have} another frame rate than the model and "
                f"{'was' if self.resampled == 1 else 'were'} sampled by timestamps"
            )
        figures: dict[str, HeadMetrics | JointMetrics] = {**self.metrics}
        if self.joint is not None:
            figures["all heads"] = self.joint
        for name, head in figures.items():
            shares = [("top-1", "top1", head.top1)] + ([("top-5", "top5", head.top5)] if head.top5 is not None else [])
            parts = (f"{title} {share:.2%}{_interval(head.intervals.get(key))}" for title, key, share in shares)
            lines.append(f"  {name}: {'   '.join(parts)}")
        for name, several in self.multi_label.items():
            if several.mean_average_precision is not None:
                interval = _interval(several.intervals.get("mean_average_precision"))
                lines.append(f"  {name}: mean average precision {several.mean_average_precision:.2%}{interval}")
            if several.macro_f1 is not None and several.micro_f1 is not None:
                lines.append(
                    f"  {name}: F1 {several.macro_f1:.2%} (mean over classes), {several.micro_f1:.2%} (all together), "
                    f"at {self._thresholds_in_words(several)}"
                )
        for name, gives_up in self.abstention.items():
            accuracy = "-" if gives_up.accuracy is None else f"{gives_up.accuracy:.2%}"
            where = self._fitted_on(gives_up.fitted_on, gives_up.split)
            lines.append(
                f"  {name}: {gives_up.coverage:.2%} of the videos are answered, {accuracy} of these right; the others "
                f"are unknown (below {gives_up.unknown_below:.3f}, {where})"
            )
            if gives_up.background_found is not None:
                lines.append(
                    f"  {name}: {gives_up.background_found:.2%} of the videos of {gives_up.background!r} are unknown"
                )
        if self.bootstrap is not None and (figures or self.multi_label):
            with_intervals = [*figures.values(), *self.multi_label.values()]
            keys = ("top1", "top5", "mean_average_precision")
            shown = [(head, key) for head in with_intervals for key in keys if key in head.intervals]
            methods = [head.methods.get(key, "bootstrap") for head, key in shown]
            lines.append(f"  {'in brackets: ' if shown else ''}{self.bootstrap.describe(methods)}")
        for name, one in self.calibration.items():
            before = self.metrics[name].calibration_error or 0.0
            lines.append(
                f"  {name}: calibration error {before:.2%}, with temperature {one.temperature:.3f} "
                f"fitted on {one.fitted_on} videos {one.calibration_error:.2%}"
            )
        if self.failures:
            lines.append(f"  {len(self.failures)} could not be read and count as wrong, first {self.failures[0].path}")
        if self.num_damaged:
            lines.append(f"  {self.num_damaged} have damaged frames; `damaged` in predictions.jsonl says which videos")
        return "\n".join(lines)

    def _thresholds_in_words(self, head: MultiLabelMetrics) -> str:
        if not head.fitted_on:
            return f"threshold {UNFITTED:g} for every class"
        return f"thresholds {self._fitted_on(head.fitted_on, head.split)}"

    def _fitted_on(self, videos: int, split: str | None) -> str:
        where = f"fitted on {videos}{'' if split is None else f' {split}'} videos"
        return f"{where}, which are these: too good a figure" if split is not None and split == self.split else where

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the predictions, which have a file of their own."""
        data = to_dict(self)
        del data["predictions"]
        for name in ("operating_points", "abstention"):
            if not data[name]:
                del data[name]
        figures: dict[str, Any] = {"top1": self.top1 if self.metrics else None, "loss": self.loss}
        if self.multi_label:
            figures["mean_average_precision"] = self.mean_average_precision
        return {**figures, **data}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], predictions: Sequence[VideoPrediction] = ()) -> Evaluation:
        """The inverse of `to_dict`."""
        fields = {key: value for key, value in data.items() if key not in ("top1", "loss", "mean_average_precision")}
        if isinstance(fields.get("views"), list):  # as it was written before views had other forms
            fields["views"] = str(plan_views(tuple(fields["views"])))
        evaluation = from_dict(cls, fields, where=EVALUATION_FILE)
        object.__setattr__(evaluation, "predictions", tuple(predictions))
        return evaluation

    def save(self, folder: str | Path, *, predictions: bool = True) -> Path:
        """Write `evaluation.json` and `predictions.jsonl` into `folder`, each whole or not at all.

        Args:
            folder: is made if it does not exist.
            predictions: whether to write these too, and not the figures alone.

        Returns:
            the path of `evaluation.json`.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if predictions:
            save_predictions(self.predictions, folder)
        write_text(folder / EVALUATION_FILE, json.dumps(self.to_dict(), indent=2) + "\n")
        return folder / EVALUATION_FILE

    @classmethod
    def load(cls, folder: str | Path, *, predictions: bool = True) -> Evaluation:
        """Read what `save` wrote.

        Args:
            folder: where it is.
            predictions: whether to read those too.

        Raises:
            DataError: there is no evaluation in `folder`, or it is damaged.
            ConfigError: a field of it is missing, unknown, or of the wrong type.
        """
        path = Path(folder) / EVALUATION_FILE
        if not path.is_file():
            raise DataError(f"{path} does not exist; `tubelet evaluate {folder}` writes it")
        data = read_json_object(path, f"`tubelet evaluate --from {folder}` computes it again from its predictions")
        return cls.from_dict(data, load_predictions(folder) if predictions else ())


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" [{interval[0]:.1%}, {interval[1]:.1%}]"
