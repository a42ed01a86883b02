"""The connection of a stream for synchronous programs: a dedicated thread handles it, whichever thread calls."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import AsyncExitStack
from threading import Thread, current_thread
from types import TracebackType
from typing import Any, Self, TypeVar

from websockets.asyncio.client import ClientConnection

from gliomap.serving._exchange import binary, open_stream

__all__ = ["WaitingSocket"]

T = TypeVar("T")


class WaitingSocket:
    """An open stream with its own event loop. Use it as a context manager.

    If one thread read while another wrote, a TLS connection would break, rarely and silently. Any thread may exit the
    context, even the stream's own: the garbage collector may run there and close a stream that a program left half read.

    Parameters
    ----------
    url, key, verify
        As in `open_stream`.
    """

    _socket: ClientConnection

    def __init__(self, url: str, key: str | None, verify: ssl.SSLContext | bool) -> None:
        self._asked = url, key, verify
        self._running: Future[asyncio.AbstractEventLoop] = Future()
        self._over = asyncio.Event()
        self._open = AsyncExitStack()
        # The thread holds a reference to this object, so that it is not collected before it is closed.
        self._thread = Thread(target=lambda: asyncio.run(self._run()), name="gliomap-stream", daemon=True)

    def __enter__(self) -> Self:
        """Open the stream; raises as `open_stream` does."""
        self._thread.start()
        try:
            self._socket = self._wait_for(self._opened())
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def send(self, message: bytes | memoryview) -> None:
        """Send a message."""
        self._wait_for(self._socket.send(message))

    def receive(self) -> bytes:
        """Wait for a message."""
        return binary(self._wait_for(self._socket.recv()))

    async def _run(self) -> None:
        async with self._open:
            self._running.set_result(asyncio.get_running_loop())
            await self._over.wait()

    async def _opened(self) -> ClientConnection:
        return await self._open.enter_async_context(await open_stream(*self._asked))

    def _wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._running.result()).result()

    def _leave(self) -> None:
        self._running.result().call_soon_threadsafe(self._over.set)
        if current_thread() is not self._thread:
            self._thread.join()
