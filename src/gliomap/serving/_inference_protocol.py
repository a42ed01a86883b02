"""Open Inference Protocol v2 over REST with binary tensors, for the clients of KServe and Triton.

Protocol: https://github.com/kserve/open-inference-protocol; binary extension:
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import orjson
from fastapi import APIRouter, Header, Request, Response
from fastapi import Path as PathParameter
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gliomap import __version__
from gliomap.errors import RequestError, UsageError
from gliomap.serving._access import (
    Caller,
    Serving,
    body_limits,
    case_header,
    placed,
    problems,
    request_id,
    require_ready,
    short_text,
)
from gliomap.serving._bodies import ROLES, read_body
from gliomap.serving._examples import example_of
from gliomap.serving._json import dump_json
from gliomap.serving._keys import Client
from gliomap.serving._model import ServedModel
from gliomap.serving._service import Ask, Mapped, Service

__all__ = ["router"]

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

LENGTH_HEADER = "inference-header-content-length"
_DTYPES: Mapping[str, str] = {
    "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
}  # fmt: skip
OutputName = Literal["labels", "confidence", "probabilities"]
_OUTPUT_TYPES: Mapping[OutputName, str] = {"labels": "UINT8", "confidence": "FP32", "probabilities": "FP32"}
_SEE = "GET /v2/models/NAME describes inputs and outputs."

Name = Annotated[str, PathParameter(description="As in GET /v1/model, or 'gliomap'.", examples=["gliomap"])]
HeadLength = Annotated[str | None, Header(alias="Inference-Header-Content-Length")]
Version = Annotated[str, PathParameter(description="As in GET /v1/model; '1' if the model has none.", examples=["1"])]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class InferInput(_Part):
    """One input tensor."""

    name: Literal["raw", "white", "dark", "white_dark"]
    shape: Annotated[list[int], Field(max_length=4)]
    datatype: str = Field(examples=["UINT16"])
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class InferOutput(_Part):
    """One requested output."""

    name: OutputName
    parameters: dict[str, Any] = {}


class InferRequest(_Part):
    """A request; inputs are 'raw', and 'white' and 'dark' unless parameters.references names stored references."""

    id: Annotated[str, Field(max_length=128)] | None = None
    parameters: dict[str, Any] = Field(default={}, examples=[{"references": "or-1"}])
    inputs: Annotated[list[InferInput], Field(min_length=1, max_length=4)]
    outputs: list[InferOutput] = []


class ServerAnswer(_Part):
    """The server."""

    name: str = "gliomap"
    version: str = __version__
    extensions: list[str] = ["binary_tensor_data"]


class TensorAnswer(_Part):
    """A tensor of the model."""

    name: str
    datatype: str
    shape: list[int]


class MetadataAnswer(_Part):
    """The model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorAnswer]
    outputs: list[TensorAnswer]


class ReadyAnswer(_Part):
    """Whether the model accepts requests."""

    name: str
    ready: bool = True


_INFER_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": InferRequest.model_json_schema(ref_template="#/components/schemas/{model}"),
                "examples": example_of("infer.json"),
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.get("/health/live", summary="Whether the process is alive", response_class=Response)
async def live() -> Response:
    """Answer 200 while the process is alive."""
    return Response(status_code=200)


@router.get(
    "/health/ready", summary="Whether frames may be sent", response_class=Response, responses=problems(503, 507)
)
async def ready(service: Serving) -> Response:
    """Answer 200 while the archive can store cases, until the service is told to stop."""
    await require_ready(service)
    return Response(status_code=200)


@router.get("", summary="The server")
async def server() -> ServerAnswer:
    """Name, version and extensions."""
    return ServerAnswer()


@router.get("/models/{name}", summary="The model's tensors", responses=problems(404))
async def metadata(service: Serving, _: Caller, name: Name) -> MetadataAnswer:
    """Inputs and outputs."""
    return _metadata(_model(service, name), name)


@router.get("/models/{name}/versions/{version}", summary="A version's tensors", responses=problems(404))
async def version_metadata(service: Serving, _: Caller, name: Name, version: Version) -> MetadataAnswer:
    """Inputs and outputs."""
    return _metadata(_model(service, name, version), name)


