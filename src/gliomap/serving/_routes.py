"""Routes: health, metrics, the model, references, classification."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi import Path as PathParameter

from gliomap.captures import Exposures
from gliomap.errors import RequestError, UsageError
from gliomap.serving._access import (
    Admin,
    Caller,
    Serving,
    body_limits,
    placed,
    problems,
    request_id,
    require_ready,
    short_text,
)
from gliomap.serving._answers import FORMS, check_palette, chosen_form
from gliomap.serving._bodies import ROLES, FrameBytes, media_type, read_body, read_form, shape_of
from gliomap.serving._examples import example_of
from gliomap.serving._metrics import CONTENT_TYPE
from gliomap.serving._model import ServedModel
from gliomap.serving._references import ReferencePair, check_id
from gliomap.serving._schemas import ClassifyAnswer, Health, ModelAnswer, ReferencesAnswer
from gliomap.serving._service import Ask

__all__ = ["router"]

router = APIRouter()

_BINARY = {"type": "string", "format": "binary"}


def _file(role: str, description: str) -> dict[str, Any]:
    return _BINARY | {"description": description, "x-example": f"/v1/examples/{role}.tif"}


_FRAMES = {
    "type": "object",
    "properties": {
        "raw": _file("raw", "Raw frame, TIFF."),
        "white": _file("white", "White reference, TIFF."),
        "dark": _file("dark", "Dark reference, TIFF."),
        "white_dark": _BINARY | {"description": "A second dark reference at the exposure of the white, TIFF."},
    },
}
_FRAME_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "image/tiff": {"schema": _BINARY, "examples": example_of("raw.tif")},
            "application/octet-stream": {"schema": _BINARY, "examples": example_of("raw.bin")},
            "multipart/form-data": {"schema": {**_FRAMES, "required": ["raw"]}},
        },
    }
}
_PAIR_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": {**_FRAMES, "required": ["white", "dark"]}}},
    }
}

Id = Annotated[
    str, PathParameter(description="A name for the operation.", examples=["or-1"], json_schema_extra={"maxLength": 64})
]
Palette = Annotated[str, Query(description="'classic', or 'safe' for colour-blind readers.", examples=["safe"])]


@router.get("/health/live", summary="Whether the process is alive", tags=["health"])
async def live() -> Health:
    """Answer 200 while the process is alive."""
    return Health(status="live")


@router.get("/health/ready", summary="Whether frames may be sent", tags=["health"], responses=problems(503, 507))
async def ready(service: Serving) -> Health:
    """Answer 200 once a frame was classified, while the archive can store cases, until the service is told to stop."""
    await require_ready(service)
    return Health(status="ready")


@router.get("/metrics", summary="Metrics for Prometheus", tags=["health"], response_class=Response)
async def metrics(service: Serving) -> Response:
    """Requests, stages, queue, streams, model."""
    service.metrics.queue.set(service.workers.waiting)
    service.metrics.admitted.set(service.workers.admitted)
    service.metrics.references.set(len(service.references))
    service.metrics.streams.set(len(service.open_streams))
    return Response(service.metrics.text(), media_type=CONTENT_TYPE)


@router.get("/v1/model", summary="The served model", tags=["model"], responses=problems())
async def model(service: Serving, _: Caller) -> ModelAnswer:
    """Manifest and card of the bundle."""
    return _described(service.model)


@router.put(
    "/v1/model",
    summary="Replace the model",
    tags=["model"],
    responses=problems(400, 403, 413),
    openapi_extra={"requestBody": {"required": False, "content": {"application/zip": {"schema": _BINARY}}}},
)
async def exchange(
    request: Request,
    service: Serving,
    _: Admin,
    version: Annotated[
        str, Query(description="Version in your registry.", max_length=64, pattern="^[ -~]*$", examples=["4"])
    ] = "",
) -> ModelAnswer:
    """Serve the zipped bundle in the body or, without a body, read the bundle at the service's own path again.

    The current model stays if the new one fails verification or does not run.
    """
    limits = body_limits(service)
    content = await read_body(request, limits)
    async with service.exchanging:
        if not content:
            return _described(await asyncio.to_thread(service.exchange, version=version))
        with tempfile.TemporaryDirectory(prefix="gliomap-") as folder:
            path = Path(folder) / "bundle.zip"
            path.write_bytes(content)
            return _described(await asyncio.to_thread(service.exchange, path, version))


@router.put(
    "/v1/references/{id}",
    summary="Send white and dark once per operation",
    tags=["references"],
    responses={201: {"model": ReferencesAnswer, "description": "Stored."}, **problems(400, 409, 413, 503)},
    openapi_extra=_PAIR_BODY,
)
async def put_references(
    request: Request,
    response: Response,
    service: Serving,
    _: Caller,
    id: Id,
    raw_ms: Annotated[float | None, Query(gt=0, description="Exposure time of the raw frames to come.")] = None,
    white_ms: Annotated[float | None, Query(gt=0, description="Exposure time of the white reference.")] = None,
    dark_ms: Annotated[float | None, Query(gt=0, description="Exposure time of the dark reference.")] = None,
) -> ReferencesAnswer:
    """Check and prepare references, for frames to name by their id. They replace references of the same id."""
    check_id(id)
    exposures = _exposures(raw_ms, white_ms, dark_ms)
    async with placed(request, service):
        sent = _files(await read_form(request, body_limits(service)))
        missing = [role for role in ("white", "dark") if role not in sent]
        if missing:
            raise UsageError("request", f"has no file {' and no file '.join(missing)}", "Send both as multipart files.")
        pair = await service.workers.run(partial(service.read_references, id, sent, exposures))
        response.status_code = 201 if service.references.put(pair) else 200
    return _pair_answer(pair)


@router.get(
    "/v1/references/{id}",
    summary="The references stored under an id",
    tags=["references"],
    responses=problems(400, 404),
)
async def get_references(service: Serving, _: Caller, id: Id) -> ReferencesAnswer:
    """Time, hashes and warnings of references."""
    return _pair_answer(service.references.get(id))


@router.delete(
    "/v1/references/{id}",
    summary="Delete references",
    tags=["references"],
    status_code=204,
    response_class=Response,
    responses=problems(400, 404),
)
async def delete_references(service: Serving, _: Caller, id: Id) -> Response:
    """Delete references when an operation is over."""
    service.references.delete(id)
    return Response(status_code=204)


@router.post(
    "/v1/classify",
    summary="A frame in, a tissue map out",
    tags=["classify"],
    response_model=ClassifyAnswer,
    responses={
        200: {
            "description": "The map, in the form that Accept asks for.",
            "content": {kind: {"schema": _BINARY} for kind in FORMS if kind != "application/json"},
        },
        **problems(400, 404, 406, 408, 413, 503, 507),
    },
    openapi_extra=_FRAME_BODY,
)
async def classify(
    request: Request,
    service: Serving,
    caller: Caller,
    references: Annotated[str | None, Query(description="Id of stored references.", examples=["or-1"])] = None,
    picture: Annotated[
        str | None, Query(description="With image/png: 'labels' (the default), 'map' or 'overlay'.", examples=["map"])
    ] = None,
    palette: Palette = "classic",
    patient: Annotated[
        str | None, Query(description="For the archive, as a keyed hash unless it keeps identifiers.", max_length=128)
    ] = None,
    accept: Annotated[str, Header(description="Form of the answer.")] = "*/*",
) -> Response:
    """Classify a raw frame: TIFF, or uint16 numbers with X-Frame-Shape, or multipart with its own white and dark.

    A map marks what spectra resemble; it never says 'no tumour'.
    """
    begun = time.perf_counter()
    form = chosen_form(accept, picture)
    check_palette(palette)
    patient = short_text("patient", patient)
    if references is not None:
        service.references.get(references)
    async with placed(request, service):
        sent = await _sent_frames(request, service)
        ask = Ask(
            "classify",
            caller.name,
            request_id(request),
            sent,
            references,
            patient,
            palette,
            datetime.now(UTC),
            {"read": time.perf_counter() - begun},
        )
        answer = await service.workers.run(partial(service.answer, ask, form))
    return Response(answer.body, media_type=answer.media_type, headers=dict(answer.headers))


async def _sent_frames(request: Request, service: Serving) -> Mapping[str, FrameBytes]:
    kind = media_type(request.headers)
    limits = body_limits(service)
    if kind == "multipart/form-data":
        return _files(await read_form(request, limits))
    if kind in ("image/tiff", "application/octet-stream", ""):
        shape = shape_of(request.headers)
        content = await read_body(request, limits)
        guessed = FrameBytes.guessed(content)
        tiff = kind == "image/tiff" or (guessed.kind == "tiff" and shape is None)
        return {"raw": FrameBytes(content, "tiff") if tiff else FrameBytes(content, "numbers", shape)}
    raise RequestError(
        "Content-Type",
        f"is {kind[:60]!r}",
        "Send image/tiff, application/octet-stream with X-Frame-Shape, or multipart/form-data.",
        status=415,
    )


def _files(form: Mapping[str, str | bytes]) -> dict[str, FrameBytes]:
    unknown = sorted(set(form) - set(ROLES))
    if unknown:
        raise UsageError("request", f"has a field {unknown[0][:40]!r}", f"Name its files {', '.join(ROLES)}.")
    texts = [name for name, value in form.items() if isinstance(value, str)]
    if texts:
        raise UsageError(f"field {texts[0]!r}", "is text, not a file", "Send it as a file, with a file name.")
    return {name: FrameBytes.guessed(value) for name, value in form.items() if isinstance(value, bytes)}


def _exposures(raw_ms: float | None, white_ms: float | None, dark_ms: float | None) -> Exposures | None:
    given = (raw_ms, white_ms, dark_ms)
    if all(one is None for one in given):
        return None
    if raw_ms is None or white_ms is None or dark_ms is None:
        raise UsageError("exposure times", "are incomplete", "Give raw_ms, white_ms and dark_ms, or none of them.")
    return Exposures(raw_ms, white_ms, dark_ms)


def _pair_answer(pair: ReferencePair) -> ReferencesAnswer:
    return ReferencesAnswer(
        id=pair.name,
        received_at=pair.received_at,
        taken_at=pair.camera_time,
        sha256=dict(pair.hashes),
        warnings=pair.warnings,
    )


def _described(served: ServedModel) -> ModelAnswer:
    engine = served.engine
    return ModelAnswer(
        name=served.name,
        version=served.version,
        bundle=served.identity,
        since=served.since,
        backend=engine.backend,
        manifest=engine.manifest.model_dump(mode="json"),
        card=engine.bundle.card,
    )
