"""The application: routes, error handlers, documentation, startup and shutdown."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from gliomap import __version__
from gliomap.rendering import DISCLAIMER
from gliomap.serving import _examples, _inference_protocol, _routes, _stream, _thesis
from gliomap.serving._memory import give_back_when_idle
from gliomap.serving._observe import Observer
from gliomap.serving._problems import install_handlers
from gliomap.serving._renewal import renew
from gliomap.serving._service import Service
from gliomap.serving._tracing import trace

__all__ = ["create_app"]

logger = logging.getLogger(__name__)

_DESCRIPTION = f"""Tissue maps of the exposed brain from snapshot hyperspectral frames.

**{DISCLAIMER}.** A map marks what spectra resemble; it never says 'no tumour'.

Errors are problem details (RFC 9457) that say what is wrong and what to do about it. Frames can also be streamed over the
WebSocket `/v1/stream?references=ID`: each binary message is a frame, each reply a uint32 length, a JSON head of that length
and the map.
"""


def create_app(service: Service) -> FastAPI:
    """Create the ASGI application of a service."""
    # An operating theatre has no internet: the documentation page is served from files of this installation.
    app = FastAPIOffline(
        title="GlioMap",
        version=__version__,
        description=_DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        redoc_url=None,
        static_url="/docs/assets",
        lifespan=_lifespan,
    )
    app.state.service = service
    install_handlers(app)
    for module in (_routes, _stream, _thesis, _inference_protocol, _examples):
        app.include_router(module.router)
    app.add_middleware(Observer, service=service)
    app.state.end_traces = trace(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    loop = asyncio.get_running_loop()
    reloading: set[asyncio.Task[None]] = set()

    def reload() -> None:
        if service.draining:
            return
        task = asyncio.create_task(renew(service))
        reloading.add(task)
        task.add_done_callback(reloading.discard)

    try:
        # Not a handler of the event loop: it disappears with the loop, and SIGHUP would then kill the process.
        signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(reload))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        handled = True
    except (ValueError, AttributeError):
        handled = False
        logger.debug("SIGHUP is not available here: the model can only be replaced with PUT /v1/model")
    resting = asyncio.create_task(give_back_when_idle(service.workers))
    try:
        yield
    finally:
        resting.cancel()
        if handled:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        await asyncio.to_thread(service.close)
        await asyncio.to_thread(app.state.end_traces)
