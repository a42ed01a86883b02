"""The thesis's procedure and the engines on the same frame, in turn: the speed of a shared machine changes by the minute."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import numpy as np
import torch

from benchmarks.machine import PAUSE_S, THREADS
from benchmarks.thesis_procedure import thesis_map
from gliomap.bundles import Bundle
from gliomap.engine import BackendName, Engine
from gliomap.learning import TissueModel
from gliomap.phantom import RenderedPatient
from gliomap.preprocessing import References
from gliomap.sensors import MosaicSensor

ROUNDS, WARM, BLOCK = 4, 10, 40
"""Rounds of the procedure; frames of each engine before each round: those that do not count, then those that do."""
BACKENDS: tuple[BackendName, ...] = ("onnxruntime", "openvino")


def test_thesis_procedure(
    benchmark: Any,
    bundle: Bundle,
    model: TissueModel,
    frame: RenderedPatient,
    references: References,
    sensor: MosaicSensor,
) -> None:
    torch.set_num_threads(THREADS)
    engines = {name: Engine(bundle, backend=name, threads=THREADS) for name in BACKENDS}
    seconds: dict[str, list[float]] = defaultdict(list)

    def frames() -> None:
        for name, engine in engines.items():
            time.sleep(PAUSE_S)
            found = [engine.classify_frame(frame.raw, references).timings["total"] for _ in range(WARM + BLOCK)]
            seconds[name] += found[WARM:]
        time.sleep(PAUSE_S)

    labels = benchmark.pedantic(
        lambda: thesis_map(frame.raw, frame.white, frame.dark, sensor, model.predict_proba),
        setup=frames,
        rounds=ROUNDS,
    )
    benchmark.extra_info["frame_s"] = {name: float(np.median(found)) for name, found in seconds.items()}
    found = engines["onnxruntime"].classify_frame(frame.raw, references)
    # The procedure classified saturated pixels too, and in a 7×7 window these affect pixels up to 3 away.
    near = np.zeros_like(found.mask)
    for row, column in zip(*np.nonzero(~found.mask), strict=True):
        near[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4] = True
    agreement = float((labels == found.labels)[~near].mean())
    benchmark.extra_info["agreement"] = agreement
    assert agreement > 0.9999
