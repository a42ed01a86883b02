"""Memory of the C library: returned to the system when no request has come for a while."""

from __future__ import annotations

import asyncio
import ctypes
import sys
from functools import cache

from gliomap.serving._work import Workers

__all__ = ["give_back_when_idle", "keep_large_apart"]

_M_MMAP_THRESHOLD = -3
_LARGE = 16 << 20
_IDLE_S = 2.0


@cache
def _glibc() -> ctypes.CDLL | None:
    """The GNU C library, or None if the process runs on another."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") else None


def keep_large_apart() -> None:
    """Allocate blocks of 16 MiB or more from the system directly, so that they return to it when freed.

    By default the GNU C library raises this threshold to the largest block it has seen and keeps every smaller block.
    Frames (4 MB) stay below it: requesting each of their copies from the system costs 13 ms of processor time per frame.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE)


async def give_back_when_idle(workers: Workers) -> None:
    """Return free memory to the system after some idle seconds; the next request allocates it again."""
    library = _glibc()
    seen = returned = workers.done
    while library is not None:
        await asyncio.sleep(_IDLE_S)
        if workers.done == seen != returned and not workers.admitted:
            await asyncio.to_thread(library.malloc_trim, 0)
            returned = seen
        seen = workers.done
