"""Every name of `tubelet.presets` in use."""

import torch

from tubelet import presets

print(presets.SIZES["tiny"], list(presets.SIZES))

for name, architecture in presets.presets().items():
    print(name, architecture.variant, architecture.tubelet_size)

config = presets.preset("vivit_base_16x2", num_frames=16, num_classes=5)  # no weights
print(config.grid, config.num_tokens)

small = presets.create("vivit_tiny_16x2_fe", num_frames=8, image_size=32, num_layers=1, num_classes=5)
print(small(torch.rand(1, 8, 3, 32, 32)).shape)  # [B, T, C, H, W] -> [B, K]
