"""Clients that work across threads and tasks: faults on the other side are raised; cancelled calls leave nothing."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from websockets.asyncio.server import ServerConnection, serve

from gliomap.errors import CaptureError, MachineError
from gliomap.serving import AsyncClient, Client
from gliomap.serving import _async_client as asyncio_clients
from gliomap.serving import _client as clients
from gliomap.serving._waiting_socket import WaitingSocket
from serving.servers import RunningServer, Scene

Frame = npt.NDArray[np.uint16]


@pytest.fixture(scope="module")
def url(server: RunningServer, scene: Scene) -> str:
    """The URL of a service that has references."""
    with server.client() as client:
        client.put_references("or-1", scene.white, scene.dark)
    return server.url


async def answered(client: AsyncClient, frames: AsyncIterator[Frame]) -> int:
    """The number of frames that a stream answered; an error that ends the stream is passed on."""
    return len([reply async for reply, _ in client.stream(frames, references="or-1")])


@pytest.mark.parametrize("before", [0, 1, 3])
def test_an_error_in_the_frames_ends_the_stream(url: str, scene: Scene, before: int) -> None:
    """The stream used to end as if it were complete when every frame sent so far had its map."""

    async def camera() -> AsyncIterator[Frame]:
        for _ in range(before):
            yield scene.raw
            await asyncio.sleep(0.05)
        raise ConnectionAbortedError("the camera is gone")

    async def ask() -> None:
        async with AsyncClient(url) as client:
            await answered(client, camera())

    with pytest.raises(ConnectionAbortedError, match="the camera is gone"):
        asyncio.run(asyncio.wait_for(ask(), 30))


def test_an_invalid_first_frame_ends_the_stream(url: str, scene: Scene) -> None:
    async def transposed() -> AsyncIterator[Frame]:
        yield scene.raw.T

    async def ask() -> None:
        async with AsyncClient(url) as client:
            await answered(client, transposed())

    with pytest.raises(CaptureError, match="shape"):
        asyncio.run(asyncio.wait_for(ask(), 30))


def test_a_stream_that_the_service_closes_early_is_an_error(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async def one_frame(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.close(1000)

    async def frames() -> AsyncIterator[Frame]:
        yield scene.raw
        await asyncio.Event().wait()

    async def ask() -> None:
        async with serve(one_frame, "127.0.0.1", 0, max_size=None) as there:
            port = there.sockets[0].getsockname()[1]
            async with AsyncClient(f"http://127.0.0.1:{port}") as client:
                await answered(client, frames())

    async def nothing(_: AsyncClient) -> None:
        return None

    monkeypatch.setattr(AsyncClient, "model", nothing)
    monkeypatch.setattr(asyncio_clients, "frame_message", lambda frame, _: frame.tobytes())
    with pytest.raises(MachineError, match="ended the stream"):
        asyncio.run(asyncio.wait_for(ask(), 30))


def test_a_cancelled_call_does_not_cancel_its_request() -> None:
    """Each request cancelled at the wrong moment cost httpx a connection, and the hundredth cost it the last one."""
    began, go_on = asyncio.Event(), asyncio.Event()
    ended: list[str] = []

    async def handle(_: httpx.Request) -> httpx.Response:
        began.set()
        try:
            await go_on.wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        ended.append("answered")
        return httpx.Response(500)

    async def ask() -> None:
        async with AsyncClient("http://or-1") as client:
            client._http = httpx.AsyncClient(base_url=client.url, transport=httpx.MockTransport(handle))
            for _ in range(2):
                began.clear()
                call = asyncio.create_task(client.model())
                await began.wait()
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
            assert len(client._left) == 2
            assert not ended
            go_on.set()
            await asyncio.wait(client._left)
            assert ended == ["answered", "answered"]
            go_on.clear()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.model(), 0.01)
        assert ended[2:] == ["cancelled"], "unfinished requests end with their client"
        assert not client._left

    asyncio.run(asyncio.wait_for(ask(), 30))


def test_a_stream_collected_in_its_own_thread_ends(url: str, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own thread could not wait for itself, and used to occupy a place in the service until the program ended."""
    opened: list[WaitingSocket] = []

    class Recorded(WaitingSocket):
        def __init__(self, *asked: Any) -> None:
            super().__init__(*asked)
            opened.append(self)

    monkeypatch.setattr(clients, "WaitingSocket", Recorded)
    gc.disable()
    try:
        with Client(url) as client:
            cycle: list[Any] = [client.stream([scene.raw] * 9, references="or-1")]
            cycle.append(cycle)
            next(cycle[0])
            (socket,) = opened
            cycle = []
            socket._running.result().call_soon_threadsafe(gc.collect)
            socket._thread.join(30)
            assert not socket._thread.is_alive()
    finally:
        gc.enable()
