"""The files that a map is written to, wherever it was made: locally, by a service or in a cloud."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt

__all__ = ["LABELS", "MAP", "MAP_FILES", "OVERLAY", "PROBABILITIES", "RESULT", "npy_bytes"]

LABELS, PROBABILITIES, MAP, OVERLAY, RESULT = "labels.npy", "probabilities.npy", "map.png", "overlay.png", "result.json"

MAP_FILES = (LABELS, PROBABILITIES, MAP, OVERLAY, RESULT)
"""In the order in which they are written: if the last one exists, all do."""


def npy_bytes(array: npt.NDArray[np.generic]) -> bytes:
    """The content of a .npy file. When NumPy itself writes to a full disk, its error does not say that it is full."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array))
    return buffer.getvalue()
