"""Run graphs under ONNX Runtime, and frames in strips of rows where the graph leaves its rows free."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from gliomap.engine._backend import Inputs, Outputs, Runner, default_threads, unreadable
from gliomap.engine._onnxruntime_strips import InStrips
from gliomap.engine._rows import FrameRows

# The official builds report their use to Microsoft, and keep an identifier of the machine, unless
# this is set in the environment before the library loads (its Privacy.md, 'Disabling Telemetry').
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as states

__all__ = ["load"]

_NAMES = list(Outputs._fields)
_SEVERITY_ERROR = 3
_FAULTS: tuple[type[Exception], ...] = (
    states.Fail,
    states.InvalidArgument,
    states.InvalidGraph,
    states.InvalidProtobuf,
    states.NotImplemented,
    states.RuntimeException,
)


def load(content: bytes, origin: object, threads: int | None, rows: FrameRows | None) -> Runner:
    """Load a graph as a function, which several threads may call at once."""
    threads = default_threads() if threads is None else threads
    strips = () if rows is None else rows.strips(threads)
    try:
        if rows is None or not strips:
            return _Whole(_session(content, threads, {} if rows is None else rows.sizes()))
        # Strips run concurrently on one session, whose own threads help all of them.
        at_once = min(threads, len(strips))
        session = _session(content, threads - at_once + 1, rows.sizes(strips[0]))
        return InStrips(session, rows, strips, at_once, origin)
    except _FAULTS as error:
        raise unreadable(origin, "onnxruntime", error) from error


def _session(content: bytes, threads: int, sizes: Mapping[str, int]) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that keep spinning after a frame take a core from whatever receives the next one (docs/decisions.md).
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = _SEVERITY_ERROR
    for name, size in sizes.items():
        options.add_free_dimension_override_by_name(name, size)
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


class _Whole:
    """Runs a graph on its whole input at once."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __call__(self, inputs: Inputs) -> Outputs:
        labels, confidence, probabilities = self._session.run(_NAMES, dict(inputs))
        return Outputs(np.asarray(labels), np.asarray(confidence), np.asarray(probabilities))
