"""Every name of `tubelet` in use."""

import timm
import torch

import tubelet
from tubelet.demo import write_clips
from tubelet.paths import packaged_model

clips = write_clips("clips", {"train": 2, "test": 1})  # a folder of videos for each class

clip = packaged_model("demo") / "clip.mp4"

model = tubelet.load("demo")

config = tubelet.ModelConfig(variant="factorised_encoder", num_frames=8, image_size=(32, 32), tubelet_size=(2, 8, 8))
print(config.num_tokens)

small = tubelet.create("vivit_tiny_16x2_fe", num_classes=8, num_frames=8, image_size=32, num_layers=1)
assert isinstance(small, tubelet.ViViT)
logits = small(torch.rand(2, 8, 3, 32, 32))  # [B, T, C, H, W] -> [B, K]
print(tuple(logits.shape))

small.preprocessing = tubelet.PreprocessingConfig(num_frames=8, resize=32, crop_size=(32, 32))

result = tubelet.predict(model, clip)
print(result.label, result.probability)

evaluation = tubelet.evaluate(model, clips, split="test", workers=0)
print(evaluation)

for decision in tubelet.stream(model, clip, hop=8):
    print(decision)

found = tubelet.explain(model, clip, method="balanced")
print(found.map.shape, found.curve)

fast = tubelet.optimise(model)  # logits are those of `model`
print(fast(torch.rand(1, 24, 3, 32, 32)).shape)

merged = tubelet.merge_tokens(model, 0.2)  # faster, less exact
print(merged(torch.rand(1, 24, 3, 32, 32)).shape)

run = tubelet.train(clips, "runs/new", init="demo", epochs=1, workers=0)
print(run.folder, run.ended)

fitted = tubelet.tune(clips, "runs/fitted", budget=30)  # minutes of trials; so few clips can tell nothing
print(fitted.best.label, fitted.recipe)

learned = tubelet.pretrain(
    clips,
    "runs/pretrained",
    preset="vivit_tiny_16x2_fe",
    model={"num_frames": 8, "image_size": 32, "tubelet_size": (2, 8, 8), "num_layers": 1},
    epochs=1,
    workers=0,
)
print(learned.folder)

probed = tubelet.probe(model, clips, workers=0)
print(probed)

tubelet.save(model, "saved")  # tubelet.load("saved") gives it back, bit for bit

again = tubelet.from_pretrained("saved")  # or a name on the Hugging Face Hub
print(again.load_report)

image_model = timm.create_model("vit_tiny_patch16_224")  # or a name of timm, "vit.npz", a folder
report = tubelet.initialise(tubelet.create("vivit_tiny_16x2_fe", num_frames=8), image_model)
print(report)

tubelet.convert(model, "copied", format="native")  # or transformers, scenic

video: tubelet.Clip = tubelet.read_video(clip)  # uint8 [T, 3, H, W], with times
tubelet.write_video("backwards.mp4", video.frames.flip(0), frame_rate=16.0)

try:
    tubelet.load("missing")
except tubelet.WeightsError as error:
    print(error, isinstance(error, tubelet.TubeletError))  # as all of them are

try:
    tubelet.create("vivit_tiny_16x2", num_frames=7)
except tubelet.ConfigError as error:
    print(error)

try:
    tubelet.read_video("missing.mp4")
except tubelet.VideoError as error:
    print(error)

try:
    tubelet.evaluate(model, "missing")
except tubelet.DataError as error:
    print(error)


def publish() -> None:
    """Needs a login: `huggingface-cli login`."""
    tubelet.push_to_hub(model, "me/my-model")
    tubelet.export("runs/new", "exported", format="onnx")
