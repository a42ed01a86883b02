"""The synchronous client of the service; `AsyncClient` has its asking methods with `await`."""

from __future__ import annotations

import atexit
import ssl
import time
import weakref
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

import httpx

from gliomap.serving._exchange import (
    Asked,
    FrameLike,
    PictureKind,
    References,
    RemoteMap,
    files_of,
    frame_message,
    frame_request,
    key_headers,
    map_of,
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
from gliomap.serving._waiting_socket import WaitingSocket

__all__ = ["Client"]

_STREAMS: weakref.WeakSet[Generator[tuple[StreamReply, bytes], None, None]] = weakref.WeakSet()


@atexit.register
def _close_streams() -> None:
    """Close streams that a program left half read: later their threads no longer run, and the program would hang at exit."""
    for replies in list(_STREAMS):
        with suppress(ValueError):  # it is running in another thread
            replies.close()


class Client:
    """A synchronous client. Use it as a context manager, or call `close`.

    Parameters
    ----------
    url
        Address of the service, such as http://127.0.0.1:8000.
    key
        API key, if the service requires one.
    timeout_s
        Longest wait for an answer.
    verify
        For TLS: the PEM file of an authority, an `ssl.SSLContext`, or True for the system's authorities.

    Notes
    -----
    A refused request raises `RequestError` with the service's own message. If the service is busy, the client tries again
    after the time given in Retry-After. A service that cannot be reached raises `MachineError`.
    """

    def __init__(
        self, url: str, *, key: str | None = None, timeout_s: float = 60, verify: ssl.SSLContext | str | bool = True
    ) -> None:
        self.url, self._key, self._verify = url.rstrip("/"), key, tls_context(verify)
        self._http = httpx.Client(base_url=self.url, headers=key_headers(key), timeout=timeout_s, verify=self._verify)

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
        """Manifest and card of the served model."""
        return ModelAnswer.model_validate_json(self._send(Asked("GET", "/v1/model", {})).content)

    def put_references(
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
        name
            An id for the operation: letters, digits, '.', '_' and '-', at most 64 characters.
        white, dark, white_dark
            Frames as in `classify`; `white_dark` is a second dark reference at the exposure of the white.
        exposures_ms
            raw, white and dark → ms, if they differ.
        """
        answer = self._send(pair_request(name, white, dark, white_dark, exposures_ms))
        return ReferencesAnswer.model_validate_json(answer.content)

    def get_references(self, name: str) -> ReferencesAnswer:
        """The references stored under an id; raises `RequestError` if there are none."""
        return ReferencesAnswer.model_validate_json(self._send(Asked("GET", f"/v1/references/{name}", {})).content)

    def delete_references(self, name: str) -> None:
        """Delete references."""
        self._send(Asked("DELETE", f"/v1/references/{name}", {}))

    def classify(self, raw: FrameLike, references: References, *, patient: str | None = None) -> RemoteMap:
        """Classify a frame, with stored references or with its own (white, dark).

        Parameters
        ----------
        raw
            The path or content of a TIFF file, or an array (rows, columns) of the frame's shape.
        references
            The id of stored references, or (white, dark) of this frame.
        patient
            Identifier for the service's archive.
        """
        return map_of(self._send(frame_request(raw, references, "application/x-npz", patient=patient)))

    def summary(
        self, raw: FrameLike, references: References, *, patient: str | None = None, palette: str = "classic"
    ) -> ClassifyAnswer:
        """Classify a frame and return its map in numbers and as a small PNG.

        Parameters
        ----------
        raw, references, patient
            As in `classify`.
        palette
            'classic' or 'safe': colours of the classes and of the PNG.
        """
        asked = frame_request(raw, references, "application/json", patient=patient, palette=palette)
        answer = self._send(asked)
        return ClassifyAnswer.model_validate_json(answer.content)

    def picture(
        self, raw: FrameLike, references: References, kind: PictureKind = "map", *, palette: str = "classic"
    ) -> bytes:
        """Classify a frame and return a PNG picture.

        Parameters
        ----------
        raw, references
            As in `classify`.
        kind
            'labels', 'map' or 'overlay'.
        palette
            'classic' or 'safe'.
        """
        return self._send(frame_request(raw, references, "image/png", picture=kind, palette=palette)).content

    def everything(
        self, raw: FrameLike, references: References, *, patient: str | None = None, palette: str = "classic"
    ) -> dict[str, bytes]:
        """Classify a frame and return all files that `gliomap classify -o` writes: name → content.

        Parameters
        ----------
        raw, references, patient
            As in `classify`.
        palette
            'classic' or 'safe'.
        """
        asked = frame_request(raw, references, "application/zip", patient=patient, palette=palette)
        return files_of(self._send(asked))

    def stream(
        self,
        frames: Iterable[FrameLike],
        *,
        references: str,
        encoding: Literal["labels", "png"] = "labels",
        in_flight: int = 1,
    ) -> Iterator[tuple[StreamReply, bytes]]:
        """Send frames and yield their maps, with at most `in_flight` frames on the way at once.

        With one, each frame gets its map before the next is sent; with two, the service works while a map is in transit. With
        more, the newest frame wins, and replies count the frames that were dropped.

        Parameters
        ----------
        frames
            As in `classify`, in the order in which they are sent.
        references
            The id of stored references.
        encoding
            Of the maps; 'labels' is uint8, row by row.
        in_flight
            1 or more.

        Yields
        ------
        StreamReply, bytes
            The head of a reply and its map.
        """
        replies = self._replies(frames, stream_url(self.url, references, encoding), in_flight)
        _STREAMS.add(replies)
        return replies

    def _replies(
        self, frames: Iterable[FrameLike], url: str, in_flight: int
    ) -> Generator[tuple[StreamReply, bytes], None, None]:
        with stream_faults(url), WaitingSocket(url, self._key, self._verify) as socket:
            model = self.model()
            sent = replied = 0
            for frame in frames:
                socket.send(frame_message(frame, model))
                sent += 1
                while sent - replied >= in_flight:
                    reply, body = unpack_reply(socket.receive())
                    replied = reply.sequence
                    yield reply, body
            while replied < sent:
                reply, body = unpack_reply(socket.receive())
                replied = reply.sequence
                yield reply, body

    def ask(self, asked: Asked) -> httpx.Response:
        """Send a request once and return whatever comes, even a refusal."""
        try:
            return self._http.request(asked.method, asked.path, **asked.options)
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error

    def metrics(self) -> str:
        """The service's metrics in the Prometheus text format."""
        return self._send(Asked("GET", "/metrics", {})).text

    def _send(self, asked: Asked) -> httpx.Response:
        tried = 1
        while True:
            answer = self.ask(asked)
            if answer.is_success:
                return answer
            wait = wait_before_retry(answer, tried)
            if wait is None:
                raise refused(answer)
            time.sleep(wait)
            tried += 1
