"""The C library's memory: what large requests took goes back to the system."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

__all__ = ["give_back", "keep_large_apart"]

_M_MMAP_THRESHOLD = -3
_LARGE = 16 << 20


@cache
def _glibc() -> ctypes.CDLL | None:
    """The GNU C library, where this is one."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") else None


def keep_large_apart() -> None:
    """Let blocks of 16 MiB or more come from the system and return to it.

    Left to itself the GNU C library moves that limit up to the largest block it has seen, and keeps every block below it.
    Frames (4 MB) stay below: asking the system anew for each of their copies costs 13 ms of processor time a frame.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE)


def give_back() -> None:
    """Return what is free; takes milliseconds, so after large requests only."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)
