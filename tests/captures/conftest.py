"""Frames of a good capture."""

from __future__ import annotations

import numpy as np
import pytest

from captures.frames import SHAPE, Frames


@pytest.fixture
def frames() -> Frames:
    rng = np.random.default_rng(0)
    dark = rng.integers(12, 35, SHAPE)
    white = rng.integers(500, 900, SHAPE)
    raw = dark + (white - dark) * rng.uniform(0.2, 0.7, SHAPE)
    return {"raw": raw.astype(np.uint16), "white": white.astype(np.uint16), "dark": dark.astype(np.uint16)}
