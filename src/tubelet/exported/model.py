"""An exported model where a `ViViT` is taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.errors import ConfigError, WeightsError
from tubelet.exported.contract import ADVICE, Contract
from tubelet.exported.parts import SPACE, TIME, PartsSession, part_file
from tubelet.exported.sessions import SESSIONS, Session
from tubelet.model import ViViT
from tubelet.nn.build import build_embedding

LEVEL_TOLERANCE = 1e-2
"""By how much a value may be off a whole level of 0 to 255, when it is put back into uint8."""

INSTALL = {
    "onnx": "pip install onnxruntime",
    "openvino": "pip install 'tubelet[openvino]'",
    "pt2": "pip install torch",
    "executorch": "pip install 'tubelet[executorch]'",
}


class ExportedViViT(ViViT):
    """An exported model, for inference on whole clips. It has no weights that torch knows of.

    Args:
        folder: that `tubelet.export` wrote.
        threads: that compute; 0 is as many as there are cores.

    Attributes:
        folder: as given.
        contract: see `Contract`.
        session: what computes; `session.provider` names it.
        parts: of a factorised encoder, what computes the vectors of tubelets, and logits of vectors; none if it was
            exported without. With them streams and clips that overlap encode each tubelet once.

    Raises:
        WeightsError: the folder is damaged.
        ConfigError: the runtime of its format is not installed.
    """

    def __init__(self, folder: str | Path, threads: int = 0) -> None:
        nn.Module.__init__(self)
        self.folder, self._threads = Path(folder), threads
        self.contract = Contract.read(self.folder)
        self.config = self.contract.model_config()
        self.preprocessing = self.contract.preprocessing_config()
        self.labels = None if self.contract.labels is None else dict(self.contract.labels)
        self.operating_points = self.contract.points()
        self.register_parameter("_place", nn.Parameter(torch.empty(0), requires_grad=False))
        self.session = open_session(self.folder, self.contract, threads)
        self.parts = tuple(
            open_session(self.folder, self.contract, threads, part=part)
            for part in (SPACE, TIME)
            if self.contract.parts
        )
        with torch.device("meta"):
            self._embedding = (build_embedding(self.config),)  # in a tuple: it has no weights here
        self.training = False

    @torch.no_grad()
    def forward(
        self, video: Float[Tensor, "B T C H W"], frame_mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B K"] | dict[str, Float[Tensor, "B _"]]:
        """As `ViViT.forward`, for clips of the size that was exported, on the CPU.

        Raises:
            ConfigError: clips of another size, pixels that are no levels from 0 to 255, or a mask that was not
                exported.
        """
        self._check_input(video, frame_mask)
        self._check_size(video)
        if frame_mask is not None and not self.contract.takes_mask:
            if not bool(frame_mask.all()):
                raise ConfigError("the exported model takes no frame_mask: its preprocessing repeats short videos")
            frame_mask = None
        inputs = [self._pixels(video) if self.contract.takes_pixels else video.float().contiguous().numpy()]
        if self.contract.takes_mask:
            whole = torch.ones(video.shape[:2], dtype=torch.bool) if frame_mask is None else frame_mask
            inputs.append(whole.contiguous().numpy())
        return self._by_head(self.session(inputs))

    @torch.no_grad()
    def encode_tubelets(self, video: Float[Tensor, "B T C H W"], place: int = 0) -> Float[Tensor, "B D"]:
        """See `ViViT.encode_tubelets`; for models that were exported with parts.

        Raises:
            ConfigError: there are no parts.
        """
        if not self.parts or place:
            self._no_part()
        pixels = self._pixels(video) if self.contract.takes_pixels else video.float().contiguous().numpy()
        (vectors,) = self.parts[0]([pixels])
        return torch.from_numpy(vectors)

    @torch.no_grad()
    def forward_times(
        self, features: Float[Tensor, "B t D"], time_mask: Bool[Tensor, "B t"] | None = None
    ) -> Float[Tensor, "B K"] | dict[str, Float[Tensor, "B _"]]:
        """See `ViViT.forward_times`; for models that were exported with parts.

        Raises:
            ConfigError: there are no parts, or a mask that was not exported.
        """
        if not self.parts:
            self._no_part()
        inputs = [features.contiguous().numpy()]
        if self.contract.takes_mask:
            whole = torch.ones(features.shape[:2], dtype=torch.bool) if time_mask is None else time_mask
            inputs.append(whole.contiguous().numpy())
        return self._by_head(self.parts[1](inputs))

    def time_mask(self, frame_mask: Bool[Tensor, "B T"]) -> Bool[Tensor, "B t"]:
        """See `ViViT.time_mask`."""
        return self._embedding[0].token_mask(frame_mask)

    def _by_head(self, logits: list[Any]) -> Tensor | dict[str, Tensor]:
        heads, outputs = self.config.num_classes, [torch.from_numpy(each) for each in logits]
        return dict(zip(heads, outputs, strict=True)) if isinstance(heads, dict) else outputs[0]

    def _check_size(self, video: Tensor) -> None:
        wanted = [self.config.num_frames, self.config.in_channels, *self.config.image_size]
        if list(video.shape[1:]) != wanted:
            raise ConfigError(
                f"expected clips [B, {', '.join(map(str, wanted))}], the size that was exported, got "
                f"{list(video.shape)}; export the model for another size with --frames and --image-size"
            )

    def _pixels(self, video: Tensor) -> Any:
        """uint8 [B, T, H, W, C] of normalised clips, exactly as they were before."""
        assert self.preprocessing is not None
        mean, std = (torch.tensor(part).view(-1, 1, 1) for part in (self.preprocessing.mean, self.preprocessing.std))
        levels = (video.float() * std + mean) * 255
        whole = levels.round()
        if bool(((levels - whole).abs() > LEVEL_TOLERANCE).any()) or whole.min() < 0 or whole.max() > 255:
            raise ConfigError(
                "expected pixels with whole levels from 0 to 255, normalised as the model's preprocessing says, which "
                "is what the exported model takes; for any other values export it with --input float"
            )
        return numpy.ascontiguousarray(whole.to(torch.uint8).permute(0, 1, 3, 4, 2).numpy())

    def train(self, mode: bool = True) -> ExportedViViT:
        """Evaluation mode alone.

        Raises:
            ConfigError: `mode` is True.
        """
        if mode:
            raise ConfigError("an exported model is for inference; train the model that it was made from")
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ExportedViViT:
        place = self._parameters["_place"]
        assert place is not None
        moved = fn(place)
        if moved.device != place.device or moved.dtype != place.dtype:
            raise ConfigError(
                f"an exported model computes in its own runtime ({self.session.provider}) and is not moved or cast; "
                "use device=cpu"
            )
        return self

    def _no_part(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ConfigError("an exported model gives logits of whole clips alone; use the model that it was made from")

    forward_pooled = forward_features = embed = encode_tokens = encode_space = encode_times = _no_part
    forward_head = pool_times = classify = reset_classifier = reconfigure = freeze = _no_part

    def __repr__(self) -> str:
        return f"ExportedViViT({str(self.folder)!r}, {self.contract.format}, {self.session.provider})"


def open_session(
    folder: Path, contract: Contract, threads: int = 0, provider: str | None = None, part: str = "model"
) -> Session:
    """What runs the model of a folder.

    Args:
        folder: of the exported model.
        contract: of it.
        threads: that compute; 0 is as many as there are cores.
        provider: of ONNX Runtime, the one for CPUs by default.
        part: the whole model, or a part of it; see `tubelet.exported.parts`.

    Raises:
        WeightsError: the model file is missing or damaged, or another one.
        ConfigError: its runtime is not installed.
    """
    file = folder / part_file(contract.format, part)
    if not file.is_file():
        raise WeightsError(f"{folder}: there is no {file.name}, which {contract.format} is loaded from; {ADVICE}")
    options: dict[str, Any] = {} if provider is None or contract.format != "onnx" else {"provider": provider}
    try:
        return SESSIONS[contract.format](file, threads, **options)
    except ImportError as error:
        raise ConfigError(
            f"{folder} needs the runtime of the format {contract.format} ({error}): {INSTALL[contract.format]}"
        ) from error
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(f"{file}: cannot be loaded ({type(error).__name__}: {reason}); {ADVICE}") from error


def open_parts(folder: Path, contract: Contract, threads: int = 0) -> PartsSession:
    """Both parts of a model, for whole clips; see `open_session`."""
    space, time = (open_session(folder, contract, threads, part=part) for part in (SPACE, TIME))
    return PartsSession(space, time, contract.model_config())


def device_for(model: ViViT, device: str | torch.device | None) -> str | torch.device | None:
    """The device to move a model to; None for an exported one where it may choose: it computes where its runtime does.

    Args:
        model: any.
        device: as a user gave it; None leaves the model where it is.
    """
    return None if isinstance(model, ExportedViViT) and device == "auto" else device


def load_exported(folder: str | Path, threads: int = 0) -> ExportedViViT:
    """An exported model as a `ViViT`; see `ExportedViViT`."""
    return ExportedViViT(folder, threads)
