"""Work on threads, bounded and with a deadline, so that every caller gets an answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import TypeVar

from gliomap._text import counted
from gliomap.errors import RequestError

__all__ = ["GivenUpError", "Workers", "require_awaited"]

T = TypeVar("T")

_given_up: ContextVar[threading.Event | None] = ContextVar("given_up", default=None)
"""Set once nobody waits for this thread's work any more; None outside such work."""


class GivenUpError(Exception):
    """Nobody waits for this work any more, so nobody sees this error: the caller was answered 503."""


def require_awaited() -> None:
    """Abort this thread's work if nobody waits for it any more; called before effects that must not go unseen.

    Raises
    ------
    GivenUpError
        The deadline has passed, or the waiting task was cancelled.
    """
    given_up = _given_up.get()
    if given_up is not None and given_up.is_set():
        raise GivenUpError


class Workers:
    """Threads that classify, and a count of all requests in progress.

    Use it from a single event loop.

    Parameters
    ----------
    threads
        Number of threads that work at the same time.
    queue
        Number of further requests admitted; their bodies are in memory while they wait.
    deadline
        Longest wait for one work item.

    Attributes
    ----------
    admitted
        Requests in progress.
    waiting
        Work items that wait or run.
    done
        Work items that have ended since the start.
    """

    def __init__(self, threads: int, queue: int, deadline: timedelta) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="gliomap-worker")
        self._room = threads + queue
        self._deadline = deadline.total_seconds()
        self.admitted = self.waiting = self.done = 0
        self._large = asyncio.Semaphore(1)

    @asynccontextmanager
    async def place(self, *, large: bool = False) -> AsyncIterator[None]:
        """Hold a place for one request, from before its body is read until its answer is complete.

        Parameters
        ----------
        large
            Whether its body takes many times its size in memory: such requests run one at a time.

        Raises
        ------
        RequestError
            All places are taken, or the large requests before it took too long (503).
        """
        if self.admitted >= self._room:
            raise RequestError(
                "service",
                f"is busy with {counted(self.admitted, 'request')}, the maximum",
                "Send the request again after the time in Retry-After.",
                status=503,
                headers={"Retry-After": "1"},
            )
        self.admitted += 1
        try:
            if large:
                async with self._in_time():
                    await self._large.acquire()
            try:
                yield
            finally:
                if large:
                    self._large.release()
        finally:
            self.admitted -= 1

    async def run(self, function: Callable[[], T]) -> T:
        """Run a function on a thread and wait for its result.

        Work that is running at the deadline goes on, but nobody waits for it any more: `require_awaited` aborts it.

        Raises
        ------
        RequestError
            The work did not finish in time (503).
        """
        given_up = threading.Event()
        future = self._pool.submit(_told, function, given_up)
        self.waiting += 1
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._ended))
        async with self._in_time():
            try:
                return await asyncio.wrap_future(future)
            finally:
                given_up.set()  # no effect on work that is done

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._deadline):
                yield
        except TimeoutError as error:
            raise RequestError(
                "service",
                f"did not finish this request within {self._deadline:g} s",
                "Send it again later, with fewer clients at once or with a smaller model.",
                status=503,
                headers={"Retry-After": "2"},
            ) from error

    def _ended(self) -> None:
        self.waiting -= 1
        self.done += 1

    def close(self) -> None:
        """Wait for running work and drop waiting work."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _told(function: Callable[[], T], given_up: threading.Event) -> T:
    """Run a function so that it can find out whether anybody still waits for it."""
    before = _given_up.set(given_up)
    try:
        return function()
    finally:
        _given_up.reset(before)
