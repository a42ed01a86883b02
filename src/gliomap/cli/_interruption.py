"""Ctrl-C always ends a command as an interruption, whatever error it causes on the way."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Self

__all__ = ["Interruption"]

_IMPORT = "<frozen importlib._bootstrap>"
_SOON_S = 0.05
_CLEAN_UP_S = 5.0
"""Time for which Ctrl-C has no effect after it has interrupted the work: impatient users press it again."""


class Interruption:
    """Remember Ctrl-C while the block runs, and end the block with it.

    Ctrl-C during an import waits until the import is over: large libraries swallow it there and fail later in other ways,
    and in C++ code it ends the whole process. Another Ctrl-C within seconds is ignored: it would interrupt the removal of what
    is unfinished. A process that ignores Ctrl-C, such as a background job, keeps ignoring it.
    """

    def __init__(self) -> None:
        self._seen = self._watching = False
        self._raised_at = -math.inf
        self._later: threading.Timer | None = None

    def __enter__(self) -> Self:
        self._watching = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._watching:
            signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._seen = True
        if _importing(frame):
            self._later = threading.Timer(_SOON_S, _send, [number])
            self._later.daemon = True
            self._later.start()
        elif time.monotonic() - self._raised_at > _CLEAN_UP_S:
            self._raised_at = time.monotonic()
            signal.default_int_handler(number, frame)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._later is not None:
            self._later.cancel()
        if self._watching:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._seen and isinstance(error, Exception):
            raise KeyboardInterrupt from error


def _importing(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename != _IMPORT:
        frame = frame.f_back
    return frame is not None


def _send(number: int) -> None:
    """Send the signal again, so that it also ends a call in which the main thread is waiting."""
    main = threading.main_thread().ident
    if sys.platform == "win32" or main is None:
        signal.raise_signal(number)
    else:
        signal.pthread_kill(main, number)
