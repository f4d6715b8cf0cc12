"""Running an exported model with the runtime of its format: numpy arrays in, numpy arrays out.

Nothing here needs tubelet, nor torch but for the format pt2: these lines are also in the `run.py` of an exported model.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from pathlib import Path
from typing import Any, Protocol
from unittest import mock


class Session(Protocol):
    """An exported model, ready to compute. Threads may call it at once.

    Attributes:
        provider: what computes, as its runtime names it.
    """

    provider: str

    def __call__(self, inputs: list[Any]) -> list[Any]:
        """Logits float32 [B, K] of each head, for the inputs in the order of the contract."""
        ...


class OnnxSession:
    """A model of the format onnx, by ONNX Runtime.

    Args:
        file: the model.
        threads: that compute; 0 is as many as there are cores.
        provider: that has to compute the graph.

    Raises:
        RuntimeError: the installed ONNX Runtime does not have the provider.
    """

    def __init__(self, file: Path, threads: int = 0, provider: str = "CPUExecutionProvider") -> None:
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        there = onnxruntime.get_available_providers()
        if provider not in there:
            raise RuntimeError(f"the installed ONNX Runtime has no {provider}; it has {', '.join(there)}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(file), options, providers=[provider])
        ran = self._session.get_providers()[0]
        if ran != provider:  # ONNX Runtime goes on with another one where this one cannot start
            raise RuntimeError(f"{provider} was asked for, and ONNX Runtime computes with {ran}")
        self.provider = f"ONNX Runtime {ran}"
        self._names = [each.name for each in self._session.get_inputs()]
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)

    def __call__(self, inputs: list[Any]) -> list[Any]:
        """See `Session`."""
        return list(self._session.run(None, dict(zip(self._names, inputs, strict=True))))


class OpenVINOSession:
    """A model of the format openvino, in float32.

    Args:
        model: a file, or a graph in memory.
        threads: that compute; 0 is as many as there are cores.
    """

    def __init__(self, model: Any, threads: int = 0) -> None:
        with without_telemetry():
            import openvino

        core = openvino.Core()
        graph = core.read_model(str(model)) if isinstance(model, Path) else model
        self.metadata = _metadata_of(graph)
        self._compiled = core.compile_model(
            graph, "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        )
        self.provider = "OpenVINO " + ", ".join(self._compiled.get_property("EXECUTION_DEVICES"))
        self._own = threading.local()

    def __call__(self, inputs: list[Any]) -> list[Any]:
        """See `Session`."""
        if not hasattr(self._own, "request"):  # one for each thread: it holds the inputs and outputs of its call
            self._own.request = self._compiled.create_infer_request()
        results = self._own.request.infer(dict(enumerate(inputs)), share_inputs=True)
        return [results[number].copy() for number in range(len(self._compiled.outputs))]


def _metadata_of(graph: Any) -> dict[str, str]:
    return {"tubelet": graph.get_rt_info("tubelet").astype(str)} if graph.has_rt_info("tubelet") else {}


@contextlib.contextmanager
def without_telemetry() -> Any:
    """OpenVINO's import and converter report over the network with `openvino-telemetry` installed; not from here."""
    try:
        import openvino_telemetry  # type: ignore[import-untyped]
    except ImportError:
        yield
        return
    with mock.patch.object(openvino_telemetry, "Telemetry"):
        yield


class Pt2Session:
    """A model of the format pt2, compiled code that torch loads.

    Args:
        file: the model.
        threads: that compute; 0 is as many as there are cores.
    """

    def __init__(self, file: Path, threads: int = 0) -> None:
        import torch

        if threads:
            torch.set_num_threads(threads)
        self._torch = torch
        log = logging.getLogger("torch.export.pt2_archive._package")
        log.addFilter(_is_no_note_on_processors)
        try:
            self._model = torch._inductor.aoti_load_package(str(file))
        finally:
            log.removeFilter(_is_no_note_on_processors)
        self.metadata = dict(self._model.get_metadata())
        self.provider = f"AOTInductor {self.metadata.get('AOTI_DEVICE_KEY', 'cpu')}"

    def __call__(self, inputs: list[Any]) -> list[Any]:
        """See `Session`."""
        with self._torch.no_grad():
            return [logits.numpy() for logits in self._model(*map(self._torch.from_numpy, inputs))]


def _is_no_note_on_processors(record: logging.LogRecord) -> bool:
    """A file for AVX2 runs on processors with more than that, of which torch warns."""
    return "AOTI_CPU_ISA" not in record.getMessage()


class ExecuTorchSession:
    """A model of the format executorch, for one clip at a time.

    Args:
        file: the model.
        threads: is not used; ExecuTorch has a pool of its own.
    """

    provider = "ExecuTorch XNNPACK"

    def __init__(self, file: Path, threads: int = 0) -> None:
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of its own imports
            from executorch.runtime import Runtime

        self._torch = torch
        self._program = Runtime.get().load_program(file)  # which the method does not keep alive
        self._method = self._program.load_method("forward")
        self._lock = threading.Lock()
        (text,) = self._program.load_method("tubelet").execute([])
        self.metadata = {"tubelet": text.numpy().tobytes().decode()}

    def __call__(self, inputs: list[Any]) -> list[Any]:
        """See `Session`."""
        import numpy

        rows = []
        for number in range(len(inputs[0])):
            with self._lock:
                clip = [self._torch.from_numpy(each[number : number + 1].copy()) for each in inputs]
                rows.append([logits.numpy().copy() for logits in self._method.execute(clip)])
        return [numpy.concatenate(parts) for parts in zip(*rows, strict=True)]


SESSIONS = {
    "onnx": OnnxSession,
    "openvino": OpenVINOSession,
    "pt2": Pt2Session,
    "executorch": ExecuTorchSession,
}
"""What runs a model of each format."""

MODEL_FILES = {"onnx": "model.onnx", "openvino": "model.xml", "pt2": "model.pt2", "executorch": "model.pte"}
"""The file that each format is opened by."""
