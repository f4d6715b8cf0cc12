"""The checks of signatures that every other test runs under."""

from __future__ import annotations

import os

import pytest
import torch

from tubelet.config import PreprocessingConfig
from tubelet.nn.embedding import hold_masked_frames
from tubelet.video import Preprocessing

pytestmark = pytest.mark.skipif(os.environ.get("TUBELET_TYPECHECK") == "0", reason="signatures are not checked")


def test_type_that_is_wrong_is_refused() -> None:
    with pytest.raises(TypeError, match="config"):
        Preprocessing("uniform")  # type: ignore[arg-type]
    Preprocessing(PreprocessingConfig())


def test_axes_of_one_name_have_one_size_within_a_call_and_another_in_the_next() -> None:
    for frames in (3, 4):
        video, mask = torch.rand(2, frames, 3, 4, 4), torch.ones(2, frames, dtype=torch.bool)
        assert torch.equal(hold_masked_frames(video, mask), video)
        with pytest.raises(TypeError, match="frame_mask"):
            hold_masked_frames(video, mask[:, 1:])
