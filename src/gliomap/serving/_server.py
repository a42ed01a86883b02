"""Run a service: uvicorn with the settings of GlioMap."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
from types import FrameType
from typing import Any

import uvicorn

from gliomap._signals import heed_while_loading
from gliomap.errors import MachineError, UsageError
from gliomap.serving._app import create_app
from gliomap.serving._memory import keep_large_apart
from gliomap.serving._observe import set_up_logging
from gliomap.serving._protocol import ServedProtocol, ServedSocket, abort_stalled
from gliomap.serving._service import Service
from gliomap.serving._settings import ServiceSettings

__all__ = ["run"]

logger = logging.getLogger(__name__)

GRACE_S = 30
"""Time for requests in progress to finish after SIGTERM; by default, Kubernetes kills after 30 s."""


def run(settings: ServiceSettings) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in progress are finished.

    Raises
    ------
    BundleError
        The bundle cannot be served.
    MachineError
        The address is taken or does not belong to this machine.
    UsageError
        The certificates cannot be used.
    """
    set_up_logging(settings.log_format)
    keep_large_apart()
    heed_while_loading()
    listening = _listen(settings)
    try:
        service = Service(settings)
        server = _Server(_config(settings, service), service)
        scheme = "http" if settings.tls is None else "https"
        host, port = listening.getsockname()[:2]
        logger.info(
            "listening on %s://%s:%d (docs: /docs). Research software - not a medical device", scheme, host, port
        )
        server.run(sockets=[listening])
    finally:
        listening.close()


class _Server(uvicorn.Server):
    """Tells the service that it is shutting down, so that it starts nothing new and is no longer ready."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the shutdown; a second Ctrl-C ends at once."""
        del frame
        self._service.draining = True
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        # Uvicorn's own handler would raise the signal again afterwards: an orderly end would look like a killed process.
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what has begun, without waiting for clients that do not read or close."""
        stalled = asyncio.create_task(abort_stalled(self.server_state.connections))
        await super().shutdown(sockets)
        stalled.cancel()
        if self.force_exit and not self.lifespan.shutdown_event.is_set():
            # After a second Ctrl-C, uvicorn does not shut the application down, which is then logged as an error.
            await self.lifespan.shutdown()


def _config(settings: ServiceSettings, service: Service) -> uvicorn.Config:
    tls: dict[str, Any] = {}
    if settings.tls is not None:
        tls = {"ssl_certfile": settings.tls.certificate, "ssl_keyfile": settings.tls.key}
        if settings.tls.client_authority is not None:
            tls |= {"ssl_ca_certs": str(settings.tls.client_authority), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    try:
        config = uvicorn.Config(
            create_app(service),
            loop="uvloop",
            http=_protocol(settings),
            ws=ServedSocket,
            ws_max_size=settings.max_body,
            ws_max_queue=2,
            ws_per_message_deflate=False,  # frames barely compress: deflating costs more than it saves
            log_config=None,
            access_log=False,  # the observer writes one
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            timeout_keep_alive=75,
            **tls,
        )
        config.load()
        service.tls = config.ssl
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            "certificates", f"cannot be used ({error})", "Give PEM files of a matching certificate and key."
        ) from error
    return config


def _protocol(settings: ServiceSettings) -> type[ServedProtocol]:
    """The HTTP protocol class with this service's timeout."""
    return type("Protocol", (ServedProtocol,), {"head_timeout": settings.body_timeout.total_seconds()})


def _listen(settings: ServiceSettings) -> socket.socket:
    """Bind the address before the model is loaded, so that a taken port is reported at once."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise MachineError(
            f"{settings.host}:{settings.port}",
            f"cannot listen on this address ({error.strerror})",
            "Choose another --port.",
        ) from error
    listening.set_inheritable(True)
    return listening
