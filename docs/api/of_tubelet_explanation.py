"""Every name of `tubelet.explanation` in use."""

import tubelet
from tubelet import explanation
from tubelet.demo import write_clips
from tubelet.explanation.views import views_of_video
from tubelet.paths import packaged_model

clip = packaged_model("demo") / "clip.mp4"

model = tubelet.load("demo")

found: explanation.Explanation = explanation.explain(model, clip, method="balanced", score=True, sanity=True)
print(found.top, found.curve, found.unattributed)

files: explanation.ExplanationFiles = found.save("explained")
print(files.film, files.page)

goal: explanation.Target = found.target
print(goal.head, goal.label, goal.index)

view: explanation.ViewMap = found.views[0]
print(view.map.shape, view.frames[0], view.box)

rated: explanation.Score | None = found.score
print(rated.gain, rated.chance, rated.better_than_chance)

redrawn: explanation.Sanity | None = found.sanity
print(redrawn.passed, dict(zip(redrawn.redrawn, redrawn.correlation, strict=True)))

print(list(explanation.METHODS))

print(explanation.methods_for(model))

chosen, reason = explanation.auto_method(tubelet.create(model.config))  # sample clips of a run decide, if there are
print(chosen, reason)

seen = views_of_video(clip, model.preprocessing, clips=2, crops=1)  # decoded once, for several questions
print(explanation.explain_views(model, seen, target="left-slow-rgb", against="right-slow-rgb").logit)

print(explanation.relevance_gain(model, seen.video[:1], None, goal, view.map, steps=10).gain)

pairs = [(one[None], None) for one in seen.video]  # (clip [1, T, C, H, W], which frames are real)
compared: explanation.MethodComparison = explanation.compare_methods(model, pairs, ["balanced", "rollout"])
print(compared.best, compared.table())

folder = write_clips("clips", {"test": 1})
print(explanation.compare_on_data(model, folder, methods=["balanced", "rollout"], most=2).best)
