"""WebSocket /v1/stream: frames in, maps out; the newest frame wins."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from gliomap.errors import GlioMapError, RequestError, http_status
from gliomap.serving._access import going_down, request_id, short_text, socket_access
from gliomap.serving._answers import check_palette, labels_png
from gliomap.serving._bodies import FrameBytes
from gliomap.serving._problems import problem_of, problem_response
from gliomap.serving._protocol import SERVICE_RESTART
from gliomap.serving._reply import pack_reply
from gliomap.serving._schemas import StreamReply
from gliomap.serving._service import Ask, Service

__all__ = ["Stream", "router"]

router = APIRouter()

logger = logging.getLogger(__name__)

POLICY_VIOLATION = 1008

Encoding = Literal["labels", "png"]


@dataclass(eq=False)
class _Newest:
    """The single waiting frame; a newer one replaces it."""

    frame: bytes | None = None
    received: int = 0
    dropped: int = 0
    dropped_total: int = 0
    closed: bool = False
    came: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, frame: bytes) -> None:
        """Store a frame, replacing the one that waits."""
        if self.frame is not None:
            self.dropped += 1
            self.dropped_total += 1
        self.received += 1
        self.frame = frame
        self.came.set()

    async def take(self) -> tuple[int, int, bytes] | None:
        """Return number, frames dropped since the last one, and bytes of the newest frame; None when no more will come."""
        while self.frame is None:
            if self.closed:
                return None
            self.came.clear()
            await self.came.wait()
        frame, dropped = self.frame, self.dropped
        self.frame, self.dropped = None, 0
        return self.received, dropped, frame

    def close(self) -> None:
        """Mark the end: no more frames will come."""
        self.closed = True
        self.came.set()


@dataclass(eq=False)
class Stream:
    """One open stream: what its client asked for, its waiting frame and, if its last frame has no map, the kind of the fault."""

    socket: WebSocket
    service: Service
    client: str
    request_id: str
    references: str
    encoding: Encoding
    palette: str
    patient: str | None
    fault: str = ""
    withdrawn: bool = False
    newest: _Newest = field(default_factory=_Newest)

    def check_key(self) -> None:
        """End the stream, after the map being made, if its key is no longer one of the service's."""
        try:
            socket_access(self.socket)
        except RequestError:
            self.withdrawn = True
            self.newest.close()

    def ending(self) -> tuple[int, str] | None:
        """Code and reason with which the service ends the stream now; None if it does not."""
        if self.service.draining:
            return SERVICE_RESTART, "the service is shutting down"
        return (POLICY_VIOLATION, "its key was withdrawn") if self.withdrawn else None

    def reply(self, counts: dict[str, Any], frame: bytes, arrived: float) -> bytes:
        """Classify one frame on a worker thread. A fault of one frame does not end the stream."""
        ask = Ask(
            "stream",
            self.client,
            self._frame_id(counts),
            {"raw": FrameBytes.guessed(frame)},
            self.references,
            self.patient,
            self.palette,
            started=arrived,
        )
        try:
            mapped = self.service.classify(ask)
            begun = time.perf_counter()
            tissue = mapped.tissue
            body = labels_png(tissue, self.palette) if self.encoding == "png" else tissue.labels.tobytes()
            mapped.timings["encode"] = time.perf_counter() - begun
            case = self.service.record(ask, mapped, body)
        except (GlioMapError, OSError, MemoryError) as error:
            return self.without_map(counts, error)
        self.fault = ""
        self.service.metrics.classified("stream", tissue, mapped.timings)
        head = StreamReply(
            **counts,
            shape=(tissue.height, tissue.width),
            encoding=self.encoding,
            classified=int(np.count_nonzero(tissue.labels)),
            pixels=tissue.pixel_counts(),
            blanked=tissue.blanked,
            warnings=mapped.warnings,
            timings_ms={stage: round(1e3 * seconds, 2) for stage, seconds in mapped.timings.items()},
            case=case,
        )
        return pack_reply(head, body)

    def without_map(self, counts: dict[str, Any], error: BaseException) -> bytes:
        """The reply to a frame that cannot be classified; consecutive frames with the same fault share one log line."""
        name = self._frame_id(counts)
        if type(error).__name__ != self.fault:
            level = logging.WARNING if http_status(error) >= 500 else logging.INFO
            extra = {"client": self.client, "request_id": name}
            logger.log(level, "no map in a stream: %s", error, extra=extra)
        self.fault = type(error).__name__
        self.service.metrics.stream_refused.inc()
        problem = problem_of(error, name).model_dump(mode="json", exclude_none=True)
        return pack_reply(StreamReply(**counts, encoding="none", problem=problem), b"")

    def _frame_id(self, counts: dict[str, Any]) -> str:
        return f"{self.request_id}-{counts['sequence']}"


