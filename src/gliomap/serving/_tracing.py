"""OpenTelemetry, if it is installed and a destination for its traces is set."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import FastAPI

from gliomap.errors import UsageError

__all__ = ["trace"]

logger = logging.getLogger(__name__)

VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
_LAST_S = 2.0
"""How long the end of a service waits for the collector to take the last traces."""


def trace(app: FastAPI) -> Callable[[], None]:
    """Trace requests if OTEL_EXPORTER_OTLP_ENDPOINT is set, and return what is to be called when the service ends.

    Exporter, service name and sampling follow OpenTelemetry's own variables. If `opentelemetry-instrument` has already set
    up a provider, that one is used, and ended by those who set it up.

    Raises
    ------
    UsageError
        The variable is set, but the packages are not installed.
    """
    end: Callable[[], None] = _nothing
    if not os.environ.get(VARIABLE):
        return end
    try:
        from opentelemetry import trace as telemetry
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.util.http import parse_excluded_urls
    except ImportError as error:
        raise UsageError(
            VARIABLE,
            "is set, but OpenTelemetry is not installed here",
            "pip install 'gliomap[otel]', or unset the variable.",
        ) from error
    if not isinstance(telemetry.get_tracer_provider(), TracerProvider):
        name = os.environ.get("OTEL_SERVICE_NAME", "gliomap")
        provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        telemetry.set_tracer_provider(provider)
        end = partial(_end, provider.shutdown)
    # The ASGI middleware: FastAPI's instrumentation reads the routes, and its older releases fail on newer FastAPI.
    excluded = parse_excluded_urls("health,metrics")
    app.add_middleware(OpenTelemetryMiddleware, excluded_urls=excluded, server_request_hook=_without_query)
    return end


def _nothing() -> None:
    """Nothing is traced, or not by this service."""


def _end(shutdown: Callable[[], None]) -> None:
    """Send the last traces, on a thread: a provider waits for its collector however long its exporter does."""
    sending = threading.Thread(target=shutdown, name="gliomap-traces", daemon=True)
    sending.start()
    sending.join(_LAST_S)
    if sending.is_alive():
        logger.warning("the collector of traces does not answer: the last ones are lost")


def _without_query(span: Any, scope: object) -> None:
    """Remove the query of an address from a trace: it can name a patient."""
    del scope
    for name, value in dict(getattr(span, "attributes", None) or {}).items():
        if name in ("http.url", "http.target", "url.full"):
            span.set_attribute(name, str(value).partition("?")[0])
        elif name == "url.query":
            span.set_attribute(name, "")
