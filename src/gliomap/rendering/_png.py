"""Write a picture completely or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gliomap._files import atomic_file
from gliomap.errors import UsageError
from gliomap.rendering._paint import Picture

__all__ = ["save_png"]


def save_png(picture: Picture, path: Path) -> None:
    """Write a picture as PNG, atomically; the same picture always yields the same bytes.

    Parameters
    ----------
    picture
        (H, W, 3) RGB or (H, W, 4) RGBA, uint8.
    path
        An existing file is replaced.

    Raises
    ------
    UsageError
        The array has another shape or type.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (3, 4) or 0 in picture.shape:
        raise UsageError(path, f"cannot hold an array {picture.dtype} {picture.shape}", "Give uint8 (H, W, 3).")
    with atomic_file(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")
