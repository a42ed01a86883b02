"""Graphs under ONNX Runtime: frames in a strip of rows per thread, where the graph lets rows be free.

A thread that takes a strip from the raw frame to the map waits for no other, and reads what lies in its own core's
caches. Threads that share each operation wait for the slower one some thirty times a frame, and read what the other
core has written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import numpy.typing as npt

from gliomap.engine._backend import Inputs, Outputs, Runner, default_threads, unreadable
from gliomap.engine._rows import FrameRows, Strip

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


def load(content: bytes, origin: object, threads: int | None, rows: FrameRows | None) -> Runner:
    """A session as a function; sessions may be run from several threads."""
    threads = default_threads() if threads is None else threads
    strips = () if rows is None else rows.strips(threads)
    try:
        if rows is None or len(strips) < 2:
            return _Whole(_session(content, threads, {} if rows is None else rows.sizes()))
        sizes = rows.sizes(strips[0].last - strips[0].first)
        return _InStrips(_session(content, threads // len(strips), sizes), rows, strips)
    except _FAULTS as error:
        raise unreadable(origin, "onnxruntime", error) from error


def _session(content: bytes, threads: int, sizes: Mapping[str, int]) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin on after a frame take a processor from whoever receives the next one (docs/decisions.md).
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = _SEVERITY_ERROR
    for name, size in sizes.items():
        options.add_free_dimension_override_by_name(name, size)
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


class _Whole:
    """A graph on all that it is given."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __call__(self, inputs: Inputs) -> Outputs:
        labels, confidence, probabilities = self._session.run(_NAMES, dict(inputs))
        return Outputs(np.asarray(labels), np.asarray(confidence), np.asarray(probabilities))


class _InStrips:
    """A frame graph on strips of one height, all at once: the first on the calling thread."""

    def __init__(self, session: Any, rows: FrameRows, strips: tuple[Strip, ...]) -> None:
        self._session, self._rows, self._strips = session, rows, strips
        self._classes = session.get_outputs()[-1].shape[0]
        self._helpers = ThreadPoolExecutor(len(strips) - 1, "gliomap-strip")
        self._scale: tuple[Any, list[npt.NDArray[np.generic]]] = (None, [])

    def __call__(self, inputs: Inputs) -> Outputs:
        shape = self._rows.cube, inputs["scale"].shape[-1]
        outputs = Outputs(
            np.empty(shape, np.uint8), np.empty(shape, np.float32), np.empty((self._classes, *shape), np.float32)
        )
        work = list(zip(self._strips, self._scales(inputs["scale"]), strict=True))
        others = [self._helpers.submit(self._classify, inputs, *one, outputs) for one in work[1:]]
        try:
            self._classify(inputs, *work[0], outputs)
        finally:
            # After an interrupt as well: the others read the caller's arrays.
            wait(others)
        for one in others:
            one.result()
        return outputs

    def _classify(self, inputs: Inputs, strip: Strip, scale: npt.NDArray[np.generic], outputs: Outputs) -> None:
        rows = self._rows.of_frame(strip)
        given = {name: inputs[name][rows] for name in ("raw", "dark", "gain")}
        labels, confidence, probabilities = self._session.run(_NAMES, {**given, "scale": scale})
        here = slice(strip.taken_first, strip.taken_last)
        there = slice(strip.taken_first - strip.first, strip.taken_last - strip.first)
        outputs.labels[here] = labels[there]
        outputs.confidence[here] = confidence[there]
        outputs.probabilities[:, here] = probabilities[:, there]

    def _scales(self, scale: npt.NDArray[np.generic]) -> list[npt.NDArray[np.generic]]:
        """Rows of (bands, h, w) are not contiguous: copied, once for all frames of the same references."""
        known, parts = self._scale
        if known is not scale:
            parts = [np.ascontiguousarray(scale[:, strip.first : strip.last]) for strip in self._strips]
            self._scale = scale, parts
        return parts
