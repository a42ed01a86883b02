"""Too many, too slow or too late: every client gets an answer."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.requests import Request
from websockets.asyncio.client import connect as connect_later
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from gliomap.errors import RequestError
from gliomap.serving import Service, ServiceSettings, create_app
from gliomap.serving._bodies import Limits, swallow
from gliomap.serving._reply import unpack_reply
from gliomap.serving._work import Workers
from serving.servers import RunningServer, Scene, answer_of, count
from support import wait_until

HEADERS = {"Content-Type": "image/tiff", "Accept": "image/png"}


class TestWorkers:
    def test_requests_beyond_the_queue_are_refused_with_a_retry_time(self) -> None:
        async def ask() -> None:
            workers = Workers(1, 1, timedelta(seconds=5))
            async with workers.place(), workers.place():
                with pytest.raises(RequestError, match="busy with 2") as caught:
                    async with workers.place():
                        pass
            assert (caught.value.status, caught.value.headers["Retry-After"]) == (503, "1")
            async with workers.place():
                assert workers.admitted == 1
            workers.close()

        asyncio.run(ask())

    def test_a_request_beyond_its_deadline_is_refused_and_never_run(self) -> None:
        async def ask() -> None:
            workers = Workers(1, 4, timedelta(seconds=0.05))
            gate, served = threading.Event(), []
            first = asyncio.create_task(workers.run(gate.wait))
            second = asyncio.create_task(workers.run(lambda: served.append(2)))
            for task in (first, second):
                with pytest.raises(RequestError, match=r"within 0\.05 s"):
                    await task
            gate.set()
            await asyncio.to_thread(workers.close)
            assert served == []
            await asyncio.sleep(0)
            assert workers.waiting == 0

        asyncio.run(ask())


def test_32_clients_at_once_each_get_their_own_answer(serve: Callable[..., RunningServer], scene: Scene) -> None:
    server = serve("--queue", "4")
    with server.client() as client:
        client.put_references("or-1", scene.white, scene.dark)
        right = client.picture(scene.files["raw"], "or-1", "labels")
    url, content = f"{server.url}/v1/classify?references=or-1", scene.files["raw"]
    seen: Counter[int] = Counter()
    wrong = []

    def ask() -> None:
        with httpx.Client(timeout=30) as client:
            for _ in range(12):
                answer = client.post(url, content=content, headers=HEADERS)
                seen[answer.status_code] += 1
                if answer.status_code == 200 and answer.content != right:
                    wrong.append(answer.content)
                if answer.status_code == 503 and not answer.headers["Retry-After"].isdigit():
                    wrong.append(answer.headers)

    threads = [threading.Thread(target=ask) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(seen.values()) == 32 * 12
    assert set(seen) <= {200, 503}
    assert seen[200] >= 12
    assert wrong == []
    assert answer_of("GET", f"{server.url}/health/ready").status_code == 200


def test_a_stream_answers_the_newest_frame_and_counts_dropped_ones(server: RunningServer, scene: Scene) -> None:
    with server.client() as client:
        client.put_references("newest", scene.white, scene.dark)
    frames = 200
    with connect(f"{server.url.replace('http', 'ws')}/v1/stream?references=newest", compression=None) as socket:
        for _ in range(frames):
            socket.send(scene.raw.tobytes())
        replies = []
        while not replies or replies[-1].sequence < frames:
            replies.append(unpack_reply(socket.recv(timeout=30))[0])
    numbers = [reply.sequence for reply in replies]
    assert numbers == sorted(set(numbers))
    assert len(replies) + replies[-1].dropped_total == frames
    assert sum(reply.dropped for reply in replies) == replies[-1].dropped_total


def test_a_bad_frame_does_not_end_a_stream(server: RunningServer, scene: Scene) -> None:
    with server.client() as client:
        client.put_references("bad", scene.white, scene.dark)
        replies = [reply for reply, _ in client.stream([b"junk", scene.raw, b"", scene.files["raw"]], references="bad")]
    assert [reply.problem is None for reply in replies] == [False, True, False, True]
    assert replies[0].problem is not None
    assert "has 4 bytes" in replies[0].problem["detail"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("references=nobody", 404),
        ("references=..%2F..", 400),
        ("", 400),
        ("references=q&encoding=gif", 400),
        (f"references=q&patient={'x' * 200}", 400),
    ],
)
def test_an_invalid_stream_is_refused_before_it_opens(
    server: RunningServer, scene: Scene, query: str, status: int
) -> None:
    with server.client() as client:
        client.put_references("q", scene.white, scene.dark)
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{server.url.replace('http', 'ws')}/v1/stream?{query}")
    assert refused.value.response.status_code == status
    assert b'"remedy"' in refused.value.response.body


def test_simultaneous_streams_never_exceed_the_limit(serve: Callable[..., RunningServer], scene: Scene) -> None:
    running = serve("--max-streams", "2")
    with running.client() as client:
        client.put_references("r", scene.white, scene.dark)
    address = f"{running.url.replace('http', 'ws')}/v1/stream?references=r"

    async def opened() -> list[int]:
        async with contextlib.AsyncExitStack() as stack:

            async def one() -> int:
                try:
                    await stack.enter_async_context(connect_later(address, open_timeout=60))
                except InvalidStatus as error:
                    # When to come again is part of the answer.
                    return error.response.status_code if "Retry-After" in error.response.headers else 0
                return 101

            return sorted(await asyncio.gather(*(one() for _ in range(12))))

    assert asyncio.run(opened()) == [101] * 2 + [503] * 10


def test_shutdown_finishes_begun_requests_and_starts_none(serve: Callable[..., RunningServer], scene: Scene) -> None:
    server = serve()
    with server.client() as client:
        client.put_references("or-1", scene.white, scene.dark)
    host, port = server.url.removeprefix("http://").split(":")
    body = scene.files["raw"]
    place = (host, int(port))
    with socket.create_connection(place, timeout=60) as slow, socket.create_connection(place, timeout=60) as idle:
        head = f"POST /v1/classify?references=or-1 HTTP/1.1\r\nHost: x\r\nAccept: image/png\r\nContent-Length: {len(body)}\r\n\r\n"
        slow.sendall(head.encode() + body[: len(body) // 2])
        with server.client() as client:
            wait_until(lambda: count(client.metrics(), "gliomap_requests_under_way") == 1, server.process)
        server.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b"", "its end has begun: who asks for nothing is let go"
        slow.sendall(body[len(body) // 2 :])
        assert slow.recv(1 << 16).startswith(b"HTTP/1.1 200")
    assert server.process.wait(20) == 0


def test_a_service_shutting_down_is_not_ready_and_refuses_requests(bundle: Path, scene: Scene) -> None:
    """Also over connections that are still open; load balancers use either readiness endpoint."""
    service = Service(ServiceSettings(bundle))
    asked = [("GET", path) for path in ("/health/ready", "/v2/health/ready", "/v2/models/small/ready")]
    asked += [("POST", "/v1/classify?references=or-1"), ("POST", "/score"), ("POST", "/v2/models/small/infer")]
    asked += [("PUT", "/v1/references/or-1")]

    async def ask() -> None:
        transport = httpx.ASGITransport(create_app(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://loopback") as client:
            for _, path in asked[:3]:
                assert (await client.get(path)).status_code == 200, path
            files = {role: scene.files[role] for role in ("white", "dark")}
            assert (await client.put("/v1/references/or-1", files=files)).status_code < 300
            service.draining = True
            for method, path in asked:
                answer = await client.request(method, path, content=scene.files["raw"])
                assert (answer.status_code, answer.headers.get("retry-after")) == (503, "5"), path
                assert "is shutting down" in answer.text
            assert (await client.get("/health/live")).status_code == 200

    asyncio.run(ask())
    service.close()


@pytest.mark.parametrize(
    ("declared", "sent", "taken"),
    [("3000", 3, 3), (None, 3, 3), ("5000", 0, 0), (None, 9, 5)],
    ids=["small", "of unknown size", "large", "endless"],
)
def test_enough_of_a_refused_body_is_read_for_the_client_to_see_the_answer(
    declared: str | None, sent: int, taken: int
) -> None:
    left = [{"type": "http.request", "body": bytes(1000), "more_body": n > 1} for n in range(sent, 0, -1)]

    async def receive() -> Any:
        return left.pop(0)

    headers = [] if declared is None else [(b"content-length", declared.encode())]
    asyncio.run(swallow(Request({"type": "http", "headers": headers}, receive), Limits(4000, 5)))
    assert sent - len(left) == taken


class TestSlowAndLarge:
    def ask(self, server: RunningServer, head: str, body: bytes = b"", wait: float = 60) -> bytes:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=wait) as raw:
            raw.sendall(f"{head}\r\nHost: x\r\n\r\n".encode() + body)
            return b"".join(iter(lambda: raw.recv(1 << 16), b""))

    @pytest.mark.parametrize("path", ["/v1/classify", "/score", "/v2/models/gliomap/infer"])
    def test_four_gigabytes_are_refused_before_they_arrive(self, server: RunningServer, path: str) -> None:
        answer = self.ask(server, f"POST {path} HTTP/1.1\r\nContent-Length: 4294967296")
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"application/problem+json" in answer

    def test_endless_chunks_are_cut_off(self, server: RunningServer) -> None:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as raw:
            raw.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            with pytest.raises(OSError, match=r"reset|pipe|aborted"):
                raw.sendall((b"100000\r\n" + bytes(1 << 20) + b"\r\n") * 200)
        assert answer_of("GET", f"{server.url}/health/ready").status_code == 200

    def test_a_slow_sender_gets_408_and_frees_its_place(self, serve: Callable[..., RunningServer]) -> None:
        server = serve("--body-timeout", "0.5", "--queue", "0")
        head = "POST /v1/classify HTTP/1.1\r\nContent-Type: image/tiff\r\nContent-Length: 1000"
        answer = self.ask(server, head, b"abc")
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"did not arrive within 0.5 s" in answer
        # In one piece: no other half of it can be late.
        whole = self.ask(server, "POST /v1/classify HTTP/1.1\r\nConnection: close\r\nContent-Length: 4", b"junk")
        assert whole.startswith((b"HTTP/1.1 400", b"HTTP/1.1 422"))

    def test_a_silent_connection_is_closed(self, serve: Callable[..., RunningServer]) -> None:
        server = serve("--body-timeout", "0.5")
        host, port = server.url.removeprefix("http://").split(":")
        with (
            socket.create_connection((host, int(port)), timeout=60) as silent,
            socket.create_connection((host, int(port)), timeout=60) as slow,
        ):
            slow.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            assert silent.recv(100) == b""
            assert slow.recv(100) == b""

    def test_a_half_closed_connection_still_gets_its_answer(self, server: RunningServer, scene: Scene) -> None:
        host, port = server.url.removeprefix("http://").split(":")
        with server.client() as client:
            client.put_references("half", scene.white, scene.dark)
        body = scene.files["raw"]
        head = f"POST /v1/classify?references=half HTTP/1.1\r\nHost: x\r\nAccept: image/png\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection((host, int(port)), timeout=30) as half:
            half.sendall(head.encode() + body)
            half.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: half.recv(1 << 16), b""))
        assert answer.startswith(b"HTTP/1.1 200")
        with socket.create_connection((host, int(port)), timeout=30) as torn:
            torn.sendall(head.encode() + body[:100])
            torn.shutdown(socket.SHUT_WR)
            assert torn.recv(1 << 16) == b"", "half a frame is nothing to answer"
        assert answer_of("GET", f"{server.url}/health/ready").status_code == 200

    def test_a_client_that_disconnects_midway_does_no_harm(self, server: RunningServer) -> None:
        host, port = server.url.removeprefix("http://").split(":")
        for _ in range(20):
            with socket.create_connection((host, int(port))) as raw:
                raw.sendall(b"POST /v1/classify?references=x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        assert answer_of("GET", f"{server.url}/health/ready").status_code == 200


def test_references_beyond_the_limit_are_refused_and_none_evicted(
    serve: Callable[..., RunningServer], scene: Scene
) -> None:
    server = serve()
    with server.client() as client:
        for number in range(8):
            client.put_references(f"or-{number}", scene.white, scene.dark)
        with pytest.raises(RequestError, match="no room") as caught:
            client.put_references("or-9", scene.white, scene.dark)
        assert caught.value.status == 409
        client.put_references("or-0", scene.white, scene.dark)
        client.delete_references("or-0")
        client.put_references("or-9", scene.white, scene.dark)


def test_large_thesis_requests_run_one_at_a_time_and_free_their_memory(
    serve: Callable[..., RunningServer], scene: Scene
) -> None:
    server = serve()
    lists = {"raw_image": scene.raw.tolist(), "white_ref": scene.white.tolist(), "black_ref": scene.dark.tolist()}
    seen: Counter[int] = Counter()

    def ask() -> None:
        seen[answer_of("POST", f"{server.url}/score", json=lists).status_code] += 1

    def all_at_once() -> None:
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    all_at_once()
    before = server.resident()
    for _ in range(3):
        all_at_once()
    assert set(seen) == {200}
    assert server.resident() < 1.1 * before


def test_memory_does_not_grow_with_requests(serve: Callable[..., RunningServer], scene: Scene) -> None:
    server = serve()

    with server.client() as client:
        client.put_references("or-1", scene.white, scene.dark)

        def ask(times: int) -> None:
            for _ in range(times):
                client.picture(scene.files["raw"], "or-1", "labels")

        ask(100)
        before = server.resident()
        ask(300)
        assert server.resident() < 1.1 * before
    assert np.isfinite(before)
