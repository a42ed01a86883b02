"""Dependencies that the routes share: the service, the caller, a place in the queue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, Request, Security, WebSocket
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.requests import HTTPConnection

from gliomap.errors import RequestError, UsageError
from gliomap.serving._bodies import Limits, swallow
from gliomap.serving._keys import Client, find_client
from gliomap.serving._problems import Problem
from gliomap.serving._protocol import certificate_name
from gliomap.serving._service import Service

__all__ = [
    "PROBLEMS",
    "Admin",
    "Caller",
    "Serving",
    "body_limits",
    "case_header",
    "going_down",
    "placed",
    "problems",
    "request_id",
    "require_ready",
    "short_text",
    "socket_access",
]

PROBLEMS: dict[int, str] = {
    400: "The request contradicts itself.",
    401: "The key is missing or unknown.",
    404: "Not found.",
    408: "The body arrived too slowly.",
    413: "The body is too large.",
    422: "The frames or arrays cannot be used.",
    503: "Busy with too many requests, or draining. Retry-After says when to try again.",
    507: "The archive cannot store a case: its disk is full, missing or not writable.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Error responses to document for a route; every route has 401 and 422."""
    return {
        status: {
            "description": PROBLEMS.get(status, "See the problem's detail."),
            "model": Problem,
            "content": {"application/problem+json": {}},
        }
        for status in sorted({401, 422, *statuses})
    }


def _service(connection: HTTPConnection) -> Service:
    service: Service = connection.app.state.service
    return service


def _caller(connection: HTTPConnection) -> Client:
    client = find_client(_service(connection).settings.keys, connection.headers, certificate_name(connection))
    connection.scope["client_name"] = client.name
    return client


# These two only describe in OpenAPI how a key is sent. `find_client` reads the headers.
_Bearer = Annotated[object, Security(HTTPBearer(auto_error=False, description="A key, if the service has keys."))]
_Header = Annotated[object, Security(APIKeyHeader(name="X-API-Key", auto_error=False, description="The same key."))]


# Asynchronous although they await nothing: FastAPI runs plain functions on a thread, which costs more than they do.
async def _serving(connection: HTTPConnection) -> Service:
    return _service(connection)


async def _request_caller(connection: HTTPConnection, bearer: _Bearer, header: _Header) -> Client:
    del bearer, header
    return _caller(connection)


Serving = Annotated[Service, Depends(_serving)]
Caller = Annotated[Client, Depends(_request_caller)]


async def _admin(client: Caller) -> Client:
    if not client.admin:
        raise RequestError(
            f"key {client.name!r}",
            "may not replace the model",
            "Use a key marked 'admin' among the keys of the service; or send the process SIGHUP.",
            status=403,
        )
    return client


Admin = Annotated[Client, Depends(_admin)]


def socket_access(socket: WebSocket) -> tuple[Service, Client]:
    """Return the service and the caller of a stream.

    Raises
    ------
    RequestError
        The key is missing or wrong.
    """
    return _service(socket), _caller(socket)


def request_id(connection: HTTPConnection) -> str:
    """The id of this request in the log."""
    return str(connection.scope["request_id"])


def case_header(case: str | None) -> dict[str, str]:
    """The header that names the archived case of an answer."""
    return {} if case is None else {"GlioMap-Case": case}


def body_limits(service: Service, *, json: bool = False) -> Limits:
    """Size and time limits of a request body."""
    settings = service.settings
    return Limits(settings.max_json if json else settings.max_body, settings.body_timeout.total_seconds())


@asynccontextmanager
async def placed(request: Request, service: Service, *, large: bool = False) -> AsyncIterator[None]:
    """Hold a place from before the body is read; if none is free, discard the body and raise.

    Large requests run one at a time.

    Raises
    ------
    RequestError
        All places are taken, or the service is shutting down (503).
    """
    held = False
    try:
        if service.draining:
            raise going_down()
        async with service.workers.place(large=large):
            held = True
            yield
    except RequestError:
        if not held:
            await swallow(request, body_limits(service, json=True))
        raise


def short_text(thing: str, value: object) -> str | None:
    """Check that a text from a request is fit for the archive and any database; None stays None.

    Raises
    ------
    UsageError
        It is longer than 128 characters, or contains unprintable ones.
    """
    if value is not None and not (isinstance(value, str) and len(value) <= 128 and value.isprintable()):
        raise UsageError(thing, "is not a short text", "Send at most 128 printable characters.")
    return value


async def require_ready(service: Service) -> None:
    """Raise if the service would refuse any frame.

    Raises
    ------
    RequestError
        The service is shutting down (503).
    MachineError
        Its archive cannot store a case (507).
    """
    if service.draining:
        raise going_down()
    await service.require_archive()


def going_down() -> RequestError:
    """The error of a service that was told to stop: it finishes what it has begun and takes nothing new."""
    return RequestError(
        "service",
        "is shutting down",
        "Send the request to another one, or try again later.",
        status=503,
        headers={"Retry-After": "5"},
    )