def _metadata(model: ServedModel, name: str) -> MetadataAnswer:
    sensor = model.engine.sensor
    height, width = sensor.cube_shape
    frame, classes = list(sensor.frame_shape), len(model.engine.classes)
    return MetadataAnswer(
        name=name,
        versions=[_version(model)],
        platform=f"onnx_{model.engine.backend}",
        inputs=[TensorAnswer(name=role, datatype="UINT16", shape=frame) for role in ROLES[:3]],
        outputs=[
            TensorAnswer(name="labels", datatype="UINT8", shape=[height, width]),
            TensorAnswer(name="confidence", datatype="FP32", shape=[height, width]),
            TensorAnswer(name="probabilities", datatype="FP32", shape=[height, width, classes]),
        ],
    )


@router.get("/models/{name}/ready", summary="Whether the model accepts requests", responses=problems(404, 503, 507))
async def model_ready(service: Serving, name: Name) -> ReadyAnswer:
    """Answer 200 while the archive can store cases, until the service is told to stop."""
    return await _ready(service, name)


@router.get(
    "/models/{name}/versions/{version}/ready",
    summary="Whether a version accepts requests",
    responses=problems(404, 503, 507),
)
async def version_ready(service: Serving, name: Name, version: Version) -> ReadyAnswer:
    """Answer 200 while the archive can store cases, until the service is told to stop."""
    return await _ready(service, name, version)


async def _ready(service: Service, name: str, version: str | None = None) -> ReadyAnswer:
    _model(service, name, version)
    await require_ready(service)
    return ReadyAnswer(name=name)


@router.post(
    "/models/{name}/infer",
    summary="Classify a frame",
    responses=problems(400, 404, 408, 413, 503, 507),
    openapi_extra=_INFER_BODY,
    response_model=dict[str, Any],
)
async def infer(
    request: Request, service: Serving, caller: Caller, name: Name, header_length: HeadLength = None
) -> Response:
    """Tensors in, tensors out; in binary form if the request asks for it."""
    _model(service, name)
    return await _infer(request, service, caller, name, header_length)


@router.post(
    "/models/{name}/versions/{version}/infer",
    summary="Classify a frame with this version",
    responses=problems(400, 404, 408, 413, 503, 507),
    openapi_extra=_INFER_BODY,
    response_model=dict[str, Any],
)
async def version_infer(
    request: Request,
    service: Serving,
    caller: Caller,
    name: Name,
    version: Version,
    header_length: HeadLength = None,
) -> Response:
    """Tensors in, tensors out; in binary form if the request asks for it."""
    _model(service, name, version)
    return await _infer(request, service, caller, name, header_length)


async def _infer(request: Request, service: Service, caller: Client, name: str, header_length: str | None) -> Response:
    async with placed(request, service):
        begun = time.perf_counter()
        content = await read_body(request, body_limits(service, json=header_length is None))
        read = time.perf_counter() - begun
        job = partial(_job, service, content, header_length, caller.name, request_id(request), name, read)
        body, head, case = await service.workers.run(job)
    headers = case_header(case)
    if head is None:
        return Response(body, media_type="application/json", headers=headers)
    headers["Inference-Header-Content-Length"] = str(head)
    return Response(body, media_type="application/octet-stream", headers=headers)


def _job(
    service: Service, content: bytearray, header_length: str | None, client: str, request: str, name: str, read: float
) -> tuple[bytes, int | None, str | None]:
    asked, tail = _split(content, header_length)
    frames = _tensors(asked.inputs, tail)
    references, patient = (
        short_text(f"parameter {key!r}", asked.parameters.get(key)) for key in ("references", "patient")
    )
    ask = Ask("infer", client, request, frames, references, patient, spent={"read": read})
    mapped = service.classify(ask)
    body, head = _answer(asked, mapped, name)
    case = service.record(ask, mapped, body)
    service.metrics.classified("infer", mapped.tissue, mapped.timings)
    return body, head, case


