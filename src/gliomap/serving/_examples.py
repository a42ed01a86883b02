"""Frames and requests to try the service with: the examples of its OpenAPI description, which work as they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Response
from fastapi import Path as PathParameter

from gliomap.captures import tiff_bytes
from gliomap.serving._access import Caller, Serving, problems
from gliomap.serving._json import dump_json
from gliomap.serving._synthetic import BenchFrames, synthetic_frames

__all__ = ["EXAMPLES", "example_of", "router"]

router = APIRouter(tags=["examples"])

File = Literal["raw.tif", "white.tif", "dark.tif", "raw.bin", "score.json", "infer.json"]


@router.get(
    "/v1/examples/{file}", summary="Synthetic frames and requests", response_class=Response, responses=problems()
)
async def example(
    service: Serving,
    _: Caller,
    file: Annotated[File, PathParameter(description="Name of the example.", examples=["raw.tif"])],
) -> Response:
    """Noise in the shape of the served camera's frames: for trying the interface, not for reading maps."""
    kind, make = EXAMPLES[file]
    sensor = service.model.engine.sensor
    return Response(await asyncio.to_thread(lambda: make(synthetic_frames(sensor))), media_type=kind)


def example_of(file: File) -> dict[str, Any]:
    """The OpenAPI example of a request body."""
    return {
        "synthetic": {
            "summary": f"Noise in the shape of the served camera's frames: {file}",
            "externalValue": f"/v1/examples/{file}",
        }
    }


def _score(frames: BenchFrames) -> bytes:
    lists = {"raw_image": frames.raw, "white_ref": frames.white, "black_ref": frames.dark}
    return dump_json({**lists, "patch_size": 7, "batch_size": 16, "patient_id": "ID0001C01"})


def _infer(frames: BenchFrames) -> bytes:
    return dump_json(
        {
            "inputs": [_tensor(role, getattr(frames, role)) for role in ("raw", "white", "dark")],
            "outputs": [{"name": "labels"}],
        }
    )


def _tensor(name: str, frame: npt.NDArray[np.uint16]) -> dict[str, Any]:
    return {"name": name, "datatype": "UINT16", "shape": list(frame.shape), "data": frame.ravel()}


EXAMPLES: Mapping[File, tuple[str, Callable[[BenchFrames], bytes]]] = {
    "raw.tif": ("image/tiff", lambda frames: tiff_bytes(frames.raw)),
    "white.tif": ("image/tiff", lambda frames: tiff_bytes(frames.white)),
    "dark.tif": ("image/tiff", lambda frames: tiff_bytes(frames.dark)),
    "raw.bin": ("application/octet-stream", lambda frames: frames.raw.astype("<u2", copy=False).tobytes()),
    "score.json": ("application/json", _score),
    "infer.json": ("application/json", _infer),
}
"""File → its media type and the function that makes it."""
