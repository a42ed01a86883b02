"""Running a service: uvicorn with this house's settings."""

from __future__ import annotations

import logging
import signal
import socket
import ssl
from types import FrameType
from typing import Any

import uvicorn

from gliomap.errors import MachineError, UsageError
from gliomap.serving._app import create_app, hold_back_reload
from gliomap.serving._memory import keep_large_apart
from gliomap.serving._observe import set_up_logging
from gliomap.serving._protocol import ServedProtocol, ServedSocket
from gliomap.serving._service import Service
from gliomap.serving._settings import ServiceSettings

__all__ = ["run"]

logger = logging.getLogger(__name__)

GRACE_S = 30
"""How long what runs may take to end after SIGTERM; Kubernetes kills after 30 s unless told otherwise."""


def run(settings: ServiceSettings) -> None:
    """Serve until SIGTERM or Ctrl-C; what has begun is finished.

    Raises
    ------
    BundleError
        The bundle is not fit to be served.
    MachineError
        The address is taken, or not this machine's.
    UsageError
        Certificates that cannot be used.
    """
    set_up_logging(settings.log_format)
    keep_large_apart()
    hold_back_reload()
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
    """Tells the service that it ends, so that nothing new is begun and readiness says no."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; a second Ctrl-C ends at once."""
        del frame
        self._service.draining = True
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        # Uvicorn's own would raise the signal again afterwards, and an orderly end would look like a killed process.
        self.should_exit = True


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
            ws_per_message_deflate=False,  # frames are noise: deflating them costs more than it saves
            log_config=None,
            access_log=False,  # the observer writes a better one
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            timeout_keep_alive=75,
            **tls,
        )
        config.load()
        service.tls = config.ssl
    except (OSError, ssl.SSLError) as error:
        raise UsageError("certificates", f"cannot be used ({error})", "Give PEM files that belong together.") from error
    return config


def _protocol(settings: ServiceSettings) -> type[ServedProtocol]:
    """HTTP with this service's patience."""
    return type("Protocol", (ServedProtocol,), {"head_timeout": settings.body_timeout.total_seconds()})


def _listen(settings: ServiceSettings) -> socket.socket:
    """Take the address before the model is loaded: a port that is taken is told at once."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise MachineError(
            f"{settings.host}:{settings.port}", f"cannot be listened on ({error.strerror})", "Choose another --port."
        ) from error
    listening.set_inheritable(True)
    return listening
