"""Writing a traced model in each format."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sysconfig
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tubelet.errors import ConfigError
from tubelet.exported import Contract
from tubelet.exported.model import INSTALL
from tubelet.exported.sessions import without_telemetry
from tubelet.exporting.executorch import executorch_program
from tubelet.exporting.pixels import example_inputs

OPSET = 20
"""Of ONNX: the newest that most runtimes take."""

ONE_FILE = 2**31 - 2**26
"""Bytes of weights that an ONNX file can hold, with room for the graph; more go into a file of their own."""

PACKAGES = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("openvino",),
    "pt2": (),
    "executorch": ("executorch",),
}
"""What each format needs installed besides torch."""


def write_model(program: Any, contract: Contract, file: Path) -> None:
    """Write the model file, with the contract inside it.

    Args:
        program: of `trace`.
        contract: see `Contract`.
        file: to write; what does not go into it stands beside it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of compilers; what comes out is compared
        _WRITERS[contract.format](program, contract, file)


def require_packages(format: str) -> dict[str, str]:
    """Versions of what a format needs.

    Raises:
        ConfigError: the format is unknown, or something is not installed.
    """
    if format not in PACKAGES:
        raise ConfigError(f"format={format!r} is unknown; it is one of {', '.join(PACKAGES)}")
    versions = {"torch": str(torch.__version__)}
    for name in PACKAGES[format]:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError as error:
            command = "pip install 'tubelet[onnx]'" if format == "onnx" else INSTALL[format]
            raise ConfigError(f"the format {format} needs {name}, which is not installed: {command}") from error
    return versions


def _onnx(program: Any, contract: Contract, file: Path) -> None:
    with _quiet_onnx():
        made = torch.onnx.export(
            program,
            example_inputs(contract, contract.batch or 2),
            dynamo=True,
            opset_version=OPSET,
            input_names=[each["name"] for each in contract.inputs],
            output_names=[each["name"] for each in contract.outputs],
            verbose=False,
        )
    assert made is not None
    model = made.model
    model.producer_name, model.producer_version = "tubelet", contract.tubelet
    batch = str(getattr(model.graph.inputs[0].shape[0], "value", ""))
    for graph in (model.graph, *model.functions.values()):
        _strip(graph)
        _name_batch(graph, batch)
    model.metadata_props.clear()
    model.metadata_props["tubelet"] = contract.inside()
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value is not None)
    made.save(file, external_data=size > ONE_FILE)


def _strip(graph: Any) -> None:
    """Remove where in the source each operation comes from: paths of this machine."""
    graph.metadata_props.clear()
    for node in graph.all_nodes() if hasattr(graph, "all_nodes") else graph:
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*graph.inputs, *getattr(graph, "initializers", {}).values()):
        value.metadata_props.clear()


def _name_batch(graph: Any, symbol: str) -> None:
    """Call the first axis `batch`, wherever the tracer's own symbol for it stands."""
    from onnx_ir import Shape

    values = [*graph.inputs, *graph.outputs, *(value for node in graph for value in node.outputs)]
    for value in values if symbol else ():
        if value.shape is not None:
            dims = [dim if isinstance(dim, int) else str(dim.value) for dim in value.shape]
            value.shape = Shape([re.sub(rf"\b{symbol}\b", "batch", d) if isinstance(d, str) else d for d in dims])


@contextmanager
def _quiet_onnx() -> Iterator[None]:
    import logging

    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _openvino(program: Any, contract: Contract, file: Path) -> None:
    with without_telemetry():
        import openvino

        graph = openvino.convert_model(program)
    for port, each in zip(graph.inputs, contract.inputs, strict=True):
        port.get_tensor().set_names({each["name"]})
    for port, each in zip(graph.outputs, contract.outputs, strict=True):
        port.get_tensor().set_names({each["name"]})
    graph.set_rt_info(contract.inside(), "tubelet")
    openvino.save_model(graph, file, compress_to_fp16=False)


def _pt2(program: Any, contract: Contract, file: Path) -> None:
    options: dict[str, Any] = {
        "aot_inductor.metadata": {"tubelet": contract.inside()},
        "aot_inductor.enable_line_tables": False,
        "aot_inductor.precompile_headers": False,
        "layout_optimization": False,  # no convolution with channels innermost: one clip is computed wrongly then
    }
    if processor_of("pt2") == PORTABLE:
        options |= {"cpp.simdlen": 256, "cpp.march": "x86-64-v3"}
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / file.name
        torch._inductor.aoti_compile_and_package(program, package_path=str(made), inductor_configs=options)
        _without_sources(made, file)


PORTABLE = "x86-64 with AVX2"


def processor_of(format: str) -> str | None:
    """The processors that a model of a format is for, if it is not for all."""
    if format != "pt2":
        return None
    return PORTABLE if platform.machine() in ("x86_64", "AMD64") else platform.machine()


def _without_sources(made: Path, file: Path) -> None:
    """Copy a package without its C++ sources, and without the folders that compiled code names in its errors."""
    places = (sysconfig.get_paths()["purelib"], str(Path(torch.__file__).parents[1]), tempfile.gettempdir())
    with zipfile.ZipFile(made) as before, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as after:
        for entry in before.infolist():
            content = b"" if entry.filename.endswith(".cpp") else before.read(entry)
            for place in places:
                content = content.replace(place.encode() + b"/", b"_" * (len(place.encode()) + 1))
            after.writestr(entry.filename, content)


def _executorch(program: Any, contract: Contract, file: Path) -> None:
    file.write_bytes(executorch_program(program, contract.inside()))


_WRITERS: dict[str, Callable[[Any, Contract, Path], None]] = {
    "onnx": _onnx,
    "openvino": _openvino,
    "pt2": _pt2,
    "executorch": _executorch,
}
