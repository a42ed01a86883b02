"""The end of streams: begun maps are sent, clients get the reason, and no client holds a place forever."""

from __future__ import annotations

import asyncio
import itertools
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from gliomap.errors import MachineError
from gliomap.serving import Service, ServiceSettings, create_app
from gliomap.serving._protocol import ServedSocket
from gliomap.serving._reply import unpack_reply
from serving.servers import RunningServer, Scene, in_this_process
from support import wait_until


class Transport(asyncio.Transport):
    """A connection to a client that does not read."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.aborted = bytearray(), False

    def get_extra_info(self, _: str, default: object = None) -> object:
        return default

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.written += data

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        """Has no effect before everything written has been sent."""

    def abort(self) -> None:
        self.aborted = True


@pytest.mark.parametrize(("sign", "fault"), [(signal.SIGTERM, "is shutting down"), (signal.SIGKILL, "vanished")])
def test_the_client_raises_the_reason_when_a_stream_ends_early(
    serve: Callable[..., RunningServer], scene: Scene, sign: signal.Signals, fault: str
) -> None:
    server = serve()
    with server.client() as client:
        client.put_references("or-1", scene.white, scene.dark)
        stream = client.stream(itertools.repeat(scene.raw), references="or-1")
        next(stream)
        server.process.send_signal(sign)
        with pytest.raises(MachineError, match=fault):
            for _ in stream:
                pass


def test_an_idle_stream_is_closed_with_the_reason(serve: Callable[..., RunningServer], scene: Scene) -> None:
    server = serve()
    with server.client() as client:
        client.put_references("or-1", scene.white, scene.dark)
    with connect(f"ws{server.url[4:]}/v1/stream?references=or-1") as stream:
        stream.send(scene.files["raw"])
        stream.recv()
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as caught:
            stream.recv(timeout=20)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1012, "the service is shutting down")
    assert server.process.wait(20) == 0


def hold_maps(service: Service, monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Let no map be made before the second event is set; the first tells that one has begun."""
    begun, gate, classify = threading.Event(), threading.Event(), service.classify

    def held(*asked: object) -> object:
        begun.set()
        assert gate.wait(60)
        return classify(*asked)  # type: ignore[arg-type]

    monkeypatch.setattr(service, "classify", held)
    return begun, gate


def put_references(address: str, scene: Scene) -> None:
    files = {role: scene.files[role] for role in ("white", "dark")}
    assert httpx.put(f"{address}/v1/references/or-1", files=files).status_code < 300


def test_a_map_being_made_is_sent_before_the_stream_closes(
    bundle: Path, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(ServiceSettings(bundle, port=0))
    begun, gate = hold_maps(service, monkeypatch)
    with in_this_process(service) as (server, host, port):
        put_references(f"http://{host}:{port}", scene)
        with connect(f"ws://{host}:{port}/v1/stream?references=or-1") as stream:
            stream.send(scene.files["raw"])
            assert begun.wait(60)
            server.handle_exit(signal.SIGTERM, None)
            wait_until(lambda: all(not listener.is_serving() for listener in server.servers))
            gate.set()
            head, labels = unpack_reply(stream.recv(timeout=60))
            assert (head.problem, len(labels)) == (None, head.shape[0] * head.shape[1])
            with pytest.raises(ConnectionClosed, match="shutting down"):
                stream.recv(timeout=20)


@pytest.mark.parametrize("twice", [False, True], ids=["grace time over", "Ctrl-C twice"])
def test_a_stream_whose_map_is_given_up_is_closed_with_the_reason(
    bundle: Path, scene: Scene, monkeypatch: pytest.MonkeyPatch, twice: bool
) -> None:
    """Two streams and one worker: after a second Ctrl-C, the map being made is sent, and the one that waits is given up."""
    if not twice:
        monkeypatch.setattr("gliomap.serving._server.GRACE_S", 0.01)
    service = Service(ServiceSettings(bundle, port=0))
    _, gate = hold_maps(service, monkeypatch)
    with in_this_process(service) as (server, host, port):
        put_references(f"http://{host}:{port}", scene)
        url = f"ws://{host}:{port}/v1/stream?references=or-1"
        with connect(url) as first, connect(url) as second:
            for stream in (first, second):
                stream.send(scene.files["raw"])
            wait_until(lambda: service.workers.waiting == 2)
            for _ in range(2 if twice else 1):
                server.handle_exit(signal.SIGINT, None)
            wait_until(lambda: service.workers.waiting == 1)
            gate.set()
            for stream in (first, second):
                with pytest.raises(ConnectionClosed, match="the service is shutting down"):
                    list(stream)


def test_a_stream_being_opened_during_shutdown_is_refused_with_503(bundle: Path) -> None:
    """The shutdown begins after the request for the stream has arrived and before it is handled."""
    service = Service(ServiceSettings(bundle))

    async def refusal() -> bytes:
        config = uvicorn.Config(create_app(service), log_config=None)
        config.load()
        socket, transport = ServedSocket(config, uvicorn.server.ServerState(), {}), Transport()
        socket.connection_made(transport)
        socket.data_received(
            b"GET /v1/stream?references=or-1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        service.draining = True
        socket.shutdown()
        await asyncio.gather(*socket.tasks)
        return bytes(transport.written)

    answer = asyncio.run(refusal())
    service.close()
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 5\r\n" in answer
    assert b"is shutting down" in answer


def test_a_client_that_does_not_read_loses_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """An orderly close would wait forever for what was sent to be read."""
    monkeypatch.setattr("gliomap.serving._protocol._LINGER_S", 0.0)

    async def nobody_answers() -> bool:
        transport = Transport()
        config = uvicorn.Config(FastAPI(), log_config=None)
        config.load()
        socket = ServedSocket(config, uvicorn.server.ServerState(), {})
        socket.connection_made(transport)
        socket.keepalive_timeout()
        await asyncio.sleep(0.01)
        return transport.aborted

    assert asyncio.run(nobody_answers())
