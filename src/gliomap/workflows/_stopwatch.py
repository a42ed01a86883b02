"""Times the stages of a piece of work."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Stopwatch"]


class Stopwatch:
    """Seconds by stage; a repeated stage adds to its time."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time a block."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage] += time.perf_counter() - begun

    def __getitem__(self, stage: str) -> float:
        """Seconds so far, rounded to milliseconds; 0 for a stage that never ran."""
        return round(self._seconds.get(stage, 0.0), 3)
