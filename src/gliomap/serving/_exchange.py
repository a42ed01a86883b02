"""Requests of the clients and how their answers are read; the clients themselves only transport them."""

from __future__ import annotations

import io
import ssl
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

import httpx
import numpy as np
import numpy.typing as npt
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.frames import CloseCode

from gliomap.captures import tiff_bytes
from gliomap.errors import CaptureError, MachineError, RequestError
from gliomap.serving._schemas import ModelAnswer

__all__ = [
    "Asked",
    "FrameLike",
    "PictureKind",
    "References",
    "RemoteMap",
    "binary",
    "files_of",
    "frame_content",
    "frame_message",
    "frame_request",
    "key_headers",
    "map_of",
    "open_stream",
    "pair_request",
    "refused",
    "stream_faults",
    "stream_url",
    "tls_context",
    "unreachable",
    "wait_before_retry",
]

FrameLike = Path | str | bytes | npt.NDArray[np.uint16]
"""A frame: the path or content of a TIFF file, or its numbers."""

References = str | tuple[FrameLike, FrameLike]
"""The id of references that the service holds, or the white and dark frames themselves."""

PictureKind = Literal["labels", "map", "overlay"]
"""The bare label map, a map with its legend, a map over the frame."""

_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
"""What different releases of OpenSSL call an answer that is not TLS."""
_OUT_OF_DATE = (9, 10)
"""OpenSSL's codes for certificates that are not yet valid and that have expired."""
_TRIES = 4
_LONGEST_WAIT_S = 10.0


@dataclass(frozen=True, eq=False)
class RemoteMap:
    """A map made by a service.

    Attributes
    ----------
    labels
        (H, W) uint8: class 1…C, 0 = not classified.
    probabilities
        (H, W, C) float32.
    confidence
        (H, W) float32.
    mask
        (H, W) bool, True = classified.
    reasons
        (H, W) uint8, bits of `gliomap.preprocessing.Reason`.
    bundle
        Identity of the bundle that made it.
    blanked
        Why nothing was classified; None if the map is not blank.
    warnings
        What a reader of the map must know, in one line; may be empty.
    case
        Its id in the service's archive, or None.
    """

    labels: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    reasons: npt.NDArray[np.uint8]
    bundle: str
    blanked: str | None
    warnings: str
    case: str | None


@dataclass(frozen=True, eq=False)
class Asked:
    """A request, ready to be sent."""

    method: str
    path: str
    options: Mapping[str, Any]


def frame_request(raw: FrameLike, references: References, accept: str, **parameters: str | None) -> Asked:
    """The request to classify a frame, with references that the service holds or with its own."""
    asked = {name: value for name, value in parameters.items() if value is not None}
    headers = {"Accept": accept}
    if isinstance(references, str):
        content, kind, shape = frame_content(raw)
        headers |= {"Content-Type": kind} | ({"X-Frame-Shape": f"{shape[0]}x{shape[1]}"} if shape else {})
        known = {"params": {"references": references, **asked}, "headers": headers, "content": content}
        return Asked("POST", "/v1/classify", known)
    white, dark = references
    files = _files({"raw": raw, "white": white, "dark": dark})
    return Asked("POST", "/v1/classify", {"params": asked, "headers": headers, "files": files})


def pair_request(
    name: str, white: FrameLike, dark: FrameLike, white_dark: FrameLike | None, exposures_ms: Mapping[str, float] | None
) -> Asked:
    """The request to store references."""
    files = _files({"white": white, "dark": dark, "white_dark": white_dark})
    times = {f"{role}_ms": str(value) for role, value in (exposures_ms or {}).items()}
    return Asked("PUT", f"/v1/references/{name}", {"files": files, "params": times})


def _files(frames: Mapping[str, FrameLike | None]) -> dict[str, tuple[str, bytes]]:
    """Frames as form files; numbers become TIFF files too, because a form part has no place for their shape."""
    return {
        role: (f"{role}.tif", tiff_bytes(_as_sent(one)) if isinstance(one, np.ndarray) else frame_content(one)[0])
        for role, one in frames.items()
        if one is not None
    }


def frame_content(frame: FrameLike) -> tuple[bytes, str, tuple[int, int] | None]:
    """The bytes of a frame, their media type and, for numbers, the shape."""
    if isinstance(frame, np.ndarray):
        return _as_sent(frame).tobytes(), "application/octet-stream", (frame.shape[0], frame.shape[1])
    return (frame if isinstance(frame, bytes) else Path(frame).read_bytes()), "image/tiff", None


def frame_message(frame: FrameLike, model: ModelAnswer) -> bytes | memoryview:
    """A frame as a message of a stream; numbers are not copied.

    Raises
    ------
    CaptureError
        The numbers have another shape than frames of the model's camera: a message has no place for a shape.
    """
    if isinstance(frame, np.ndarray):
        shape = tuple(model.manifest["sensor"]["frame_shape"])
        if frame.shape != shape:
            raise CaptureError(
                "frame", f"has shape {frame.shape}; frames of the camera have {shape}", "Send the whole frame."
            )
        return np.ascontiguousarray(_as_sent(frame)).data.cast("B")
    return frame_content(frame)[0]


def _as_sent(frame: npt.NDArray[np.generic]) -> npt.NDArray[np.uint16]:
    """Numbers in the byte order of messages.

    Raises
    ------
    CaptureError
        They are not uint16 (rows, columns): conversion would change them.
    """
    if frame.dtype.kind != "u" or frame.dtype.itemsize != 2 or frame.ndim != 2:
        raise CaptureError("frame", f"is {frame.dtype} of shape {frame.shape}", "Send a uint16 array (rows, columns).")
    return frame.astype("<u2", copy=False)


