"""Work on threads: bounded, with a deadline, so that whoever asks gets an answer in any case."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TypeVar

from gliomap.errors import RequestError

__all__ = ["Workers"]

T = TypeVar("T")


class Workers:
    """Threads that classify, and a count of all requests that are under way.

    Used from one event loop.

    Parameters
    ----------
    threads
        How many work at the same time.
    queue
        How many requests more are let in: their bodies are in memory while they wait.
    deadline
        Longest wait for one piece of work.

    Attributes
    ----------
    admitted
        Requests under way.
    waiting
        Pieces of work that wait or run.
    done
        Pieces of work that have ended since the start.
    """

    def __init__(self, threads: int, queue: int, deadline: timedelta) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="gliomap-worker")
        self._room = threads + queue
        self._deadline = deadline.total_seconds()
        self.admitted = self.waiting = self.done = 0
        self._large = asyncio.Semaphore(1)

    @asynccontextmanager
    async def place(self, *, large: bool = False) -> AsyncIterator[None]:
        """Hold a place for one request, from before its body is read until its answer is made.

        Parameters
        ----------
        large
            Its body takes many times its size while it is read: one such request at a time.

        Raises
        ------
        RequestError
            All places are taken, or the large requests before it took too long (503).
        """
        if self.admitted >= self._room:
            raise RequestError(
                "service",
                f"is busy with {self.admitted} requests, as many as it takes on",
                "Send it again after the time in Retry-After.",
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
        """Run a function on a thread and wait for it.

        Work that has begun at its deadline goes on, but nobody waits for it any more.

        Raises
        ------
        RequestError
            It was not done in time (503).
        """
        future = self._pool.submit(function)
        self.waiting += 1
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._ended))
        async with self._in_time():
            return await asyncio.wrap_future(future)

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._deadline):
                yield
        except TimeoutError as error:
            raise RequestError(
                "service",
                f"did not come to this request within {self._deadline:g} s",
                "Send it again later, with fewer clients at once or with a smaller model.",
                status=503,
                headers={"Retry-After": "2"},
            ) from error

    def _ended(self) -> None:
        self.waiting -= 1
        self.done += 1

    def close(self) -> None:
        """Wait for what runs, drop what waits."""
        self._pool.shutdown(wait=True, cancel_futures=True)
