"""The thesis's procedure on the same frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks.machine import THREADS
from benchmarks.thesis_procedure import thesis_map
from gliomap.bundles import Bundle
from gliomap.engine import Engine
from gliomap.learning import TissueModel
from gliomap.phantom import RenderedPatient
from gliomap.preprocessing import References
from gliomap.sensors import MosaicSensor


def test_thesis_procedure(
    benchmark: Any,
    bundle: Bundle,
    model: TissueModel,
    frame: RenderedPatient,
    references: References,
    sensor: MosaicSensor,
) -> None:
    torch.set_num_threads(THREADS)
    labels = benchmark.pedantic(
        lambda: thesis_map(frame.raw, frame.white, frame.dark, sensor, model.predict_proba), rounds=2
    )
    found = Engine(bundle).classify_frame(frame.raw, references)
    # It classified saturated pixels too, and their light reaches 3 pixels far in a 7×7 window.
    near = np.zeros_like(found.mask)
    for row, column in zip(*np.nonzero(~found.mask), strict=True):
        near[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4] = True
    agreement = float((labels == found.labels)[~near].mean())
    benchmark.extra_info["agreement"] = agreement
    assert agreement > 0.9999
