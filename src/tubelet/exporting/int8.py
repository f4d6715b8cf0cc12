"""An ONNX model with matrix products of eight bits: only where that is faster, and classifies alike."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tubelet.errors import ConfigError
from tubelet.exported import Contract
from tubelet.exported.sessions import OnnxSession
from tubelet.exporting.gate import RealClips, inputs_of
from tubelet.timing import seconds_in_turn

PRODUCTS = ["MatMul", "Gemm", "Conv"]
"""Operations with weights that are quantised; attention, norms and activations stay in float32."""

ROUNDS = 9


def quantise(file: Path, contract: Contract, clips: RealClips) -> None:
    """Replace a model by its quantised form: static, weights per channel, ranges of activations from the clips.

    Args:
        file: `model.onnx`, in float32.
        contract: of it.
        clips: of which every second one is used; the gate compares all of them.

    Raises:
        ConfigError: it is not faster than float32 on this machine; or the model is too large for one file.
    """
    import onnx
    import onnxruntime
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if file.with_name(f"{file.name}.data").exists():
        raise ConfigError("int8 takes models of less than 2 GB; export this one in float32")
    onnxruntime.set_default_logger_severity(3)
    with tempfile.TemporaryDirectory() as folder:
        prepared, made = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(str(file), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(made),
            _reader(contract, clips),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=PRODUCTS,
            per_channel=True,
            reduce_range=not torch.cpu._is_vnni_supported(),  # without these units sums of products overflow 16 bits
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
        model = onnx.load(made)
        model.producer_name, model.producer_version = "tubelet", contract.tubelet
        del model.metadata_props[:]
        model.metadata_props.add(key="tubelet", value=contract.inside())
        onnx.save(model, made)
        threads = torch.get_num_threads()
        inputs = inputs_of(contract, clips, slice(0, 1))
        sessions = [OnnxSession(each, threads) for each in (file, made)]
        for session in sessions:
            session(inputs)
        whole, eight = seconds_in_turn([partial(session, inputs) for session in sessions], ROUNDS)
        if eight >= whole:
            raise ConfigError(
                f"int8 is not faster on this machine: {eight:.4g} s a clip, and float32 takes {whole:.4g} s; export "
                "without --int8"
            )
        file.write_bytes(made.read_bytes())


def _reader(contract: Contract, clips: RealClips) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._clips = self._inputs()

        def _inputs(self) -> Iterator[dict[str, Any]]:
            names = [each["name"] for each in contract.inputs]
            for number in range(0, len(clips), 2):
                yield dict(zip(names, inputs_of(contract, clips, slice(number, number + 1)), strict=True))

        def get_next(self) -> dict[str, Any] | None:
            return next(self._clips, None)

    return Reader()
