"""The C library's memory: what requests took goes back to the system when none comes for a while."""

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


async def give_back_when_idle(workers: Workers) -> None:
    """Return what is free whenever nothing was worked on for some seconds; the next request takes it anew."""
    library = _glibc()
    seen = returned = workers.done
    while library is not None:
        await asyncio.sleep(_IDLE_S)
        if workers.done == seen != returned and not workers.admitted:
            await asyncio.to_thread(library.malloc_trim, 0)
            returned = seen
        seen = workers.done
