"""AOTInductor's fault with a batch of one, in its smallest form: why a convolutional stem is made contiguous for it."""

from __future__ import annotations

import json

import pytest

from own_process import run

SCRIPT = """
import json, sys, tempfile
import torch
torch.manual_seed(0)

class Convolution(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv3d(6, 8, 3, stride=(1, 2, 2), padding=1, bias=False)

    def forward(self, x):  # [B, T, H, W, C]
        maps = x.movedim(-1, 1)  # channels are innermost in memory
        return self.convolution(maps if sys.argv[1] == "innermost" else maps.contiguous())

model, x, found = Convolution().eval(), torch.randn(8, 4, 16, 16, 6), {}
batch = torch.export.Dim("batch", min=1, max=4096)
with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
    program = torch.export.export(model, (x[:2],), dynamic_shapes=({0: batch},))
    options = {"layout_optimization": False}
    file = folder + "/model.pt2"
    torch._inductor.aoti_compile_and_package(program, package_path=file, inductor_configs=options)
    compiled = torch._inductor.aoti_load_package(file)
    for size in (1, 2, 3, 8):
        expected = model(x[:size])
        found[size] = float((compiled(x[:size]) - expected).abs().max() / expected.abs().max())
print(json.dumps(found))
"""


@pytest.mark.slow
def test_a_convolution_of_one_clip_is_right_of_contiguous_channels_and_wrong_of_innermost_ones() -> None:
    outermost, innermost = (
        json.loads(run("-c", SCRIPT, word).stdout.splitlines()[-1]) for word in ("outermost", "innermost")
    )
    assert max(outermost.values()) < 1e-5
    assert max(innermost[size] for size in ("2", "3", "8")) < 1e-5
    assert innermost["1"] > 0.1, "this torch computes it rightly: embedding.py need not make it contiguous any more"
