"""Helpers that several tests share."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import subprocess
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[1]

_PORTS = itertools.count(997 * os.getpid())  # each worker starts at a different port


def shared(*parts: str) -> Path:
    """A path in the data beside the project; skips the test where it is absent."""
    path = PROJECT.parent.joinpath("shared", *parts)
    if not path.exists():
        pytest.skip(f"needs {Path('..', 'shared', *parts)} beside the project")
    return path


def free_port() -> int:
    """A free loopback port for a server that needs a fixed one, and may be restarted on it.

    It is below the ports that the system assigns by itself (32768 and above): another test's connection could
    otherwise get it before the server starts, or while the server is down.
    """
    while True:
        port = 12_000 + next(_PORTS) % 20_000
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def little_memory(most: int = 10_000_000) -> Iterator[None]:
    """Fail if the block allocates more than `most` bytes at once."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] <= most
    finally:
        tracemalloc.stop()


def wait_until(
    holds: Callable[[], object],
    process: subprocess.Popen[Any] | None = None,
    told: Callable[[], object] = lambda: "it did not come to that",
    *,
    every: float = 0.05,
) -> None:
    """Wait until the condition holds; fail with what `told` returns after minutes, or if `process` ends before."""
    until = time.monotonic() + 180
    while not holds():
        assert process is None or process.poll() is None, (f"it ended with {process.returncode}", told())
        assert time.monotonic() < until, told()
        time.sleep(every)
