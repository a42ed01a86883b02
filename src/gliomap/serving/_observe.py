"""What every request leaves behind: an id, a log line, metrics. Plain ASGI, so that no body is touched."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

from gliomap.serving._access import going_down
from gliomap.serving._problems import problem_response
from gliomap.serving._service import Service

__all__ = ["Observer", "set_up_logging"]

logger = logging.getLogger("gliomap.serving.access")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_QUIET = frozenset({"/health/live", "/health/ready", "/metrics", "/v2/health/live", "/v2/health/ready"})
"""Polled by machines every few seconds: counted, but logged only at debug level."""
_ANSWERS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
"""Messages that begin an answer: to a request, to a stream, to a refused stream."""
_LONGEST_PATH = 200
_FIELDS = ("request_id", "client", "method", "path", "status", "ms", "case")


class Observer:
    """Gives each request an id (or keeps the client's X-Request-Id), times, logs and counts it."""

    def __init__(self, app: App, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or one stream."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        given = dict(scope["headers"]).get(b"x-request-id", b"")
        request_id = given.decode() if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex[:16]
        scope["request_id"] = request_id
        told: dict[str, Any] = {"status": 0, "case": None}

        async def observed(message: Message) -> None:
            if message["type"] in _ANSWERS:
                told["status"] = message.get("status", 101)
                headers = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
                told["case"] = dict(headers).get(b"gliomap-case", b"").decode() or None
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except asyncio.CancelledError:
            # Only the shutdown cancels requests: the time for finishing them is over, or Ctrl-C was pressed twice.
            if scope["type"] == "http" and not told["status"]:
                await problem_response(going_down(), request_id)(scope, receive, observed)
        except Exception:
            # An outer layer answers internal errors.
            told["status"] = told["status"] or 500
            raise
        finally:
            self._tell(scope, told, time.perf_counter() - begun)

    def _tell(self, scope: Scope, told: dict[str, Any], seconds: float) -> None:
        # The template, not the path: each id in a path would create a time series of its own.
        route = getattr(scope.get("route"), "path", "other")
        method = scope.get("method", "WEBSOCKET")
        metrics = self._service.metrics
        metrics.requests.labels(method, route, str(told["status"])).inc()
        metrics.seconds.labels(route).observe(seconds)
        level = logging.DEBUG if scope["path"] in _QUIET else logging.INFO
        # Quoted: a line break hidden in a path must not begin a new log line.
        path = quote(scope["path"])[:_LONGEST_PATH]
        fields = {
            "request_id": scope["request_id"],
            "client": scope.get("client_name"),
            "method": method,
            "path": path,
            "status": told["status"],
            "ms": round(1e3 * seconds, 1),
            "case": told["case"],
        }
        logger.log(level, "%s %s %s in %.1f ms", method, path, told["status"], 1e3 * seconds, extra=fields)


class _JsonLines(logging.Formatter):
    """One JSON object per line, for log collectors."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        content = {"time": moment, "level": record.levelname.lower(), "logger": record.name}
        content["message"] = record.getMessage()
        content |= {name: value for name in _FIELDS if (value := getattr(record, name, None)) is not None}
        if record.exc_info:
            content["traceback"] = self.formatException(record.exc_info)
        return json.dumps(content, ensure_ascii=False)


class _TextLines(logging.Formatter):
    """Human-readable lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        moment = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        who = " ".join(str(value) for name in ("client", "request_id") if (value := getattr(record, name, None)))
        line = f"{moment} {record.levelname.lower()} {record.getMessage()}{f' [{who}]' if who else ''}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def set_up_logging(form: Literal["text", "json"]) -> None:
    """Write all records to stderr in one format, libraries included; theirs from warnings up."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines() if form == "json" else _TextLines())
    for name, lowest in {"": logging.WARNING, "gliomap": logging.INFO, "uvicorn.error": logging.INFO}.items():
        own = logging.getLogger(name)
        own.handlers = [handler]
        own.setLevel(lowest)
        own.propagate = False
