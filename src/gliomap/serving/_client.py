"""Clients of the service, for programs: one that waits and one for asyncio, with the same methods."""

from __future__ import annotations

import asyncio
import io
import time
import zipfile
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import httpx
import numpy as np
import numpy.typing as npt

from gliomap.errors import MachineError, RequestError
from gliomap.serving._schemas import ClassifyAnswer, ModelAnswer, ReferencesAnswer, StreamReply

__all__ = ["AsyncClient", "Client", "FrameLike", "RemoteMap"]

FrameLike = Path | str | bytes | npt.NDArray[np.uint16]
"""A frame: the path or the bytes of a TIFF file, or its numbers."""

_TRIES = 4
_LONGEST_WAIT_S = 10.0


@dataclass(frozen=True, eq=False)
class RemoteMap:
    """A map that a service made.

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
        Why nothing was classified; None where the map stands.
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
    case: str | None


@dataclass(frozen=True, eq=False)
class _Asked:
    """A request, and what becomes of its answer."""

    method: str
    path: str
    options: Mapping[str, Any]


def _frame_request(
    raw: FrameLike,
    references: str | None,
    white: FrameLike | None,
    dark: FrameLike | None,
    accept: str,
    **parameters: str | None,
) -> _Asked:
    asked = {name: value for name, value in {"references": references, **parameters}.items() if value is not None}
    headers = {"Accept": accept}
    if white is None and dark is None:
        content, kind, shape = _content(raw)
        headers |= {"Content-Type": kind} | ({"X-Frame-Shape": f"{shape[0]}x{shape[1]}"} if shape else {})
        return _Asked("POST", "/v1/classify", {"params": asked, "headers": headers, "content": content})
    sent = {"raw": raw, "white": white, "dark": dark}
    files = {name: (f"{name}.tif", _content(one)[0]) for name, one in sent.items() if one is not None}
    return _Asked("POST", "/v1/classify", {"params": asked, "headers": headers, "files": files})


def _pair_request(
    name: str, white: FrameLike, dark: FrameLike, white_dark: FrameLike | None, exposures_ms: Mapping[str, float] | None
) -> _Asked:
    sent = {"white": white, "dark": dark, "white_dark": white_dark}
    files = {role: (f"{role}.tif", _content(one)[0]) for role, one in sent.items() if one is not None}
    times = {f"{role}_ms": str(value) for role, value in (exposures_ms or {}).items()}
    return _Asked("PUT", f"/v1/references/{name}", {"files": files, "params": times})


def _content(frame: FrameLike) -> tuple[bytes, str, tuple[int, int] | None]:
    """Bytes, media type and, for numbers, shape."""
    if isinstance(frame, np.ndarray):
        return frame.astype("<u2", copy=False).tobytes(), "application/octet-stream", (frame.shape[0], frame.shape[1])
    return (frame if isinstance(frame, bytes) else Path(frame).read_bytes()), "image/tiff", None


def _map_of(answer: httpx.Response) -> RemoteMap:
    with np.load(io.BytesIO(answer.content), allow_pickle=False) as arrays:
        return RemoteMap(
            **{name: arrays[name] for name in ("labels", "probabilities", "confidence", "mask", "reasons")},
            bundle=answer.headers.get("GlioMap-Bundle", ""),
            blanked=answer.headers.get("GlioMap-Blanked"),
            case=answer.headers.get("GlioMap-Case"),
        )


def _refused(answer: httpx.Response) -> RequestError:
    """The problem that an answer tells, as an error."""
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


def _wait(answer: httpx.Response, tried: int) -> float | None:
    """Seconds until a request that was refused for load is sent again; None to give up."""
    if answer.status_code not in (429, 503) or tried >= _TRIES:
        return None
    told = answer.headers.get("Retry-After", "1")
    return min(float(told) if told.isdigit() else 1.0, _LONGEST_WAIT_S)


def _unreachable(url: object, error: Exception) -> MachineError:
    return MachineError(url, f"cannot be reached ({error})", "Check the address, and that the service runs.")


def _headers(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def _stream_url(base: str, references: str, encoding: str) -> str:
    scheme, _, rest = base.rstrip("/").partition("://")
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest}/v1/stream?references={references}&encoding={encoding}"


class Client:
    """A client that waits for each answer. Use it as a context manager, or call `close`.

    Parameters
    ----------
    url
        Of the service, such as http://127.0.0.1:8000.
    key
        API key, where the service asks for one.
    timeout_s
        Longest wait for an answer.
    verify
        For TLS: the PEM file of an authority, an `ssl.SSLContext`, or True for those of the system.

    Notes
    -----
    What the service refuses raises `RequestError` with the service's own words; a busy service is asked again after the
    time that it tells. A service that cannot be reached raises `MachineError`.
    """

    def __init__(self, url: str, *, key: str | None = None, timeout_s: float = 60, verify: Any = True) -> None:
        self.url, self._key = url.rstrip("/"), key
        self._http = httpx.Client(base_url=self.url, headers=_headers(key), timeout=timeout_s, verify=verify)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def ready(self) -> bool:
        """Whether frames may be sent."""
        try:
            return self._http.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def model(self) -> ModelAnswer:
        """Manifest and card of the model that is served."""
        return ModelAnswer.model_validate_json(self._send(_Asked("GET", "/v1/model", {})).content)

    def put_references(
        self,
        name: str,
        white: FrameLike,
        dark: FrameLike,
        *,
        white_dark: FrameLike | None = None,
        exposures_ms: Mapping[str, float] | None = None,
    ) -> ReferencesAnswer:
        """Send white and dark once per operation; `exposures_ms` has raw, white and dark where they differ."""
        answer = self._send(_pair_request(name, white, dark, white_dark, exposures_ms))
        return ReferencesAnswer.model_validate_json(answer.content)

    def delete_references(self, name: str) -> None:
        """Forget references."""
        self._send(_Asked("DELETE", f"/v1/references/{name}", {}))

    def classify(
        self,
        raw: FrameLike,
        *,
        references: str | None = None,
        white: FrameLike | None = None,
        dark: FrameLike | None = None,
        patient: str | None = None,
    ) -> RemoteMap:
        """Classify a frame, with references that were put, or with its own white and dark."""
        return _map_of(self._send(_frame_request(raw, references, white, dark, "application/x-npz", patient=patient)))

    def summary(
        self,
        raw: FrameLike,
        *,
        references: str | None = None,
        white: FrameLike | None = None,
        dark: FrameLike | None = None,
        patient: str | None = None,
    ) -> ClassifyAnswer:
        """Classify a frame, and get its map in numbers and as a small PNG."""
        answer = self._send(_frame_request(raw, references, white, dark, "application/json", patient=patient))
        return ClassifyAnswer.model_validate_json(answer.content)

    def picture(
        self,
        raw: FrameLike,
        kind: Literal["labels", "map", "overlay"] = "map",
        *,
        references: str | None = None,
        white: FrameLike | None = None,
        dark: FrameLike | None = None,
        palette: str = "classic",
    ) -> bytes:
        """Classify a frame, and get a PNG picture."""
        asked = _frame_request(raw, references, white, dark, "image/png", picture=kind, palette=palette)
        return self._send(asked).content

    def everything(
        self,
        raw: FrameLike,
        *,
        references: str | None = None,
        white: FrameLike | None = None,
        dark: FrameLike | None = None,
        patient: str | None = None,
        palette: str = "classic",
    ) -> dict[str, bytes]:
        """Classify a frame, and get all files that `gliomap classify -o` writes: name → content."""
        asked = _frame_request(raw, references, white, dark, "application/zip", patient=patient, palette=palette)
        with zipfile.ZipFile(io.BytesIO(self._send(asked).content)) as archive:
            return {entry.filename: archive.read(entry) for entry in archive.infolist()}

    def stream(
        self, frames: Iterable[FrameLike], *, references: str, encoding: Literal["labels", "png"] = "labels"
    ) -> Iterator[tuple[StreamReply, bytes]]:
        """Send frames one by one, and get each one's map before the next is sent."""
        from websockets.exceptions import InvalidStatus
        from websockets.sync.client import connect

        from gliomap.serving._stream import unpack_reply

        url = _stream_url(self.url, references, encoding)
        try:
            socket = connect(url, additional_headers=_headers(self._key), compression=None, max_size=1 << 26)
        except InvalidStatus as error:
            raise _refused(httpx.Response(error.response.status_code, content=bytes(error.response.body))) from error
        except OSError as error:
            raise _unreachable(url, error) from error
        with socket:
            for frame in frames:
                socket.send(_content(frame)[0])
                yield unpack_reply(_binary(socket.recv()))

    def _send(self, asked: _Asked) -> httpx.Response:
        tried = 1
        while True:
            try:
                answer = self._http.request(asked.method, asked.path, **asked.options)
            except httpx.TransportError as error:
                raise _unreachable(self.url, error) from error
            if answer.is_success:
                return answer
            wait = _wait(answer, tried)
            if wait is None:
                raise _refused(answer)
            time.sleep(wait)
            tried += 1


