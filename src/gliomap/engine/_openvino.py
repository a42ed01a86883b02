"""Graphs under OpenVINO; imported only where that backend is asked for."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino

from gliomap.engine._backend import Inputs, Outputs, Precision, Runner, default_threads, unreadable
from gliomap.engine._openvino_graph import reshape_for_openvino

__all__ = ["load"]


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
        reshape_for_openvino(model)
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


def _shareable(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """A view of the same memory that OpenVINO takes.

    It demands a writable array for an input that it only reads, and prepared references are read-only; copying
    them would cost more than reading them. The caller keeps `array` alive.
    """
    if array.flags.writeable:
        return array
    memory = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data)
    return np.ndarray(array.shape, array.dtype, buffer=memoryview(memory))
