"""The mirror's process: `python -m gliomap.tracking._follow RUN`, with the store in MLFLOW_TRACKING_URI.

It reads one line from stdin: the folder's final name. End of file instead means that the training was stopped. On stdout
it writes a line of JSON with each sign of life.
"""

from __future__ import annotations

import gc
import io
import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from gliomap.errors import RunError, TrackingError
from gliomap.tracking._content import settled
from gliomap.tracking._mlflow import leave_out_extras
from gliomap.tracking._store import Store, find_store
from gliomap.tracking._sync import Sender

PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds between two readings of the folder, and at most between two attempts to reach a store that is down."""


def main() -> None:
    """Follow the folder of the first argument until its training ends."""
    if hasattr(os, "nice"):
        os.nice(10)
    # Standard output is reserved for our lines, whatever a library prints.
    listener = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    store = find_store(None)
    if store is not None:
        follower = _Follower(store, listener)
        leave_out_extras(store)
        # MLflow brings some 300,000 objects, which stay. Scanning them for garbage again and again would take a fifth of
        # the time.
        gc.disable()
        follower.connect()
        gc.freeze()
        gc.enable()
        follower.follow(Path(sys.argv[1]))
    # Everything is sent and closed. Python would now destroy MLflow's objects one by one while the training waits.
    os._exit(0)


class _Follower:
    """Sends repeatedly, with longer pauses while the store does not answer."""

    def __init__(self, store: Store, listener: TextIO) -> None:
        self._listener = listener
        self._sender = Sender(store, lambda: self._say(alive=True))
        self._pause = PAUSE
        self._down = False

    def connect(self) -> None:
        """Load everything that sending needs, and open the store."""
        self._attempt(self._sender.connect)

    def follow(self, folder: Path) -> None:
        """Send until the end of stdin."""
        last: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=lambda: last.put(sys.stdin.readline().strip()), daemon=True).start()
        # A settled folder is being evaluated, for example; nothing is sent before that is done.
        self._end(folder, last.get() if settled(folder) else self._while_it_trains(folder, last))

    def _while_it_trains(self, running: Path, last: queue.SimpleQueue[str]) -> str:
        while True:
            try:
                self._attempt(lambda: self._sender.send(running))
            except (RunError, FileNotFoundError):
                # The folder has just got its final name, which arrives next; a fault in it is found then.
                self._pause = PAUSE
            try:
                return last.get(timeout=self._pause)
            except queue.Empty:
                continue

    def _end(self, running: Path, final: str) -> None:
        if final:
            self._attempt(lambda: self._sender.send(Path(final)))
        elif running.is_dir():
            self._attempt(lambda: self._sender.send(running, stopped=not settled(running)))
        else:
            self._attempt(self._sender.abandon)

    def _attempt(self, work: Callable[[], object]) -> None:
        try:
            work()
        except TrackingError as error:
            self._say(down=str(error))
            self._down, self._pause = True, min(2 * self._pause, LONGEST_PAUSE)
            return
        if self._down:
            self._say(up=True)
        self._down, self._pause = False, PAUSE

    def _say(self, **what: object) -> None:
        try:
            self._listener.write(json.dumps(what) + "\n")
            self._listener.flush()
        except BrokenPipeError:
            # The parent process was killed; what it left behind is sent all the same.
            self._listener = io.StringIO()


if __name__ == "__main__":
    main()
