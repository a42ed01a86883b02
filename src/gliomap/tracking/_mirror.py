"""While a run is trained or tested, a separate process keeps MLflow in step with its folder.

The work never waits for a server: it writes only the run folder, which the mirror reads. Only at the end does it give the
mirror some seconds to finish. `gliomap runs sync` later sends what is then still missing.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from gliomap._secrets import without_secrets
from gliomap.tracking._mlflow import LATER
from gliomap.tracking._store import Store

__all__ = ["Mirror", "mirrored"]

logger = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds without a sign of life after which the mirror is killed."""


class Mirror:
    """The interface between the work and its mirror; this class mirrors nothing."""

    def finish(self, folder: Path) -> None:
        """The run folder is complete, under its final name."""


class _Process(Mirror):
    """A mirror in a process."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._store = store
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 — closed by `end`
        environment = {**os.environ, "MLFLOW_TRACKING_URI": store.uri, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        # In its own session: Ctrl-C goes to the training only, which then tells the mirror how it ended.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gliomap.tracking._follow", str(folder.absolute())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            start_new_session=True,
        )
        self._heard = time.monotonic()
        self._complained = False
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def finish(self, folder: Path) -> None:
        try:
            if self._process.stdin is not None:
                self._process.stdin.write(f"{folder.absolute()}\n".encode())
                self._process.stdin.flush()
        except BrokenPipeError:
            logger.debug("the mirror has already ended")

    def end(self) -> None:
        """Close the mirror's input, and wait while it keeps sending."""
        self._heard = time.monotonic()
        if self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                logger.debug("the mirror has already ended")
        # The listener ends with the process, because that closes its output.
        while self._listener.is_alive():
            self._listener.join(max(0.0, self._heard + PATIENCE - time.monotonic()))
            if self._listener.is_alive() and time.monotonic() - self._heard >= PATIENCE:
                self._process.kill()
                self._complain(f"tracking store {self._store.name} takes too long to answer; {LATER}")
                self._listener.join()
        code = self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        if code > 0:
            self._errors.seek(0)
            last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
            self._complain(f"the mirror in MLflow ended early ({without_secrets(''.join(last))}); {LATER}")
        self._errors.close()

    def _listen(self) -> None:
        """Read the mirror's lines: signs of life, and problems, which are reported once."""
        for line in self._process.stdout or ():
            self._heard = time.monotonic()
            said = json.loads(line)
            if "down" in said:
                self._complain(said["down"])
            elif "up" in said:
                logger.info("tracking store %s answers again", self._store.name)

    def _complain(self, text: str) -> None:
        if not self._complained:
            self._complained = True
            logger.warning(text)


@contextmanager
def mirrored(folder: Path, store: Store | None) -> Iterator[Mirror]:
    """Mirror a run folder during a block; without a store nothing is mirrored.

    The block calls `finish(final)` when the folder is complete. If it ends without that call, it was stopped.
    """
    if store is None:
        yield Mirror()
        return
    mirror = _Process(folder, store)
    try:
        yield mirror
    finally:
        mirror.end()
