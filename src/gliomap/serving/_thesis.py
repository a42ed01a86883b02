"""POST /score: the JSON interface of the 2021 thesis's service, so that its clients work unchanged.

The request is an object with three frames as nested lists; the answer is a JSON string which itself contains JSON.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Request, Response
from PIL import Image

from gliomap.engine import TissueMap
from gliomap.errors import UsageError
from gliomap.rendering import colour_map, hatch
from gliomap.serving._access import Caller, Serving, body_limits, case_header, placed, problems, request_id, short_text
from gliomap.serving._bodies import read_body
from gliomap.serving._examples import example_of
from gliomap.serving._json import dump_json
from gliomap.serving._service import Ask, Service

__all__ = ["parse_request", "router", "thesis_answer", "thesis_picture"]

router = APIRouter()

_NAMES = {"raw_image": "raw", "white_ref": "white", "black_ref": "dark"}
_ROWS, _COLUMNS = 576, 768
"""A figure of 6.4×4.8 inch at 120 dpi."""

_LISTS = {"type": "array", "items": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 65_535}}}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["raw_image", "white_ref", "black_ref"],
                    "properties": {
                        **{name: _LISTS | {"description": "Rows of digital numbers."} for name in _NAMES},
                        "patch_size": {"type": "integer", "description": "Accepted and ignored: models are dense."},
                        "batch_size": {"type": "integer", "description": "Accepted and ignored."},
                        "patient_id": {"type": "string", "description": "For the archive."},
                    },
                },
                "examples": example_of("score.json"),
            }
        },
    }
}


@router.post(
    "/score",
    summary="The JSON of the thesis's service",
    tags=["classify"],
    response_model=str,
    responses=problems(400, 408, 413, 503, 507),
    openapi_extra=_BODY,
)
async def score(request: Request, service: Serving, caller: Caller) -> Response:
    """Take frames as nested lists, return a JSON string that contains JSON.

    Its `classification_map` is a 576×768×4 picture as nested lists; its times are seconds. /v1/classify takes a
    seventh of the bytes and less than a tenth of the time.
    """
    async with placed(request, service, large=True):
        content = await read_body(request, body_limits(service, json=True))
        ask = partial(thesis_answer, service, content, caller.name, request_id(request))
        body, case = await service.workers.run(ask)
    return Response(body, media_type="application/json", headers=case_header(case))


def thesis_answer(service: Service, content: bytes | bytearray, client: str, request: str) -> tuple[bytes, str | None]:
    """Return the body that the thesis's client expects, and the archived case; to be run on a worker thread.

    Raises
    ------
    GlioMapError
        The request is not JSON of this form, or its frames cannot be used.
    """
    begun = time.perf_counter()
    frames, patient = parse_request(content)
    parsed = time.perf_counter()
    ask = Ask("score", client, request, frames, None, patient)
    mapped = service.classify(ask)
    done = time.perf_counter()
    graph = mapped.timings["graph"]
    answer = {
        "classification_map": thesis_picture(mapped.tissue),
        "time_parsing_data": parsed - begun,
        "time_preProcessing_data": done - parsed - graph,
        "time_preparing_batches": 0.0,
        "time_predict_cMap": graph,
    }
    # The thesis's SDK decoded the answer once, and its client a second time.
    body = dump_json(dump_json(answer).decode("ascii"))
    case = service.record(ask, mapped, body)
    service.metrics.classified("score", mapped.tissue, mapped.timings)
    return body, case


def parse_request(content: bytes | bytearray) -> tuple[Mapping[str, npt.NDArray[np.generic]], str | None]:
    """Return the frames of a request by role, and its patient.

    Raises
    ------
    UsageError
        The request is not JSON of this form; the message names what is missing or wrong.
    """
    import simdjson

    try:
        found = simdjson.Parser().parse(bytes(content))
    except (ValueError, UnicodeDecodeError, RuntimeError) as error:
        raise UsageError(
            "body", f"is not JSON ({str(error)[:120]})", "Send an object with raw_image, white_ref and black_ref."
        ) from error
    if not isinstance(found, simdjson.Object):
        raise UsageError("body", "is not a JSON object", "Send an object with raw_image, white_ref and black_ref.")
    missing = [name for name in _NAMES if name not in found]
    if missing:
        raise UsageError("body", f"lacks {', '.join(missing)}", "Send raw_image, white_ref and black_ref.")
    patient = short_text("patient_id", found.get("patient_id"))
    return {role: _numbers(name, found[name]) for name, role in _NAMES.items()}, patient


def _numbers(name: str, rows: Any) -> npt.NDArray[np.generic]:
    """Convert nested lists to an array; the parser writes the numbers straight into memory."""
    import simdjson

    remedy = "Send rows of whole numbers from 0 to 65535, all of the same length."
    if not isinstance(rows, simdjson.Array) or not len(rows) or not isinstance(rows[0], simdjson.Array):
        raise UsageError(name, "is not a list of rows", remedy)
    columns = len(rows[0])
    if any(not isinstance(row, simdjson.Array) or len(row) != columns for row in rows):
        raise UsageError(name, "has rows of different length", remedy)
    try:
        flat = np.frombuffer(rows.as_buffer(of_type="u"), np.uint64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(
            name, f"holds something other than numbers of at least 0 ({str(error)[:80]})", remedy
        ) from error
    if flat.size != len(rows) * columns or not flat.size or int(flat.max()) > 65_535:
        raise UsageError(name, "holds deeper lists, or numbers above 65535", remedy)
    return flat.astype(np.uint16).reshape(len(rows), columns)


def thesis_picture(tissue: TissueMap) -> npt.NDArray[np.uint8]:
    """The map on a white page, RGBA (576, 768, 4), as large as fits with its proportions kept."""
    height, width = tissue.labels.shape
    coloured = colour_map(tissue.labels, tissue.classes)
    colours = np.where(tissue.labels[..., np.newaxis] > 0, coloured, hatch(height, width))
    scale = min(_ROWS / colours.shape[0], _COLUMNS / colours.shape[1])
    size = (max(1, round(colours.shape[1] * scale)), max(1, round(colours.shape[0] * scale)))
    fitted = np.asarray(Image.fromarray(colours).resize(size, Image.Resampling.NEAREST))
    page = np.full((_ROWS, _COLUMNS, 4), 255, np.uint8)
    top, left = (_ROWS - size[1]) // 2, (_COLUMNS - size[0]) // 2
    page[top : top + size[1], left : left + size[0], :3] = fitted
    return page
