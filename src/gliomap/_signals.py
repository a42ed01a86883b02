"""Signals to a service that is still loading."""

from __future__ import annotations

import os
import signal
import sys
import threading

__all__ = ["heed_while_loading"]


def heed_while_loading() -> None:
    """Let SIGTERM end the process with exit code 0, and SIGHUP wait, until the service handles them.

    The first process of a container does not receive a signal that it does not handle: SIGTERM would not reach it, and it
    would go on loading and be killed. SIGHUP would end any other process.
    """
    if threading.current_thread() is threading.main_thread():
        # At once: an import, such as that of ONNX Runtime, may swallow an exception. Nothing is answered yet, so nothing is lost.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
