"""The asyncio client of the service; `Client` has the same methods."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Literal, Self

import httpx
from websockets.exceptions import ConnectionClosedOK

from gliomap.serving._exchange import (
    Asked,
    FrameLike,
    PictureKind,
    References,
    RemoteMap,
    binary,
    files_of,
    frame_message,
    frame_request,
    key_headers,
    map_of,
    open_stream,
    pair_request,
    refused,
    stream_faults,
    stream_url,
    tls_context,
    unreachable,
    wait_before_retry,
)
from gliomap.serving._reply import unpack_reply
from gliomap.serving._schemas import ClassifyAnswer, ModelAnswer, ReferencesAnswer, StreamReply

__all__ = ["AsyncClient"]


class AsyncClient:
    """An asyncio client; parameters and errors are those of `Client`. Use it with `async with`."""

    def __init__(
        self, url: str, *, key: str | None = None, timeout_s: float = 60, verify: ssl.SSLContext | str | bool = True
    ) -> None:
        self.url, self._key, self._verify = url.rstrip("/"), key, tls_context(verify)
        self._http = httpx.AsyncClient(
            base_url=self.url, headers=key_headers(key), timeout=timeout_s, verify=self._verify
        )
        self._left: set[asyncio.Task[httpx.Response]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        for request in self._left:
            request.cancel()
        await asyncio.gather(*self._left, return_exceptions=True)
        await self._http.aclose()

    async def model(self) -> ModelAnswer:
        """Manifest and card of the served model."""
        return ModelAnswer.model_validate_json((await self._send(Asked("GET", "/v1/model", {}))).content)

    async def put_references(
        self,
        name: str,
        white: FrameLike,
        dark: FrameLike,
        *,
        white_dark: FrameLike | None = None,
        exposures_ms: Mapping[str, float] | None = None,
    ) -> ReferencesAnswer:
        """Send the white and dark references once per operation.

        Parameters
        ----------
        name, white, dark, white_dark, exposures_ms
            As in `Client.put_references`.
        """
        answer = await self._send(pair_request(name, white, dark, white_dark, exposures_ms))
        return ReferencesAnswer.model_validate_json(answer.content)

    async def get_references(self, name: str) -> ReferencesAnswer:
        """As `Client.get_references`."""
        answer = await self._send(Asked("GET", f"/v1/references/{name}", {}))
        return ReferencesAnswer.model_validate_json(answer.content)

    async def delete_references(self, name: str) -> None:
        """Delete references."""
        await self._send(Asked("DELETE", f"/v1/references/{name}", {}))

    async def classify(self, raw: FrameLike, references: References, *, patient: str | None = None) -> RemoteMap:
        """As `Client.classify`."""
        return map_of(await self._send(frame_request(raw, references, "application/x-npz", patient=patient)))

    async def summary(
        self, raw: FrameLike, references: References, *, patient: str | None = None, palette: str = "classic"
    ) -> ClassifyAnswer:
        """As `Client.summary`."""
        asked = frame_request(raw, references, "application/json", patient=patient, palette=palette)
        answer = await self._send(asked)
        return ClassifyAnswer.model_validate_json(answer.content)

    async def picture(
        self, raw: FrameLike, references: References, kind: PictureKind = "map", *, palette: str = "classic"
    ) -> bytes:
        """As `Client.picture`."""
        return (await self._send(frame_request(raw, references, "image/png", picture=kind, palette=palette))).content

    async def everything(
        self, raw: FrameLike, references: References, *, patient: str | None = None, palette: str = "classic"
    ) -> dict[str, bytes]:
        """As `Client.everything`."""
        asked = frame_request(raw, references, "application/zip", patient=patient, palette=palette)
        return files_of(await self._send(asked))

    async def stream(
        self, frames: AsyncIterator[FrameLike], *, references: str, encoding: Literal["labels", "png"] = "labels"
    ) -> AsyncIterator[tuple[StreamReply, bytes]]:
        """Send frames and yield maps as they come; the service drops frames that it has no time for.

        Parameters
        ----------
        frames, references, encoding
            As in `Client.stream`.
        """
        url = stream_url(self.url, references, encoding)
        opened = await open_stream(url, self._key, self._verify)
        with stream_faults(url):
            async with opened as socket:
                model = await self.model()
                sent = replied = 0
                over = False

                async def send() -> None:
                    nonlocal sent, over
                    try:
                        async for frame in frames:
                            await socket.send(frame_message(frame, model))
                            sent += 1
                    finally:
                        over = True
                        if replied == sent:
                            await socket.close()  # nothing more will come to wake up the receiver

                sender = asyncio.create_task(send())
                try:
                    # The newest frame is never dropped: once it is answered and no more come, the stream is done.
                    while not over or replied < sent:
                        try:
                            message = await socket.recv()
                        except ConnectionClosedOK:
                            if over and replied == sent:
                                break
                            raise
                        reply, body = unpack_reply(binary(message))
                        replied = reply.sequence
                        yield reply, body
                    await sender
                finally:
                    sender.cancel()

    async def _send(self, asked: Asked) -> httpx.Response:
        tried = 1
        while True:
            try:
                answer = await self._request(asked)
            except httpx.TransportError as error:
                raise unreachable(self.url, error) from error
            if answer.is_success:
                return answer
            wait = wait_before_retry(answer, tried)
            if wait is None:
                raise refused(answer)
            await asyncio.sleep(wait)
            tried += 1

    async def _request(self, asked: Asked) -> httpx.Response:
        """Send a request once. A cancelled caller returns at once; the request itself runs on.

        Cancelling it would make httpx lose its connection, and after some more cancelled requests all connections.
        """
        request = asyncio.create_task(self._http.request(asked.method, asked.path, **asked.options))
        try:
            await asyncio.wait([request])
        except asyncio.CancelledError:
            self._left.add(request)
            request.add_done_callback(self._forget)
            raise
        return request.result()

    def _forget(self, request: asyncio.Task[httpx.Response]) -> None:
        self._left.discard(request)
        if not request.cancelled():
            request.exception()  # nobody awaits it any more; asyncio would complain about an exception never retrieved