def _split(content: bytearray, header_length: str | None) -> tuple[InferRequest, memoryview]:
    """The JSON head and the binary tensors after it."""
    length = len(content)
    if header_length is not None:
        if not header_length.isdecimal() or int(header_length) > length:
            raise UsageError(LENGTH_HEADER, f"is {header_length[:20]!r}, but the body has {length:,} bytes", _SEE)
        length = int(header_length)
    view = memoryview(content)
    try:
        return InferRequest.model_validate(orjson.loads(view[:length])), view[length:]
    except orjson.JSONDecodeError as error:
        raise UsageError("body", f"is not JSON ({error})", _SEE) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError("body", f"{'.'.join(map(str, first['loc']))}: {first['msg']}", _SEE) from error


def _tensors(inputs: Sequence[InferInput], tail: memoryview) -> dict[str, npt.NDArray[np.generic]]:
    found: dict[str, npt.NDArray[np.generic]] = {}
    at = 0
    for one in inputs:
        dtype = _DTYPES.get(one.datatype)
        if dtype is None:
            raise UsageError(f"input {one.name!r}", f"is {one.datatype[:20]!r}", "Send UINT16.")
        if one.name in found or any(not 0 <= side <= 65_535 for side in one.shape):
            raise UsageError(f"input {one.name!r}", "appears twice or has an impossible shape", _SEE)
        size = one.parameters.get("binary_data_size")
        needed = math.prod(one.shape) * np.dtype(dtype).itemsize
        if size is None:
            found[one.name] = _listed(one, dtype)
            continue
        if not isinstance(size, int) or size != needed or at + size > len(tail):
            raise UsageError(
                f"input {one.name!r}",
                f"declares {size} bytes; its shape {one.shape} needs {needed:,}, and {len(tail) - at:,} are left in the body",
                _SEE,
            )
        found[one.name] = np.frombuffer(tail[at : at + size], dtype).reshape(one.shape)
        at += size
    return found


def _listed(one: InferInput, dtype: str) -> npt.NDArray[np.generic]:
    """Numbers given in the JSON, flat or nested."""
    fault = UsageError(f"input {one.name!r}", f"does not hold {one.datatype} numbers of shape {one.shape}", _SEE)
    try:
        numbers = np.asarray(one.data).reshape(one.shape)
    except (TypeError, ValueError, OverflowError) as error:
        raise fault from error
    limits = np.iinfo(dtype)
    if numbers.dtype.kind not in "ui" or (
        numbers.size and not limits.min <= numbers.min() <= numbers.max() <= limits.max
    ):
        raise fault
    return numbers.astype(dtype)


def _answer(asked: InferRequest, mapped: Mapped, name: str) -> tuple[bytes, int | None]:
    wanted = asked.outputs or [InferOutput(name=kind) for kind in _OUTPUT_TYPES]
    everywhere = asked.parameters.get("binary_data_output", False) is True
    outputs: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for one in wanted:
        array = np.ascontiguousarray(getattr(mapped.tissue, one.name))
        output: dict[str, Any] = {"name": one.name, "datatype": _OUTPUT_TYPES[one.name], "shape": list(array.shape)}
        if one.parameters.get("binary_data", everywhere) is True:
            tail.append(array.tobytes())
            output["parameters"] = {"binary_data_size": array.nbytes}
        else:
            output["data"] = array.ravel()
        outputs.append(output)
    told = {"bundle": mapped.model.identity, "blanked": mapped.tissue.blanked or ""}
    head: dict[str, Any] = {"model_name": name, "model_version": _version(mapped.model), "outputs": outputs}
    if asked.id is not None:
        head["id"] = asked.id
    head["parameters"] = told
    text = dump_json(head)
    return b"".join([text, *tail]), len(text) if tail else None


def _version(model: ServedModel) -> str:
    return model.version or "1"


def _model(service: Service, name: str, version: str | None = None) -> ServedModel:
    model = service.model
    if name not in ("gliomap", model.name) or version not in (None, _version(model)):
        raise RequestError(
            f"model {name[:64]!r}",
            "is not served here" if version is None else f"is not served here in version {version[:20]!r}",
            f"Ask for {model.name!r} or 'gliomap', version {_version(model)!r}.",
            status=404,
        )
    return model
