"""AOTInductor's fault with a batch of one, in its smallest form: why `pt2` is compiled without a layout of its own."""

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

    def forward(self, x):  # [B, T, H, W, C]: to the convolution, channels are innermost in memory
        return self.convolution(x.movedim(-1, 1))

model, x, found = Convolution().eval(), torch.randn(8, 4, 16, 16, 6), {}
batch = torch.export.Dim("batch", min=1, max=4096)
with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
    program = torch.export.export(model, (x[:2],), dynamic_shapes=({0: batch},))
    options = {"layout_optimization": sys.argv[1] == "on"}
    file = folder + "/model.pt2"
    torch._inductor.aoti_compile_and_package(program, package_path=file, inductor_configs=options)
    compiled = torch._inductor.aoti_load_package(file)
    for size in (1, 2, 3, 8):
        expected = model(x[:size])
        found[size] = float((compiled(x[:size]) - expected).abs().max() / expected.abs().max())
print(json.dumps(found))
"""


@pytest.mark.slow
def test_a_convolution_of_one_clip_is_right_without_layout_optimisation_and_wrong_with_it() -> None:
    off, on = (json.loads(run("-c", SCRIPT, word).stdout.splitlines()[-1]) for word in ("off", "on"))
    assert max(off.values()) < 1e-5
    assert max(on[size] for size in ("2", "3", "8")) < 1e-5
    assert on["1"] > 0.1, "this torch computes it rightly: formats.py and embedding.py need not step aside any more"
