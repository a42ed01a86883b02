"""Additions to uvicorn's protocols: certificate names, timeouts for silent clients, answers to half-closed connections."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from starlette.requests import HTTPConnection
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

__all__ = ["SERVICE_RESTART", "ServedProtocol", "ServedSocket", "abort_stalled", "certificate_name"]

# Uvicorn logs the whole URL of a stream, and with it the patient; the observer logs the path alone.
_sockets = logging.getLogger("gliomap.serving.sockets")
_sockets.setLevel(logging.WARNING)

_LINGER_S = 10.0
"""How long a client that is being disconnected may leave unread what it was sent."""
_GOODBYE_S = 5.0
"""How long a client that was sent everything may take to confirm the end of its TLS connection."""
_LOOK_S = 1.0

SERVICE_RESTART = 1012


class ServedProtocol(HttpToolsProtocol):
    """One connection.

    Attributes
    ----------
    head_timeout
        Longest time for a request's headers to arrive, in seconds; a silent connection is then closed.
    """

    head_timeout: ClassVar[float] = 30.0
    _silence: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Open; the certificate's name goes into the state of every request and stream of the connection."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "certificate": _common_name(transport.get_extra_info("peercert") or {})}
        self._wait()

    def on_message_begin(self) -> None:
        """The first byte of a request has arrived."""
        super().on_message_begin()
        self._wait()

    def on_headers_complete(self) -> None:
        """The headers have arrived; the body has its own time limit."""
        self._heard()
        super().on_headers_complete()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """The client sends nothing more: answer its last request if that is complete."""
        cycle = self.cycle
        if self.scheme == "https" or cycle is None or cycle.response_complete or cycle.more_body:
            return None
        cycle.keep_alive = False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Close."""
        self._heard()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._heard()
        self._silence = self.loop.call_later(self.head_timeout, self.transport.close)

    def _heard(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None


class ServedSocket(WebSocketsSansIOProtocol):
    """One stream."""

    def __init__(self, *settings: Any, **more: Any) -> None:
        super().__init__(*settings, **more)
        self.logger = self.conn.logger = _sockets

    def keepalive_timeout(self) -> None:
        """The client has not answered pings: close, even if it never reads what was sent, which would hold a place forever."""
        super().keepalive_timeout()
        self.loop.call_later(_LINGER_S, self.transport.abort)

    def shutdown(self) -> None:
        """The service is shutting down: the stream closes itself once it has sent the map it has begun.

        A stream that is not open yet is refused, or closed as soon as it is open.
        """
        if self.close_sent:
            super().shutdown()
        else:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": SERVICE_RESTART})

    async def send(self, message: Any) -> None:
        """Send; a complete refusal ends the handshake, which uvicorn would otherwise treat as an error."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True


async def abort_stalled(connections: Collection[Any]) -> None:
    """While the service shuts down, abort connections that make no progress; runs until it is cancelled.

    A connection being closed waits for a client that does not read, and over TLS also for the client to confirm the end,
    which an idle client does not do. Either would delay the shutdown by all the time that is meant for work.
    """
    seen: dict[Any, tuple[object, int]] = {}
    while True:
        await asyncio.sleep(_LOOK_S)
        before, seen = seen, {}
        for connection in list(connections):
            if isinstance(connection, ServedProtocol):
                # It may be younger than the shutdown: a TLS handshake takes time.
                connection.shutdown()
            left, closing = connection.transport.get_write_buffer_size(), connection.transport.is_closing()
            state, looks = before.get(connection, (None, 0))
            looks = looks + 1 if state == (left, closing) else 0
            if (left or closing) and looks * _LOOK_S >= (_LINGER_S if left else _GOODBYE_S):
                connection.transport.abort()
            seen[connection] = (left, closing), looks


def certificate_name(connection: HTTPConnection) -> str | None:
    """The common name in the client certificate of a request or stream, or None."""
    name: str | None = getattr(connection.state, "certificate", None)
    return name


def _common_name(certificate: Mapping[str, Any]) -> str | None:
    """The common name in a certificate as returned by `ssl.SSLSocket.getpeercert`."""
    for part in certificate.get("subject", ()):
        for key, value in part:
            if key == "commonName":
                return str(value)[:64]
    return None
