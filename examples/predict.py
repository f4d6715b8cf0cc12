"""Predict one video, several, and frames that are in memory."""

import tubelet
from tubelet.paths import packaged_model

model = tubelet.load("demo")  # or a run, a folder, a checkpoint, a name on the Hugging Face Hub
clip = packaged_model("demo") / "clip.mp4"

result = tubelet.predict(model, clip)
print(result.label, f"{result.probability:.1%}")
print(result.top(3))

for result in tubelet.predict(model, [clip, clip], views="2x1"):  # two clips of each, their logits averaged
    print(result.path, result.label)

frames = tubelet.read_video(clip).frames  # uint8 [T, 3, H, W]; your own arrays do as well
print(tubelet.predict(model, frames).label)
