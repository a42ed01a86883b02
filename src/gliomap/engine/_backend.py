"""Backends that run a graph: ONNX Runtime, or OpenVINO where it is installed."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np
import numpy.typing as npt

from gliomap.engine._rows import FrameRows
from gliomap.errors import BundleError, MissingExtraError, UsageError

__all__ = ["BACKENDS", "PRECISIONS", "BackendName", "Outputs", "Precision", "Runner", "backend_version", "load_graph"]

BackendName = Literal["onnxruntime", "openvino"]
Precision = Literal["f32", "reduced"]
BACKENDS: tuple[str, ...] = get_args(BackendName)
PRECISIONS: tuple[str, ...] = get_args(Precision)

Inputs = Mapping[str, npt.NDArray[np.generic]]


class Outputs(NamedTuple):
    """The outputs of a graph; the caller owns the arrays.

    `labels` (H, W) uint8 1…C, `confidence` (H, W) float32, `probabilities` (C, H, W) float32.
    """

    labels: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]


class Runner(Protocol):
    """One loaded graph; may be called from several threads at once."""

    def __call__(self, inputs: Inputs) -> Outputs:
        """Run the graph on arrays of exactly the types and shapes that the manifest names."""
        ...


def load_graph(
    content: bytes,
    origin: object,
    backend: BackendName,
    threads: int | None,
    precision: Precision,
    rows: FrameRows | None = None,
) -> Runner:
    """Load a graph.

    Parameters
    ----------
    content
        Serialised ONNX model, already verified.
    origin
        Name of the graph in errors.
    backend, precision
        'reduced' lets OpenVINO compute in less than float32 where the processor supports it.
    threads
        None uses one per core.
    rows
        The rows of a frame graph that leaves them free.

    Raises
    ------
    UsageError
        An unknown backend or precision, 'reduced' with ONNX Runtime, or fewer than one thread.
    MissingExtraError
        OpenVINO is not installed.
    BundleError
        The backend cannot load the graph.
    """
    _check(backend, threads, precision)
    if backend == "openvino":
        if find_spec("openvino") is None:
            raise MissingExtraError("backend 'openvino'", "openvino")
        openvino = importlib.import_module("gliomap.engine._openvino")
        runner: Runner = openvino.load(content, origin, threads, precision, rows)
        return runner
    from gliomap.engine._onnxruntime import load

    return load(content, origin, threads, rows)


def backend_version(backend: BackendName) -> str:
    """Version of the installed backend."""
    from importlib.metadata import version

    return version(backend)


def default_threads() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def unreadable(origin: object, backend: str, error: Exception) -> BundleError:
    """The error for a graph that the backend refused."""
    # OpenVINO's message begins with the places in its own source that the error passed through.
    told = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Exception from ")]
    return BundleError(
        origin,
        f"cannot be loaded by {backend} ({told[0][:200] if told else type(error).__name__})",
        "Export the bundle again with this version of GlioMap, or try another backend.",
    )


def _check(backend: str, threads: int | None, precision: str) -> None:
    if backend not in BACKENDS:
        raise UsageError(f"backend {backend!r}", "is not known", f"Choose one of: {', '.join(BACKENDS)}.")
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r}", "is not known", f"Choose one of: {', '.join(PRECISIONS)}.")
    if precision == "reduced" and backend != "openvino":
        raise UsageError(
            "precision 'reduced'",
            f"is not available with {backend}",
            "Add --backend openvino, or leave out --reduced-precision.",
        )
    if threads is not None and threads < 1:
        raise UsageError("threads", f"is {threads}", "Give 1 or more.")
