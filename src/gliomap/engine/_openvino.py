"""Graphs under OpenVINO; imported only where that backend is asked for."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino

from gliomap.engine._backend import Inputs, Outputs, Precision, Runner, default_threads, unreadable

__all__ = ["load"]

_SPREAD = "normalise/spread_"
"""Such nodes of a frame graph multiply one channel by ones (`gliomap.learning.export`)."""


def load(content: bytes, origin: object, threads: int | None, precision: Precision) -> Runner:
    """A compiled model as a function; every calling thread has its own request."""
    core = openvino.Core()
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": default_threads() if threads is None else threads,
        "NUM_STREAMS": 1,
    }
    if precision == "f32":
        # Otherwise it takes bfloat16 or float16 where the processor has them, and labels change.
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    else:
        settings["EXECUTION_MODE_HINT"] = "PERFORMANCE"
    try:
        model = core.read_model(content)
        _broadcast_spreads(model)
        compiled = core.compile_model(model, "CPU", settings)
    except RuntimeError as error:
        raise unreadable(origin, "openvino", error) from error
    names = [node.get_any_name() for node in compiled.inputs]
    own = threading.local()

    def run(inputs: Inputs) -> Outputs:
        request = getattr(own, "request", None)
        if request is None:
            request = own.request = compiled.create_infer_request()
        for name in names:
            request.set_tensor(name, openvino.Tensor(_shareable(inputs[name]), shared_memory=True))
        request.infer()
        # Copies: the request's memory is written again by the next frame.
        return Outputs(*(np.array(request.get_tensor(name).data) for name in Outputs._fields))

    return run


def _broadcast_spreads(model: Any) -> None:
    """Take out the convolutions with ones that spread a factor over channels.

    They keep ONNX Runtime in its own layout; OpenVINO multiplies a factor with all channels by itself.
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Convolution" or _SPREAD not in node.get_friendly_name():
            continue
        kernel = node.input_value(1).get_node()
        if kernel.get_type_name() == "Constant" and (kernel.get_data() == 1).all():
            node.output(0).replace(node.input_value(0))


def _shareable(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """A view of the same memory that OpenVINO takes.

    It demands a writable array for an input that it only reads, and prepared references are read-only; copying
    them would cost more than reading them. The caller keeps `array` alive.
    """
    if array.flags.writeable:
        return array
    memory = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data)
    return np.ndarray(array.shape, array.dtype, buffer=memoryview(memory))
