"""OpenTelemetry, where somebody has installed it and set where its traces go."""

from __future__ import annotations

import os
from typing import Any

from gliomap.errors import UsageError

__all__ = ["trace"]

VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"


def trace(app: Any) -> bool:
    """Trace requests if OTEL_EXPORTER_OTLP_ENDPOINT is set; True where they are.

    Exporters and sampling follow OpenTelemetry's own variables, so `opentelemetry-instrument gliomap serve …` works too.

    Raises
    ------
    UsageError
        The variable is set, and the packages are not there.
    """
    if not os.environ.get(VARIABLE):
        return False
    try:
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    except ImportError as error:
        raise UsageError(
            VARIABLE,
            "is set, and OpenTelemetry is not installed here",
            "pip install opentelemetry-distro opentelemetry-exporter-otlp opentelemetry-instrumentation-fastapi,"
            " or unset the variable.",
        ) from error
    FastAPIInstrumentor.instrument_app(app, excluded_urls="health,metrics")
    return True
