"""Errors as RFC 9457 problem details: what is wrong, where, and what to do about it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from gliomap._fields import Fields
from gliomap.errors import GlioMapError, RequestError, http_status, machine_error
from gliomap.serving._json import dump_json

__all__ = ["Problem", "install_handlers", "problem_of"]

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class Problem(Fields):
    """RFC 9457 problem details, with a remedy."""

    type: str = Field(default="about:blank", description="Always about:blank; `title` names the kind.")
    title: str = Field(description="Kind of the problem, such as CaptureError.", examples=["RequestError"])
    status: int = Field(description="The HTTP status.", examples=[404])
    detail: str = Field(description="What is wrong, with numbers.", examples=["references 'or-1': are unknown"])
    remedy: str = Field(description="What to do about it.", examples=["PUT them to /v1/references/or-1 first."])
    request_id: str | None = Field(default=None, description="As in the service's log.")


def problem_of(error: BaseException, request_id: str | None = None) -> Problem:
    """Describe an error; an internal error reveals no details."""
    known: BaseException | None = error
    if isinstance(error, OSError):
        known = machine_error(error) or error
    if isinstance(error, MemoryError):
        known = RequestError(
            "service", "is out of memory", "Try again later.", status=503, headers={"Retry-After": "5"}
        )
    if isinstance(known, GlioMapError):
        return Problem(
            title=type(known).__name__,
            status=http_status(known),
            detail=f"{known.thing}: {known.fault}",
            remedy=known.remedy,
            request_id=request_id,
        )
    return Problem(
        title="InternalError",
        status=500,
        detail="service: an internal error",
        remedy="Report it with the request id; the traceback is in the service's log.",
        request_id=request_id,
    )


def problem_response(error: BaseException, request_id: str | None) -> Response:
    """An error as an answer."""
    problem = problem_of(error, request_id)
    headers = dict(error.headers) if isinstance(error, RequestError) else {}
    if problem.status == 503 and "Retry-After" not in headers:
        headers["Retry-After"] = "1"
    return _response(problem, headers)


def install_handlers(app: FastAPI) -> None:
    """Answer every error of the application with problem details."""

    async def ours(request: Request, error: Exception) -> Response:
        if http_status(error) >= 500:
            logger.warning("%s", error, extra={"request_id": _id(request)})
        return problem_response(error, _id(request))

    async def unforeseen(request: Request, error: Exception) -> Response:
        logger.exception("an internal error", exc_info=error, extra={"request_id": _id(request)})
        return problem_response(error, _id(request))

    async def http(request: Request, error: Exception) -> Response:
        told = cast("HTTPException", error)
        phrase = HTTPStatus(told.status_code).phrase
        problem = Problem(
            title=phrase,
            status=told.status_code,
            detail=f"{request.method} {request.url.path}: {str(told.detail or phrase).lower()}",
            remedy="See /docs for the endpoints of this service.",
            request_id=_id(request),
        )
        return _response(problem, dict(told.headers or {}))

    async def invalid(request: Request, error: Exception) -> Response:
        first = cast("RequestValidationError", error).errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        problem = Problem(
            title="UsageError",
            status=422,
            detail=f"{place}: {first['msg']}",
            remedy="See /docs for the parameters of this request.",
            request_id=_id(request),
        )
        return _response(problem, {})

    async def gone(request: Request, error: Exception) -> Response:
        del error
        logger.info("the client disconnected", extra={"request_id": _id(request)})
        return Response(status_code=499)

    app.add_exception_handler(GlioMapError, ours)
    app.add_exception_handler(OSError, ours)
    app.add_exception_handler(MemoryError, ours)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, unforeseen)


def _response(problem: Problem, headers: Mapping[str, str]) -> Response:
    content: dict[str, Any] = problem.model_dump(mode="json", exclude_none=True)
    return Response(dump_json(content), problem.status, dict(headers), MEDIA_TYPE)


def _id(request: Request) -> str | None:
    return request.scope.get("request_id")
