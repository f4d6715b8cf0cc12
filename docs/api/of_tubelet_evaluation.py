"""Every name of `tubelet.evaluation` in use."""

import torch

import tubelet
from tubelet import data, evaluation
from tubelet.demo import write_clips

folder = write_clips("clips", {"train": 1, "val": 1, "test": 3})  # 3 scenes of 8 classes to test with

model = tubelet.load("demo")

measured: evaluation.Evaluation = evaluation.evaluate(model, folder, split="test", workers=0)
print(measured)
print(measured.top1, measured.loss, measured.origin)

figures: evaluation.HeadMetrics = measured.metrics["label"]
print(figures.top5, figures.mean_class_accuracy, figures.calibration_error, figures.intervals)

left: evaluation.ClassMetrics = figures.per_class[0]
print(left.name, left.support, left.recall, left.precision)

confident: evaluation.ReliabilityBin = figures.reliability[-1]
print(confident.low, confident.high, confident.count, confident.accuracy)

drawn: evaluation.Bootstrap | None = measured.bootstrap
print(drawn)

effort: evaluation.EvaluationCost | None = measured.cost
print(effort)

prediction: evaluation.VideoPrediction = measured.predictions[0]
print(prediction.path, prediction.labels, prediction.logits)

unreadable = write_clips("damaged", {"test": 1}) / "test" / "left-fast-rbg" / "000.mp4"
unreadable.write_bytes(b"no video")
failed: evaluation.VideoFailure = evaluation.evaluate(model, "damaged", workers=0).failures[0]
print(failed.path, failed.reason)

evaluated = measured.save("evaluated")
print(len(evaluation.load_predictions("evaluated")), "predictions")

print(evaluation.evaluate_stored("evaluated").top1)

table = data.read_table(folder).split("val")

plan: evaluation.ViewPlan = evaluation.plan_views("dense:8x1", tubelet_frames=2)
print(plan, evaluation.evaluate(model, table, views=plan, workers=0).views)

print(evaluation.parse_views("4x3"), evaluation.format_views((4, 3)))

named = evaluation.model_classes(model, table)
print(named)

clips = data.ClipDataset(table.with_classes(named), model.preprocessing, mode="evaluate", clips=2)
print(evaluation.evaluate_clips(model, clips).top1)

item = clips[0]

averaged = evaluation.predict_views(model, item["video"], item["frame_mask"])  # [V, T, C, H, W] -> {head: [K]}
print(averaged["label"].softmax(0))

backwards = evaluation.reorder(item["video"], item["frame_mask"], 1, "reversed", torch.Generator())
print(bool((backwards[:, 0] == item["video"][:, -1]).all()))

probed = evaluation.evaluate_frame_orders(model, table, workers=0, out="orders")

time_matters: evaluation.FrameOrderResult = probed.probe
print(time_matters.seed, list(time_matters.heads))

in_orders: evaluation.HeadFrameOrders = time_matters.heads["label"]
print(in_orders.top1, in_orders.chance, in_orders.verdict)

shuffled: evaluation.OrderFigures = in_orders.orders["shuffled"]
print(shuffled.top1, shuffled.same, shuffled.difference.p_value)

kept = {
    order: evaluation.load_predictions(f"orders/probe-temporal/{order}")
    for order in ("shuffled", "reversed", "single_frame")
}
print(evaluation.frame_order_metrics(probed.predictions, kept, probed.classes, seed=0) == probed.probe)

untrained = tubelet.create(model.config, labels=model.labels)
untrained.preprocessing = model.preprocessing
guessed = evaluation.evaluate(untrained, folder, split="test", workers=0)

compared: evaluation.Comparison = evaluation.compare({"untrained": guessed, "trained": measured})
print(compared.num_videos, compared.metrics["untrained"]["label"].top1)

pair: evaluation.Pair = compared.pairs[0]
print(pair.first, pair.second, pair.adjusted_p_value, len(pair.examples))

difference: evaluation.Difference = pair.difference
print(difference.difference, difference.interval, difference.p_value, difference.shown)

right, wrong = torch.ones(20), torch.tensor([1.0] * 12 + [0.0] * 8)
print(evaluation.paired_difference(right, wrong))

print(evaluation.mcnemar(only_first=8, only_second=0))

print(evaluation.holm([0.01, 0.04, 0.03]))  # p-values of three pairs

draws: evaluation.Resampling = evaluation.Resampling.over(measured.predictions, resamples=1000)
print(draws.bootstrap.unit)

expected: evaluation.Interval | None = draws.mean(torch.rand(24))
print(expected)

actions = [
    evaluation.VideoPrediction("a.mp4", {"verb": 0, "noun": 1}, {"verb": (2.0, 0.1), "noun": (0.3, 1.5)}),
    evaluation.VideoPrediction("b.mp4", {"verb": 1, "noun": 1}, {"verb": (1.0, 0.4), "noun": (0.2, 0.9)}),
]
per_head, joint = evaluation.compute_metrics(actions, {"verb": ["open", "close"], "noun": ["tap", "door"]})
print(per_head["verb"].top1, per_head["noun"].top1)

together: evaluation.JointMetrics = evaluation.Evaluation.of(
    actions, {"verb": ["open", "close"], "noun": ["tap", "door"]}
).joint
print(together.top1)  # of the pairs (verb, noun)

sets = [
    evaluation.VideoPrediction("a.mp4", logits={"tags": (2.0, -1.0)}, label_sets={"tags": (0,)}),
    evaluation.VideoPrediction("b.mp4", logits={"tags": (1.0, 0.5)}, label_sets={"tags": (0, 1)}),
]
tagged: evaluation.MultiLabelMetrics = evaluation.multi_label_metrics(sets, {"tags": ["jump", "run"]})["tags"]
print(tagged.mean_average_precision, tagged.macro_f1)

tag: evaluation.LabelMetrics = tagged.per_class[0]
print(tag.name, tag.average_precision, tag.threshold, tag.f1)

raw = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) * 4
truths = torch.where(torch.arange(200) % 3 == 0, 0, raw.argmax(1))  # about a quarter is wrong

print(evaluation.fit_temperature(raw, truths))

temperature, threshold = evaluation.fit_abstention(raw, truths, accuracy=0.9)
print(temperature, threshold)

print(evaluation.fit_thresholds(raw.sigmoid(), torch.nn.functional.one_hot(truths, 3)))

answers = [
    evaluation.VideoPrediction(f"{i}.mp4", {"label": truth}, {"label": tuple(row)})
    for i, (truth, row) in enumerate(zip(truths.tolist(), raw.tolist(), strict=True))
]
validated = evaluation.Evaluation.of(answers[:100], {"label": ["sit", "stand", "lie"]}, split="val")
tested = evaluation.Evaluation.of(answers[100:], {"label": ["sit", "stand", "lie"]}, split="test")

points, notes = evaluation.fit_operating_points(validated, abstain=0.9)
print(points["label"], notes)

doubtful: evaluation.Abstention = tested.at(points).abstention["label"]
print(doubtful.coverage, doubtful.accuracy)

calibrated: evaluation.Calibration = tested.calibrated(validated).calibration["label"]
print(calibrated.temperature, calibrated.calibration_error)
