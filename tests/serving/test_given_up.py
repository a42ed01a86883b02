"""Work that nobody waits for any more leaves no case: its sender got status 503 and sends the frame again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.websockets import WebSocketState

from gliomap.errors import RequestError
from gliomap.serving import ArchiveSettings, Service, ServiceSettings, create_app
from gliomap.serving._bodies import FrameBytes
from gliomap.serving._reply import unpack_reply
from gliomap.serving._service import Ask, Mapped
from gliomap.serving._stream import Stream, _answer
from gliomap.serving._work import GivenUpError, Workers, require_awaited
from gliomap.serving.archive import ArchiveReader
from serving.servers import Scene


def lists(scene: Scene) -> dict[str, Any]:
    return {"raw_image": scene.raw.tolist(), "white_ref": scene.white.tolist(), "black_ref": scene.dark.tolist()}


def tensors(scene: Scene) -> dict[str, Any]:
    frames = {role: getattr(scene, role) for role in ("raw", "white", "dark")}
    return {
        "inputs": [
            {"name": role, "shape": list(data.shape), "datatype": "UINT16", "data": data.ravel().tolist()}
            for role, data in frames.items()
        ]
    }


@pytest.fixture
def held(bundle: Path, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    settings = ServiceSettings(
        bundle, deadline=timedelta(seconds=0.2), archive=ArchiveSettings(tmp_path / "cases", least_free=0)
    )
    made = Held(Service(settings), monkeypatch)
    sent = {role: FrameBytes.guessed(scene.files[role]) for role in ("white", "dark")}
    made.service.references.put(made.service.read_references("or-1", sent, None))
    yield made
    made.end()


class Held:
    """A service that holds back its finished maps until they are released."""

    def __init__(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        self.service, self._free = service, threading.Event()
        classify = service.classify

        def late(ask: Ask) -> Mapped:
            mapped = classify(ask)
            assert self._free.wait(60)
            return mapped

        monkeypatch.setattr(service, "classify", late)

    def end(self) -> None:
        """Release the maps, and wait until all work has ended."""
        if not self._free.is_set():
            self._free.set()
            self.service.close()

    def cases(self) -> list[str]:
        """Ids of the archived cases."""
        assert self.service.archive is not None
        return ArchiveReader(self.service.archive.folder).ids()


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/v1/classify", lambda scene: {"files": scene.files}),
        ("/v1/classify?references=or-1", lambda scene: {"content": scene.files["raw"]}),
        ("/score", lambda scene: {"json": lists(scene)}),
        ("/v2/models/gliomap/infer", lambda scene: {"json": tensors(scene)}),
    ],
    ids=["classify", "with stored references", "score", "infer"],
)
def test_an_answer_after_the_deadline_leaves_no_case(
    held: Held, scene: Scene, path: str, sent: Callable[[Scene], dict[str, Any]]
) -> None:
    async def ask() -> None:
        transport = httpx.ASGITransport(create_app(held.service))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            answer = await client.post(path, **sent(scene))
        assert answer.status_code == 503, answer.text
        assert "did not finish this request" in answer.json()["detail"]
        await asyncio.to_thread(held.end)

    asyncio.run(ask())
    assert held.cases() == []
    assert 'gliomap_maps_total{kind="' not in held.service.metrics.text().decode()


class Listening:
    """The client's side of a stream: it stays open and collects replies."""

    application_state = WebSocketState.CONNECTED

    def __init__(self) -> None:
        self.replies: list[bytes] = []

    async def send_bytes(self, reply: bytes) -> None:
        self.replies.append(reply)


def test_a_map_in_a_stream_after_the_deadline_leaves_no_case(held: Held, scene: Scene) -> None:
    async def ask() -> list[bytes]:
        socket = Listening()
        stream = Stream(socket, held.service, "camera", "1", "or-1", "labels", "classic", None)  # type: ignore[arg-type]
        stream.newest.put(scene.raw.tobytes())
        stream.newest.close()
        await _answer(stream)
        await asyncio.to_thread(held.end)
        return socket.replies

    (message,) = asyncio.run(ask())
    reply, _ = unpack_reply(message)
    assert reply.problem is not None
    assert (reply.problem["status"], reply.case) == (503, None)
    assert held.cases() == []
    assert "gliomap_stream_refused_frames_total 1.0" in held.service.metrics.text().decode(), "counted once"


def test_work_that_is_still_awaited_is_not_given_up() -> None:
    async def ask() -> None:
        workers = Workers(1, 1, timedelta(seconds=60))
        await workers.run(require_awaited)
        workers.close()

    asyncio.run(ask())
    require_awaited()  # outside any worker, as in Azure's scoring script


def test_each_piece_of_work_has_its_own_deadline() -> None:
    """One thread does one piece of work after the other."""

    async def ask() -> None:
        workers, free, ends = Workers(1, 4, timedelta(seconds=0.05)), threading.Event(), []

        def late() -> None:
            assert free.wait(60)
            try:
                require_awaited()
            except GivenUpError as error:
                ends.append(error)

        with pytest.raises(RequestError):
            await workers.run(late)
        free.set()
        workers._deadline = 60
        await workers.run(require_awaited)
        assert len(ends) == 1
        workers.close()

    asyncio.run(ask())
