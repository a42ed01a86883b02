"""Ctrl-C is Ctrl-C, whatever it broke."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Self

__all__ = ["Interruption"]


class Interruption:
    """Remember Ctrl-C while the block runs, and end the block with it.

    Large libraries swallow it where it strikes in the middle of their import, and fail later in a way of their own.
    A process that ignores Ctrl-C, as a job in the background does, goes on ignoring it.
    """

    def __init__(self) -> None:
        self._seen = self._watching = False

    def __enter__(self) -> Self:
        self._watching = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._watching:
            signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._seen = True
        signal.default_int_handler(number, frame)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watching:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._seen and isinstance(error, Exception):
            raise KeyboardInterrupt from error
