"""Run graphs under OpenVINO. Imported only when that backend is requested."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import openvino

from gliomap.engine._backend import Inputs, Outputs, Precision, Runner, default_threads, unreadable
from gliomap.engine._openvino_graph import read_whole, reshape_for_openvino
from gliomap.engine._openvino_strips import load_strips
from gliomap.engine._openvino_tensor import shared_tensor
from gliomap.engine._rows import FrameRows

__all__ = ["load"]

_CORE = openvino.Core()
"""One for the lifetime of the process. When the core loads its first graph, it gives the loading thread a signal stack, and it
frees that stack when it is destroyed. Destroyed with its engine, in another thread, it would leave the next signal to be
handled on freed memory."""


def load(content: bytes, origin: object, threads: int | None, precision: Precision, rows: FrameRows | None) -> Runner:
    """Load a graph as a function: in strips if it is the thesis's network on frames, else as a whole."""
    threads = default_threads() if threads is None else threads
    try:
        model = read_whole(_CORE, content, rows)
        # Winograd's sums are accurate enough only in float32.
        in_strips = load_strips(_CORE, model, threads) if precision == "f32" else None
        return in_strips or _load_whole(model, threads, precision)
    except RuntimeError as error:
        raise unreadable(origin, "openvino", error) from error


def _load_whole(model: Any, threads: int, precision: Precision) -> Runner:
    """One compiled model; every calling thread has its own request."""
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    if precision == "f32":
        # Otherwise OpenVINO uses bfloat16 or float16 where the processor has them, and labels change.
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    else:
        settings["EXECUTION_MODE_HINT"] = "PERFORMANCE"
    reshape_for_openvino(model)
    compiled = _CORE.compile_model(model, "CPU", settings)
    names = [node.get_any_name() for node in compiled.inputs]
    own = threading.local()

    def run(inputs: Inputs) -> Outputs:
        request = getattr(own, "request", None)
        if request is None:
            request = own.request = compiled.create_infer_request()
        for name in names:
            request.set_tensor(name, shared_tensor(inputs[name]))
        request.infer()
        # Copies: the next frame overwrites the request's memory.
        return Outputs(*(np.array(request.get_tensor(name).data) for name in Outputs._fields))

    return run
