"""`tubelet.optimise(model, backend="openvino")`: the same function.

Each check runs in a python of its own, as importing OpenVINO where pytest has replaced the standard streams ends the
process at a later test that replaces them again.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed (pip install 'tubelet[openvino]')"
)

COMMON = """
import copy, pickle
import torch
import tubelet
from tubelet.config import ModelConfig
from tubelet.model import ViViT
from tubelet.nn import record_attention

torch.set_grad_enabled(False)

def build(variant, **fields):
    sizes = dict(image_size=(16, 24), num_frames=6, tubelet_size=(2, 8, 8))
    widths = dict(hidden_size=32, num_layers=3, num_heads=4, mlp_dim=48)
    model = ViViT(ModelConfig(variant=variant, **widths, **sizes, **fields))
    for parameter in model.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval(), tubelet.optimise(model, backend="openvino")

def same(ours, plain):
    return bool((ours - plain).abs().max() <= 1e-5 * plain.abs().max())
"""


def run(script: str) -> None:
    done = subprocess.run([sys.executable, "-c", COMMON + script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_logits_of_every_variant_are_the_models_own() -> None:
    run("""
video = torch.randn(2, 6, 3, 16, 24)
before = video.clone()
for variant in ("spatio_temporal", "factorised_encoder", "factorised_self_attention", "factorised_dot_product"):
    model, fast = build(variant, num_classes={"verb": 3, "noun": 5})
    first = fast(video)
    fast(torch.randn(2, 6, 3, 16, 24))
    for head, plain in model(video).items():
        assert same(first[head], plain), (variant, head, "or the next clip has overwritten it")
    shorter = video[:1, :4, :, :8].transpose(3, 4).contiguous().transpose(3, 4)
    for head, plain in model(shorter).items():
        assert same(fast(shorter)[head], plain), (variant, head, "of another size and not contiguous")
assert torch.equal(video, before)
""")


def test_weights_of_pooling_follow_the_size_of_the_clip() -> None:
    run("""
for variant in ("factorised_encoder", "factorised_self_attention"):
    model, fast = build(variant, num_classes=5, pool="weighted")
    for frames, height, width in ((6, 16, 24), (10, 32, 16)):
        video = torch.randn(1, frames, 3, height, width)
        assert same(fast(video), model(video)), (variant, frames, height, width)
""")


def test_what_has_no_graph_is_computed_as_the_model_does() -> None:
    run("""
model, fast = build("factorised_self_attention", num_classes=5)
video, mask = torch.randn(1, 6, 3, 16, 24), torch.tensor([[True, True, True, False, False, False]])
assert same(fast(video), model(video))
assert same(fast(video, mask), model(video, mask))
assert not same(fast(video, mask), model(video))
with record_attention(fast) as weights:
    fast(video)
assert weights
merging = tubelet.merge_tokens(model, 0.3)
merged = tubelet.optimise(merging, backend="openvino")
assert same(merged(video), merging(video))
assert not same(merged(video), model(video))
for other in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
    assert same(other(video), model(video))
""")


def test_a_clip_that_does_not_fit_gets_the_models_own_error() -> None:
    run("""
model, fast = build("spatio_temporal", num_classes=5)
said = []
for one in (model, fast):
    try:
        one(torch.randn(1, 6, 3, 15, 24))
    except tubelet.ConfigError as error:
        said.append(str(error))
assert len(said) == 2 and said[0] == said[1], said
""")


def test_threads_get_the_logits_of_their_own_clips() -> None:
    """Also of a shape that is compiled in the first call of all threads at once."""
    run("""
from concurrent.futures import ThreadPoolExecutor
model, fast = build("spatio_temporal", num_classes=5)
clips = [torch.randn(1, 6, 3, 16, 24) for _ in range(8)]
expected = [model(clip) for clip in clips]
with ThreadPoolExecutor(8) as pool:
    for number, logits in enumerate(pool.map(fast, clips * 25)):
        assert same(logits, expected[number % 8]), number
""")


def test_it_follows_a_new_head_and_tells_nobody() -> None:
    run("""
import openvino_telemetry
def report(*args, **kwargs):
    raise AssertionError("telemetry")
openvino_telemetry.Telemetry.send_event = openvino_telemetry.Telemetry.start_session = report
model, fast = build("factorised_encoder", num_classes=5)
video = torch.randn(1, 6, 3, 16, 24)
assert same(fast(video), model(video))
model.reset_classifier(7)
assert same(fast(video), model(video))
model.reconfigure(layer_norm_eps=0.1)
assert same(fast(video), model(video))
""")
