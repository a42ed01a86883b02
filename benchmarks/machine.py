"""The machine: what it is, and the fastest it could be."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

__all__ = ["FRAME_FLOP", "PAUSE_S", "THREADS", "describe", "limit_block"]

THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

FRAME_FLOP = 2.1e9
"""For one frame: 217·409 pixels · 2 · (25·25 correction + 25·16·4 + 16·64·9 + 64·5 network)."""

PAUSE_S = 0.08
"""Pause between blocks: OpenBLAS and ONNX Runtime spin for a while after their work and would slow each other down."""

_SIDE = 1024
_LEFT, _RIGHT = (np.random.default_rng(seed).random((_SIDE, _SIDE), np.float32) for seed in (0, 1))
_PRODUCT = np.empty_like(_LEFT)


def limit_block(rounds: int = 5) -> list[float]:
    """Measure `rounds` times how many seconds a frame would take at the rate of a 1024³ float32 matrix product."""
    times = []
    with threadpool_limits(THREADS, user_api="blas"):
        time.sleep(PAUSE_S)
        np.matmul(_LEFT, _RIGHT, out=_PRODUCT)
        for _ in range(rounds):
            start = time.perf_counter()
            np.matmul(_LEFT, _RIGHT, out=_PRODUCT)
            times.append((time.perf_counter() - start) * FRAME_FLOP / (2 * _SIDE**3))
    time.sleep(PAUSE_S)
    return times


def describe() -> str:
    """One line: processor, threads, versions."""
    blas = ", ".join(
        f"{one['internal_api']} {one['version']} ({one.get('architecture', '?')})"
        for one in threadpool_info()
        if one["user_api"] == "blas" and "numpy" in str(one["filepath"])
    )
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "onnxruntime", "openvino", "torch"))
    return (
        f"{_processor()}, {THREADS} threads; {platform.system()}, Python {platform.python_version()}, "
        f"{packages}; NumPy on {blas}"
    )


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    flags = told.get("flags", "").split()
    widest = next((one for one in ("avx512f", "avx2") if one in flags), "")
    # A name such as 'AMD EPYC' stands for several generations.
    generation = f"(family {told['cpu family']}, model {told['model']})" if "cpu family" in told else ""
    return " ".join(filter(None, (told.get("model name", platform.machine()), generation, widest)))
