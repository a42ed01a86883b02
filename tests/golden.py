"""Frames made by a formula, for which ../shared/data/golden holds what the thesis's code computed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

UInt16 = npt.NDArray[np.uint16]


def formula_frames(height: int = 1088, width: int = 2048) -> tuple[UInt16, UInt16, UInt16]:
    """Raw, white and dark frames as ../shared/data/golden/README.md defines them, with k = 0."""
    y, x = np.mgrid[:height, :width].astype(np.int64)
    m = (y % 5) * 5 + x % 5
    dark = 12 + (x * 7 + y * 13) % 23
    white = 430 + (x * x + 3 * y * y) % 311 + m * 7
    frac = ((x // 5) * 31 + (y // 5) * 17 + m * m * 7 + ((x // 40) * (y // 40)) * 11) % 1000
    raw = dark + ((white - dark) * (60 + frac * 85 // 100)) // 1000
    return raw.astype(np.uint16), white.astype(np.uint16), dark.astype(np.uint16)
