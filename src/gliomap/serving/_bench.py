"""Latency and throughput of a service: real requests of every kind, timed at the client."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import numpy as np
import numpy.typing as npt

from gliomap.errors import UsageError
from gliomap.serving._client import Client
from gliomap.serving._exchange import Asked, frame_request, refused
from gliomap.serving._json import dump_json
from gliomap.serving._synthetic import BenchFrames

__all__ = ["KINDS", "Measured", "measure"]

KINDS: Mapping[str, str] = {
    "labels": "label map as PNG",
    "npz": "labels, probabilities, confidence and masks as NPZ",
    "json": "numbers and label map as JSON",
    "map": "picture with legend as PNG",
    "tensors": "Open Inference Protocol, binary",
    "stream": "WebSocket, two frames in flight",
    "thesis": "the thesis's JSON",
}
"""Kinds of requests that can be measured."""

IN_FLIGHT = 2


@dataclass(frozen=True, slots=True)
class Measured:
    """What the clients measured.

    Attributes
    ----------
    kind, clients
        Kind of the requests, and number of concurrent clients.
    seconds
        From the first request to the last answer.
    answers
        HTTP status → number of answers; a frame that fails within a stream counts under the status of its problem.
    times
        Seconds from sending to the complete answer, for requests answered with a map.
    wrong
        Maps that differ from the first one for the same frame.
    dropped
        Frames of streams that were dropped for newer ones.
    """

    kind: str
    clients: int
    seconds: float
    answers: Mapping[int, int]
    times: tuple[float, ...]
    wrong: int
    dropped: int = 0

    @property
    def per_second(self) -> float:
        """Maps per second, all clients together."""
        return len(self.times) / self.seconds if self.seconds else 0.0

    def quantile(self, share: float) -> float | None:
        """Seconds within which this share of the maps arrived; None if there are no maps."""
        return float(np.quantile(self.times, share)) if self.times else None

    @property
    def refused(self) -> int:
        """Answers that asked the client to try again (429, 503)."""
        return sum(count for status, count in self.answers.items() if status in (429, 503))

    @property
    def failed(self) -> int:
        """Answers that are neither a map nor a refusal because of load."""
        return sum(self.answers.values()) - self.refused - self.answers.get(200, 0)


def measure(
    client: Client, kind: str, frames: BenchFrames, *, references: str, clients: int = 1, seconds: float = 10.0
) -> Measured:
    """Let clients send requests for some seconds, each as soon as it has its last answer and at least once.

    Parameters
    ----------
    kind
        A key of `KINDS`.
    references
        Id under which the service holds the references of `frames`.

    Raises
    ------
    UsageError
        The kind is unknown.
    RequestError
        The first request is not answered with a map.
    MachineError
        The service cannot be reached.
    """
    if kind not in KINDS:
        raise UsageError(f"kind {kind!r}", "is unknown", f"Choose one of: {', '.join(KINDS)}.")
    if kind == "stream":
        ask: Callable[[_Tally, float], None] = _streaming(client, frames, references)
    else:
        ask = _asking(client, _request(kind, frames, references))
    tally = _Tally()
    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        for asking in [pool.submit(ask, tally, started + seconds) for _ in range(clients)]:
            asking.result()
    took = time.perf_counter() - started
    return Measured(kind, clients, took, dict(tally.answers), tuple(tally.times), tally.wrong, tally.dropped)


class _Tally:
    """Counters shared by all clients."""

    def __init__(self) -> None:
        self.answers: Counter[int] = Counter()
        self.times: list[float] = []
        self.wrong = self.dropped = 0
        self._lock = threading.Lock()

    def add(self, status: int, took: float, right: bool) -> None:
        with self._lock:
            self.answers[status] += 1
            if status == 200:
                self.times.append(took)
                self.wrong += not right


def _asking(client: Client, asked: Asked) -> Callable[[_Tally, float], None]:
    first = client.ask(asked)
    if first.status_code != 200:
        raise refused(first)
    right = _map_digest(first)

    def ask(tally: _Tally, until: float) -> None:
        late = False
        while not late:
            sent = time.perf_counter()
            answer = client.ask(asked)
            took = time.perf_counter() - sent
            tally.add(answer.status_code, took, answer.status_code != 200 or _map_digest(answer) == right)
            if answer.status_code in (429, 503):
                time.sleep(0.05)
            late = time.perf_counter() >= until

    return ask


def _streaming(client: Client, frames: BenchFrames, references: str) -> Callable[[_Tally, float], None]:
    ((_, right),) = client.stream([frames.raw], references=references)

    def ask(tally: _Tally, until: float) -> None:
        sent: list[float] = []

        def camera() -> Iterator[npt.NDArray[np.uint16]]:
            while not sent or time.perf_counter() < until:
                sent.append(time.perf_counter())
                yield frames.raw

        total = 0
        for reply, body in client.stream(camera(), references=references, in_flight=IN_FLIGHT):
            took = time.perf_counter() - sent[reply.sequence - 1]
            status = 200 if reply.problem is None else int(reply.problem["status"])
            tally.add(status, took, body == right)
            total = reply.dropped_total
        tally.dropped += total

    return ask


def _request(kind: str, frames: BenchFrames, references: str) -> Asked:
    accepts = {"labels": "image/png", "map": "image/png", "npz": "application/x-npz", "json": "application/json"}
    if kind in accepts:
        picture = kind if accepts[kind] == "image/png" else None
        return frame_request(frames.raw, references, accepts[kind], picture=picture)
    if kind == "thesis":
        lists = {"raw_image": frames.raw, "white_ref": frames.white, "black_ref": frames.dark}
        content = dump_json({**lists, "patch_size": 7, "batch_size": 16})
        return Asked("POST", "/score", {"content": content, "headers": {"Content-Type": "application/json"}})
    raw = {"name": "raw", "shape": list(frames.raw.shape), "datatype": "UINT16"}
    head = dump_json(
        {
            "inputs": [{**raw, "parameters": {"binary_data_size": frames.raw.nbytes}}],
            "outputs": [{"name": "labels", "parameters": {"binary_data": True}}],
            "parameters": {"references": references},
        }
    )
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    body = head + frames.raw.astype("<u2", copy=False).tobytes()
    return Asked("POST", "/v2/models/gliomap/infer", {"content": body, "headers": headers})


def _map_digest(answer: httpx.Response) -> str:
    """Digest of the map alone, without what differs from answer to answer (ids, times)."""
    content, kind = answer.content, answer.headers.get("content-type", "")
    if kind == "application/json":
        # The answer of /v1/classify ends with the map, as 'labels_png'; the thesis's answer begins with it.
        start, end = content.find(b'"labels_png"'), content.find(b"time_parsing_data")
        content = content[start:] if start >= 0 else content[:end]
    elif kind == "application/octet-stream":
        content = content[int(answer.headers["Inference-Header-Content-Length"]) :]
    return hashlib.sha256(content).hexdigest()