@router.websocket("/v1/stream")
async def stream(
    socket: WebSocket,
    references: str = "",
    encoding: str = "labels",
    palette: str = "classic",
    patient: str | None = None,
) -> None:
    """Frames in (TIFF files or uint16 numbers), maps out, until one side closes."""
    try:
        opened = _open(socket, references, encoding, palette, patient)
    except GlioMapError as error:
        # The stream is not open yet: refuse with an HTTP answer.
        await socket.send_denial_response(problem_response(error, request_id(socket)))
        return
    # Counted before anything is awaited, so that streams opening at the same time cannot exceed the limit.
    opened.service.open_streams.add(opened)
    try:
        await socket.accept()
        await _serve(opened)
    finally:
        opened.service.open_streams.discard(opened)


async def _serve(opened: Stream) -> None:
    reader = asyncio.create_task(_read(opened))
    try:
        await _answer(opened)
        if opened.ending() is None:
            await reader
    except WebSocketDisconnect:
        pass  # the client disconnected: nobody waits for the rest
    finally:
        reader.cancel()
        opened.service.metrics.dropped.inc(opened.newest.dropped)
        await _close(opened)


async def _close(opened: Stream) -> None:
    """Close a stream that is still open; one whose map is given up during the shutdown gets the reason too."""
    socket, ending = opened.socket, opened.ending()
    if socket.application_state != WebSocketState.CONNECTED:
        return
    if ending is not None:
        with suppress(WebSocketDisconnect):
            await socket.close(*ending)
    elif socket.client_state == WebSocketState.CONNECTED:
        await socket.close()


def _open(socket: WebSocket, references: str, encoding: str, palette: str, patient: str | None) -> Stream:
    service, client = socket_access(socket)
    if service.draining:
        raise going_down()
    service.references.get(references)
    if encoding not in ("labels", "png"):
        raise RequestError("encoding", f"is {encoding[:40]!r}", "Choose 'labels' or 'png'.", status=400)
    check_palette(palette)
    patient = short_text("patient", patient)
    if len(service.open_streams) >= service.settings.max_streams:
        raise RequestError(
            "streams",
            f"the maximum of {service.settings.max_streams} open at once is reached",
            "Close one, or try again later.",
            status=503,
            headers={"Retry-After": "5"},
        )
    kind: Encoding = "png" if encoding == "png" else "labels"
    return Stream(socket, service, client.name, request_id(socket), references, kind, palette, patient)


async def _read(opened: Stream) -> None:
    socket, limit = opened.socket, opened.service.settings.max_body
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            frame = message.get("bytes")
            if frame is None or len(frame) > limit:
                await socket.close(POLICY_VIOLATION, "send frames as binary messages")
                return
            opened.newest.put(frame)
    finally:
        opened.newest.close()


async def _answer(opened: Stream) -> None:
    socket, newest = opened.socket, opened.newest
    while (taken := await newest.take()) is not None and not opened.withdrawn:
        sequence, dropped, frame = taken
        opened.service.metrics.dropped.inc(dropped)
        counts = {"sequence": sequence, "dropped": dropped, "dropped_total": newest.dropped_total}
        work = partial(opened.reply, counts, frame, time.perf_counter())
        try:
            message = await opened.service.workers.run(work)
        except RequestError as error:
            message = opened.without_map(counts, error)
        if socket.application_state != WebSocketState.CONNECTED:
            return
        await socket.send_bytes(message)
        if opened.ending() is not None:
            return