def map_of(answer: httpx.Response) -> RemoteMap:
    """The arrays of an answer."""
    with np.load(io.BytesIO(answer.content), allow_pickle=False) as arrays:
        return RemoteMap(
            **{name: arrays[name] for name in ("labels", "probabilities", "confidence", "mask", "reasons")},
            bundle=answer.headers.get("GlioMap-Bundle", ""),
            blanked=answer.headers.get("GlioMap-Blanked"),
            warnings=answer.headers.get("GlioMap-Warnings", ""),
            case=answer.headers.get("GlioMap-Case"),
        )


def files_of(answer: httpx.Response) -> dict[str, bytes]:
    """Name → content of an answer that is a ZIP archive."""
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def refused(answer: httpx.Response) -> RequestError:
    """The problem in an answer, as an error."""
    try:
        told = answer.json()
    except ValueError:
        told = {}
    told = told if isinstance(told, dict) else {}
    detail = str(told.get("detail", f"answered {answer.status_code}"))
    thing, _, fault = detail.partition(": ")
    return RequestError(
        thing if fault else str(answer.url),
        fault or detail,
        str(told.get("remedy", "Check the address.")),
        status=answer.status_code,
        headers={"Retry-After": answer.headers["Retry-After"]} if "Retry-After" in answer.headers else None,
    )


def wait_before_retry(answer: httpx.Response, tried: int) -> float | None:
    """Seconds until a request that was refused because of load is sent again; None to give up."""
    if answer.status_code not in (429, 503) or tried >= _TRIES:
        return None
    told = answer.headers.get("Retry-After", "1")
    return min(float(told) if told.isdecimal() else 1.0, _LONGEST_WAIT_S)


def unreachable(url: object, error: Exception) -> MachineError:
    """The error for a service that does not answer, or not with the protocol of its address."""
    tls = _tls_error(error)
    if tls is None:
        remedy = "Check the address (http or https) and whether the service is running."
        if str(url).startswith(("https", "wss")):
            # A client without a required certificate may be disconnected without any message.
            remedy += " If it requires a client certificate, give --tls-cert and --tls-key."
        return MachineError(url, f"cannot be reached ({error})", remedy)
    if isinstance(tls, ssl.SSLCertVerificationError):
        dated = tls.verify_code in _OUT_OF_DATE
        return MachineError(
            url,
            f"presents a certificate that is not trusted here ({tls.verify_message.rstrip('.')})",
            "Renew it and restart the service; or set this computer's clock, if it is wrong."
            if dated
            else "Name the authority that signed it with --tls-ca, or use the host name that it was issued for.",
        )
    if tls.reason in _NO_TLS:
        return MachineError(url, "speaks plain HTTP, not HTTPS", "Write http:// if it is supposed to run without TLS.")
    return MachineError(
        url,
        f"cannot be reached over an encrypted connection ({tls.reason or tls})",
        "Check the certificates; if it requires a client certificate, give --tls-cert and --tls-key.",
    )


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """The TLS error behind the error that a library raised."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error


def key_headers(key: str | None) -> dict[str, str]:
    """Headers that carry a key."""
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def tls_context(verify: ssl.SSLContext | str | bool) -> ssl.SSLContext | bool:
    """What httpx and websockets both accept: a context, or True for the system's authorities."""
    return ssl.create_default_context(cafile=verify) if isinstance(verify, str) else verify


async def open_stream(url: str, key: str | None, verify: ssl.SSLContext | bool) -> ClientConnection:
    """Open a stream; raise the service's refusal, or the error of a service that cannot be reached."""
    tls: dict[str, Any] = {"ssl": verify} if url.startswith("wss") and isinstance(verify, ssl.SSLContext) else {}
    try:
        return await connect(url, additional_headers=key_headers(key), compression=None, max_size=1 << 26, **tls)
    except InvalidStatus as error:
        told, asked = error.response, httpx.Request("GET", url)
        when = {"Retry-After": told.headers["Retry-After"]} if "Retry-After" in told.headers else {}
        answer = httpx.Response(told.status_code, headers=when, content=bytes(told.body), request=asked)
        raise refused(answer) from error
    except (InvalidHandshake, OSError) as error:
        raise unreachable(url, error) from error


@contextmanager
def stream_faults(url: str) -> Iterator[None]:
    """Raise as a GlioMap error what closed an open stream before all its frames were answered."""
    try:
        yield
    except ConnectionClosed as error:
        told = error.rcvd
        if told is not None and told.code == CloseCode.POLICY_VIOLATION:
            raise RequestError(
                url,
                f"closed the stream ({told.reason})",
                "Send what the service accepts, with a key that it knows.",
                status=400,
            ) from error
        raise MachineError(
            url,
            "vanished in the middle of a stream" if told is None else f"ended the stream ({told.reason or told.code})",
            "Frames without a reply have no map. When the service is ready again, send the references and open a new stream.",
        ) from error


def stream_url(base: str, references: str, encoding: str) -> str:
    """The address of a stream."""
    scheme, _, rest = base.rstrip("/").partition("://")
    asked = urlencode({"references": references, "encoding": encoding})
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest}/v1/stream?{asked}"


def binary(message: str | bytes) -> bytes:
    """A message of a stream as bytes."""
    return message.encode() if isinstance(message, str) else message