class AsyncClient:
    """A client for asyncio; parameters and errors as of `Client`. Use it with `async with`."""

    def __init__(self, url: str, *, key: str | None = None, timeout_s: float = 60, verify: Any = True) -> None:
        self.url, self._key = url.rstrip("/"), key
        self._http = httpx.AsyncClient(base_url=self.url, headers=_headers(key), timeout=timeout_s, verify=verify)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def model(self) -> ModelAnswer:
        """Manifest and card of the model that is served."""
        return ModelAnswer.model_validate_json((await self._send(_Asked("GET", "/v1/model", {}))).content)

    async def put_references(
        self,
        name: str,
        white: FrameLike,
        dark: FrameLike,
        *,
        white_dark: FrameLike | None = None,
        exposures_ms: Mapping[str, float] | None = None,
    ) -> ReferencesAnswer:
        """Send white and dark once per operation."""
        answer = await self._send(_pair_request(name, white, dark, white_dark, exposures_ms))
        return ReferencesAnswer.model_validate_json(answer.content)

    async def classify(
        self,
        raw: FrameLike,
        *,
        references: str | None = None,
        white: FrameLike | None = None,
        dark: FrameLike | None = None,
        patient: str | None = None,
    ) -> RemoteMap:
        """Classify a frame, with references that were put, or with its own white and dark."""
        asked = _frame_request(raw, references, white, dark, "application/x-npz", patient=patient)
        return _map_of(await self._send(asked))

    async def stream(
        self, frames: AsyncIterator[FrameLike], *, references: str, encoding: Literal["labels", "png"] = "labels"
    ) -> AsyncIterator[tuple[StreamReply, bytes]]:
        """Send frames as they come, and get maps as they come; the service drops frames that it has no time for."""
        from websockets.asyncio.client import connect

        from gliomap.serving._stream import unpack_reply

        url = _stream_url(self.url, references, encoding)
        async with connect(url, additional_headers=_headers(self._key), compression=None, max_size=1 << 26) as socket:
            sent = replied = 0

            async def send() -> None:
                nonlocal sent
                async for frame in frames:
                    await socket.send(_content(frame)[0])
                    sent += 1
                if replied == sent:
                    await socket.close()

            sender = asyncio.create_task(send())
            try:
                # The newest frame is never dropped: when it is answered and no more come, all is done.
                async for message in socket:
                    reply, body = unpack_reply(_binary(message))
                    replied = reply.sequence
                    yield reply, body
                    if sender.done():
                        sender.result()
                        if replied == sent:
                            break
            finally:
                sender.cancel()

    async def _send(self, asked: _Asked) -> httpx.Response:
        tried = 1
        while True:
            try:
                answer = await self._http.request(asked.method, asked.path, **asked.options)
            except httpx.TransportError as error:
                raise _unreachable(self.url, error) from error
            if answer.is_success:
                return answer
            wait = _wait(answer, tried)
            if wait is None:
                raise _refused(answer)
            await asyncio.sleep(wait)
            tried += 1


def _binary(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else message
