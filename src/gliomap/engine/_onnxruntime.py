"""Graphs under ONNX Runtime."""

from __future__ import annotations

import os

import numpy as np

from gliomap.engine._backend import Inputs, Outputs, Runner, default_threads, unreadable

# The official builds report their use to Microsoft, and keep an identifier of the machine, unless
# this stands in the environment before the library loads (its Privacy.md, 'Disabling Telemetry').
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


def load(content: bytes, origin: object, threads: int | None) -> Runner:
    """A session as a function; sessions may be run from several threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = default_threads() if threads is None else threads
    options.inter_op_num_threads = 1
    # Threads that spin on after a frame take a processor from whoever receives the next one (docs/decisions.md).
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = _SEVERITY_ERROR
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except _FAULTS as error:
        raise unreadable(origin, "onnxruntime", error) from error

    def run(inputs: Inputs) -> Outputs:
        labels, confidence, probabilities = session.run(_NAMES, dict(inputs))
        return Outputs(np.asarray(labels), np.asarray(confidence), np.asarray(probabilities))

    return run
