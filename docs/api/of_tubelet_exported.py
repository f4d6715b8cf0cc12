"""Every name of `tubelet.exported` in use."""

import json
from pathlib import Path

import torch

import tubelet
from tubelet import exported
from tubelet.paths import packaged_model

clip = packaged_model("demo") / "clip.mp4"

packed = tubelet.export("demo", "packed", data=[clip], input="float")

onnx: exported.ExportedViViT = exported.load_exported("packed", threads=1)
print(onnx(torch.rand(2, 24, 3, 32, 32)).shape, onnx.session.provider)  # [B, T, C, H, W] -> [B, K]

print(tubelet.predict(onnx, clip).label)  # whatever takes a model takes it

contract: exported.Contract = onnx.contract
print(contract.format, contract.labels, contract.inputs, contract.parity)

print(list(json.loads((Path("packed") / exported.CONTRACT_FILE).read_text())))
