"""What a client does when a service or its proxy refuses: it tries again if there is hope, and otherwise raises."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_sockets

from bundles.makers import small_sensor
from gliomap.errors import RequestError
from gliomap.serving import AsyncClient, Client, RemoteMap, Service, ServiceSettings
from serving.servers import in_this_process, make_scene


def test_a_refusal_by_a_proxy_keeps_its_address_status_and_retry_time() -> None:
    """While a service restarts, the proxy in front of it answers."""

    def answered(connection: ServerConnection, _: Request) -> Response:
        answer = connection.respond(502, "bad gateway")
        answer.headers["Retry-After"] = "7"
        return answer

    with serve_sockets(lambda _: None, "127.0.0.1", 0, process_request=answered) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        with (
            Client(f"http://127.0.0.1:{proxy.socket.getsockname()[1]}") as client,
            pytest.raises(RequestError, match=r"127\.0\.0\.1.*answered 502") as caught,
        ):
            next(iter(client.stream([b""], references="or-1")))
        proxy.shutdown()
        thread.join()
    assert (caught.value.status, caught.value.headers) == (502, {"Retry-After": "7"})


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_client_of_a_busy_service_tries_again_after_the_time_in_retry_after(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, asynchronous: bool
) -> None:
    service, waits = Service(ServiceSettings(bundle, port=0)), list[float]()

    def wait(seconds: float) -> None:
        waits.append(seconds)
        service.workers.admitted = 0

    async def wait_later(seconds: float) -> None:
        wait(seconds)

    # Only for the clients: the service in this process sleeps too.
    monkeypatch.setattr("gliomap.serving._client.time", SimpleNamespace(sleep=wait))
    later = SimpleNamespace(**(vars(asyncio) | {"sleep": wait_later}))
    monkeypatch.setattr("gliomap.serving._async_client.asyncio", later)
    with in_this_process(service) as (_, host, port):
        service.workers.admitted = 1000
        url, frame = f"http://{host}:{port}", make_scene(small_sensor())
        if asynchronous:

            async def ask() -> RemoteMap:
                async with AsyncClient(url) as client:
                    return await client.classify(frame.raw, (frame.white, frame.dark))

            found = asyncio.run(ask())
        else:
            with Client(url) as client:
                found = client.classify(frame.raw, (frame.white, frame.dark))
    assert waits == [1]
    assert found.labels.any()


@pytest.mark.parametrize(
    ("status", "headers", "waits"),
    [
        (503, {"Retry-After": "7"}, [7, 7, 7]),
        (429, {"Retry-After": "600"}, [10, 10, 10]),
        (503, {"Retry-After": "Mon, 23 Nov 2026 08:00:00 GMT"}, [1, 1, 1]),
        (503, {}, [1, 1, 1]),
        (507, {"Retry-After": "7"}, []),
        (400, {}, []),
    ],
)
def test_a_client_gives_up_after_four_tries_and_tries_other_refusals_only_once(
    monkeypatch: pytest.MonkeyPatch, status: int, headers: dict[str, str], waits: list[float]
) -> None:
    waited, asked = list[float](), list[httpx.Request]()

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status, headers=headers)

    monkeypatch.setattr("gliomap.serving._client.time", SimpleNamespace(sleep=waited.append))
    with Client("http://here") as client:
        monkeypatch.setattr(client, "_http", httpx.Client(base_url=client.url, transport=httpx.MockTransport(refuse)))
        with pytest.raises(RequestError) as caught:
            client.model()
    assert caught.value.status == status
    assert (waited, len(asked)) == (waits, len(waits) + 1)
