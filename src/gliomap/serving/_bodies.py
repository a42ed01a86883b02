"""Request bodies: read within limits of size and time, and split into frames."""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from fastapi import Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from gliomap.captures import Frame, parse_frames
from gliomap.errors import CaptureError, RequestError
from gliomap.sensors import MosaicSensor

__all__ = ["FrameBytes", "Limits", "digest_of", "frames_of", "media_type", "read_body", "read_form", "swallow"]

ROLES = ("raw", "white", "dark", "white_dark")
SHAPE_HEADER = "x-frame-shape"
_SHAPE = re.compile(r"([0-9]{1,5})\s*[x×,]\s*([0-9]{1,5})")
_TIFF_SIGNATURES = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")

FrameKind = Literal["tiff", "numbers"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a body may be, and how long it may take to arrive.

    Attributes
    ----------
    bytes
        Maximum size.
    seconds
        Maximum time.
    """

    bytes: int
    seconds: float


@dataclass(frozen=True, eq=False)
class FrameBytes:
    """One frame as it was sent.

    Attributes
    ----------
    content
        A TIFF file, or uint16 numbers, little-endian, row by row.
    kind
        Which of the two.
    shape
        (rows, columns) of the numbers; None for the sensor's frame shape.
    """

    content: bytes | bytearray
    kind: FrameKind
    shape: tuple[int, int] | None = None

    @classmethod
    def guessed(cls, content: bytes | bytearray) -> FrameBytes:
        """Take content that begins like a TIFF file as one, and any other as numbers."""
        return cls(content, "tiff" if bytes(content[:4]) in _TIFF_SIGNATURES else "numbers")


def media_type(headers: Mapping[str, str]) -> str:
    """The media type of a body, in lower case, without parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, limits: Limits) -> bytearray:
    """Read a whole body.

    Raises
    ------
    RequestError
        It is too large (413, by its header before any of it is read), or too slow (408).
    """
    _refuse_declared(request, limits)
    content = bytearray()
    async with _in_time(limits):
        async for chunk in _bounded(request, limits):
            content += chunk
    return content


async def swallow(request: Request, limits: Limits) -> None:
    """Read and discard a body that is not needed, so that its sender reads the answer; leave a large one unread.

    Faults of the body no longer matter.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.bytes:
        return
    try:
        async with _in_time(limits):
            async for _ in _bounded(request, limits):
                continue
    except RequestError:
        return


async def read_form(request: Request, limits: Limits) -> dict[str, str | bytes]:
    """Read multipart/form-data: files as bytes, other fields as text.

    Raises
    ------
    RequestError
        The body is too large (413), too slow (408), or not multipart/form-data (400).
    """
    _refuse_declared(request, limits)
    found: dict[str, str | bytes] = {}
    try:
        async with _in_time(limits):
            form = await _InMemory(request.headers, _bounded(request, limits), max_files=8, max_fields=16).parse()
    except (MultiPartException, KeyError) as error:
        told = error.message if isinstance(error, MultiPartException) else "its header names no boundary"
        raise RequestError(
            "body", f"is not multipart/form-data ({told})", "Send each frame as a file under its own name.", status=400
        ) from error
    try:
        for name, value in form.multi_items():
            if name in found:
                raise RequestError(f"field {name[:40]!r}", "appears twice", "Send it once.", status=400)
            found[name] = await value.read() if isinstance(value, UploadFile) else value
    finally:
        await form.close()
    return found


def shape_of(headers: Headers) -> tuple[int, int] | None:
    """Read (rows, columns) from X-Frame-Shape, such as 1088x2048.

    Raises
    ------
    RequestError
        The header has another form (400).
    """
    told = headers.get(SHAPE_HEADER)
    if told is None:
        return None
    match = _SHAPE.fullmatch(told.strip())
    if match is None:
        raise RequestError("X-Frame-Shape", f"is {told[:40]!r}", "Write ROWSxCOLUMNS, as in 1088x2048.", status=400)
    return int(match[1]), int(match[2])


def frames_of(
    sent: Mapping[str, FrameBytes | npt.NDArray[np.generic]], sensor: MosaicSensor, *, msb_aligned: bool | None = None
) -> dict[str, Frame]:
    """Convert what was sent to frames of the sensor; frames of one request share their bit alignment.

    Raises
    ------
    CaptureError
        A frame is not one of this sensor.
    """
    contents = {
        name: bytes(one.content) if isinstance(one, FrameBytes) and one.kind == "tiff" else _numbers(name, one, sensor)
        for name, one in sent.items()
    }
    return parse_frames(contents, sensor, msb_aligned=msb_aligned)


def digest_of(sent: FrameBytes | npt.NDArray[np.generic]) -> str:
    """SHA-256 of a file as it came, or of a frame's numbers as little-endian uint16, since numbers in JSON have no type."""
    content = sent.content if isinstance(sent, FrameBytes) else sent.astype("<u2").tobytes()
    return hashlib.sha256(content).hexdigest()


def _numbers(name: str, sent: FrameBytes | npt.NDArray[np.generic], sensor: MosaicSensor) -> npt.NDArray[np.uint16]:
    rows, columns = sensor.frame_shape
    if isinstance(sent, FrameBytes):
        shape = sent.shape or sensor.frame_shape
        if len(sent.content) != 2 * math.prod(shape):
            raise CaptureError(
                name,
                f"has {len(sent.content):,} bytes; {shape[0]}×{shape[1]} uint16 numbers have {2 * math.prod(shape):,}",
                f"Send a TIFF file, or {rows}×{columns} uint16 numbers, little-endian, row by row.",
            )
        array: npt.NDArray[np.generic] = np.frombuffer(sent.content, "<u2").reshape(shape)
    else:
        array = sent
    if array.ndim != 2 or array.dtype.kind not in "ui":
        raise CaptureError(name, f"is {array.dtype} of shape {array.shape}", f"Send {rows}×{columns} uint16 numbers.")
    if array.dtype != np.uint16:
        if array.size and (int(array.min()) < 0 or int(array.max()) > 65_535):
            raise CaptureError(name, f"has values from {array.min()} to {array.max()}", "Send uint16 numbers, 0…65535.")
        return array.astype(np.uint16)
    return array.astype(np.uint16, copy=False)


def _refuse_declared(request: Request, limits: Limits) -> None:
    declared = request.headers.get("content-length")
    if declared is not None and (not declared.isdecimal() or int(declared) > limits.bytes):
        raise _too_large(declared, limits)


def _too_large(size: object, limits: Limits) -> RequestError:
    # An oversized body is not read to its end: the connection closes with the answer.
    return RequestError(
        "body",
        f"has {size} bytes; at most {limits.bytes:,} are accepted",
        "Send one frame, as TIFF or as uint16 numbers.",
        status=413,
        headers={"Connection": "close"},
    )


async def _bounded(request: Request, limits: Limits) -> AsyncGenerator[bytes, None]:
    """Chunks of the body, up to the limit."""
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limits.bytes:
            raise _too_large(f"more than {limits.bytes:,}", limits)
        yield chunk


@asynccontextmanager
async def _in_time(limits: Limits) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(limits.seconds):
            yield
    except TimeoutError as error:
        raise RequestError(
            "body",
            f"did not arrive within {limits.seconds:g} s",
            "Send it faster; check the network.",
            status=408,
            headers={"Connection": "close"},
        ) from error


class _InMemory(MultiPartParser):
    """Keeps files in memory: the body limit bounds their size, and the root file system may be read-only."""

    spool_max_size = 1 << 40
