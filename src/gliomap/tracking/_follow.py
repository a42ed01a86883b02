"""The mirror's process: `python -m gliomap.tracking._follow RUN`, the store in MLFLOW_TRACKING_URI.

It reads one line from stdin, the folder's final name, or the end of it, which means that the training was stopped. On
stdout it writes a line of JSON with each sign of life.
"""

from __future__ import annotations

import io
import json
import os
import select
import sys
import time
from pathlib import Path
from typing import TextIO

from gliomap.errors import RunError, TrackingError
from gliomap.tracking._store import Store, find_store
from gliomap.tracking._sync import Sender

PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds between two looks at the folder, and between two attempts to reach a store that is down."""


def main() -> None:
    """Follow the folder of the first argument until its training ends."""
    if hasattr(os, "nice"):
        os.nice(10)
    # Standard output is for our lines alone, whatever a library prints.
    listener = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    store = find_store(None)
    if store is not None:
        _Follower(store, listener).follow(Path(sys.argv[1]))


class _Follower:
    """Sends again and again, with longer pauses while nobody answers."""

    def __init__(self, store: Store, listener: TextIO) -> None:
        self._listener = listener
        self._sender = Sender(store, lambda: self._say(alive=True))
        self._pause = PAUSE
        self._down = False

    def follow(self, running: Path) -> None:
        """Until the end of stdin."""
        due = time.monotonic()
        while True:
            ready, _, _ = select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))
            if ready:
                final = sys.stdin.readline().strip()
                self._send(Path(final) if final else running, stopped=not final)
                return
            self._send(running, stopped=False)
            due = time.monotonic() + self._pause

    def _send(self, folder: Path, *, stopped: bool) -> None:
        try:
            if stopped and not folder.is_dir():
                self._sender.abandon()
            else:
                self._sender.send(folder, stopped=stopped)
        except TrackingError as error:
            self._say(down=str(error))
            self._down, self._pause = True, min(2 * self._pause, LONGEST_PAUSE)
            return
        except (RunError, FileNotFoundError):
            if folder.is_dir():
                raise
            return  # it has just got its final name, which comes next
        if self._down:
            self._say(up=True)
        self._down, self._pause = False, PAUSE

    def _say(self, **what: object) -> None:
        try:
            self._listener.write(json.dumps(what) + "\n")
            self._listener.flush()
        except BrokenPipeError:
            # Whoever started this was killed; what it left is sent all the same.
            self._listener = io.StringIO()


if __name__ == "__main__":
    main()
