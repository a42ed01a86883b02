"""OpenTelemetry, where somebody has installed it and set where its traces go."""

from __future__ import annotations

import os
from typing import Any

from fastapi import FastAPI

from gliomap.errors import UsageError

__all__ = ["trace"]

VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"


def trace(app: FastAPI) -> None:
    """Trace requests if OTEL_EXPORTER_OTLP_ENDPOINT is set.

    Exporter, service name and sampling follow OpenTelemetry's own variables. Where `opentelemetry-instrument` has set up
    a provider already, that one is used.

    Raises
    ------
    UsageError
        The variable is set, and the packages are not there.
    """
    if not os.environ.get(VARIABLE):
        return
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
            "is set, and OpenTelemetry is not installed here",
            "pip install 'gliomap[otel]', or unset the variable.",
        ) from error
    if not isinstance(telemetry.get_tracer_provider(), TracerProvider):
        name = os.environ.get("OTEL_SERVICE_NAME", "gliomap")
        provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        telemetry.set_tracer_provider(provider)
    # Around any ASGI application: the instrumentation of FastAPI reads its routes, and older ones fail on newer FastAPI.
    excluded = parse_excluded_urls("health,metrics")
    app.add_middleware(OpenTelemetryMiddleware, excluded_urls=excluded, server_request_hook=_without_query)


def _without_query(span: Any, scope: object) -> None:
    """Keep out of a trace what stands behind the path of an address: it can name a patient."""
    del scope
    for name, value in dict(getattr(span, "attributes", None) or {}).items():
        if name in ("http.url", "http.target", "url.full"):
            span.set_attribute(name, str(value).partition("?")[0])
        elif name == "url.query":
            span.set_attribute(name, "")
