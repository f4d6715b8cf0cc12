"""Every name of `tubelet.weights` in use."""

import timm
import torch

import tubelet
from tubelet import weights

model = weights.load("demo")

loaded: weights.LoadReport = model.load_report
print(loaded.source, loaded.format, loaded.notes)

entry: weights.Entry = loaded.entries[0]
print(entry.name, entry.status, entry.how)

weights.save(model, "saved")
print(weights.from_pretrained("saved").config == model.config)

weights.convert("saved", "copied", format="native")

shorter = weights.adapt(model, num_frames=16, num_classes=5)  # positions are resized, a new head is drawn
print(shorter(torch.rand(1, 16, 3, 32, 32)).shape, shorter.load_report)

image_model = timm.create_model("vit_tiny_patch16_224", img_size=64)

config = weights.config_for(image_model, "vivit_tiny_16x2_fe", num_frames=8, image_size=64, num_classes=5)
print(config.hidden_size, config.image_size)

video_model = tubelet.create(config)
print(weights.initialise(video_model, image_model, tubelet_init="central_frame"))
