"""Arrays as TIFF files: their numbers, and nothing about who made them where."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt

__all__ = ["tiff_bytes"]


def tiff_bytes(array: npt.NDArray[np.generic]) -> bytes:
    """A greyscale TIFF file."""
    from tifffile import imwrite

    buffer = io.BytesIO()
    imwrite(buffer, array, photometric="minisblack", metadata=None, software="GlioMap")
    return buffer.getvalue()
