"""What uvicorn's protocols lack: names in certificates, an end to silence, answers for clients that close their side."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from starlette.requests import HTTPConnection
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

__all__ = ["ServedProtocol", "ServedSocket", "certificate_name"]

# Uvicorn's lines about a stream hold its whole address, and with it the patient; the observer writes one without.
_sockets = logging.getLogger("gliomap.serving.sockets")
_sockets.setLevel(logging.WARNING)

_LINGER_S = 10.0


class ServedProtocol(HttpToolsProtocol):
    """One connection.

    Attributes
    ----------
    head_timeout
        Longest time for a request's headers to arrive, in seconds: a connection that says nothing is not kept for ever.
    """

    head_timeout: ClassVar[float] = 30.0
    _silence: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; what the certificate says goes into the state of every request and stream of the connection."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "certificate": _common_name(transport.get_extra_info("peercert") or {})}
        self._wait()

    def on_message_begin(self) -> None:
        """The first byte of a request is there."""
        super().on_message_begin()
        self._wait()

    def on_headers_complete(self) -> None:
        """The headers are there; the body has a limit of its own."""
        self._heard()
        super().on_headers_complete()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """The client has sent all that it will: its last request is answered if it is whole."""
        cycle = self.cycle
        if self.scheme == "https" or cycle is None or cycle.response_complete or cycle.more_body:
            return None
        cycle.keep_alive = False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
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
        """Nobody answered for long: end, also where what was sent is never read and a place would be held for ever."""
        super().keepalive_timeout()
        self.loop.call_later(_LINGER_S, self.transport.abort)

    async def send(self, message: Any) -> None:
        """Send; a refusal that is out ends the handshake, which uvicorn would take for a fault."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True


def certificate_name(connection: HTTPConnection) -> str | None:
    """The common name in the certificate that the client of a request or stream has shown."""
    name: str | None = getattr(connection.state, "certificate", None)
    return name


def _common_name(certificate: Mapping[str, Any]) -> str | None:
    """From a certificate as `ssl.SSLSocket.getpeercert` gives it."""
    for part in certificate.get("subject", ()):
        for key, value in part:
            if key == "commonName":
                return str(value)[:64]
    return None
