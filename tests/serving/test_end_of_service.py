"""Shutdown at any moment: waiting clients get an answer, and no client delays it."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from gliomap.serving import Service, ServiceSettings
from gliomap.serving._protocol import ServedProtocol, abort_stalled
from serving.servers import Scene, in_this_process
from support import wait_until


class Connection:
    """A connection, closing or in use, and the number of unsent bytes that each look at it finds."""

    def __init__(self, *left: int, closing: bool = True) -> None:
        self.left, self.closing, self.aborted = list(left), closing, False
        self.transport = self

    def get_write_buffer_size(self) -> int:
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.aborted = True


async def look(*connections: object, times: int) -> None:
    """Look at the connections of a service that is shutting down."""
    seen = 0

    class Connections(list[object]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            nonlocal seen
            seen += 1
            return super().__iter__()

    task = asyncio.create_task(abort_stalled(Connections(connections)))
    while seen < times:
        await asyncio.sleep(0)
    task.cancel()


def test_only_connections_without_progress_are_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    real = asyncio.sleep
    monkeypatch.setattr("gliomap.serving._protocol.asyncio.sleep", lambda _: real(0))
    idle, deaf, slow = Connection(0), Connection(9), Connection(*range(40, 0, -1))
    in_use, clogged = Connection(0, closing=False), Connection(9, closing=False)
    everyone = (idle, deaf, slow, in_use, clogged)
    asyncio.run(look(*everyone, times=8))
    assert [one.aborted for one in everyone] == [True, False, False, False, False]
    asyncio.run(look(*everyone, times=20))
    assert [one.aborted for one in everyone] == [True, True, False, False, True]


def test_a_connection_made_during_shutdown_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its TLS handshake was under way when the shutdown began."""
    real, asked = asyncio.sleep, []
    monkeypatch.setattr("gliomap.serving._protocol.asyncio.sleep", lambda _: real(0))

    class Late(ServedProtocol):
        def __init__(self) -> None:
            self.transport = Connection(0, closing=False)  # type: ignore[assignment]

        def shutdown(self) -> None:
            asked.append(self)

    late = Late()
    asyncio.run(look(late, times=1))
    assert asked == [late]


def test_a_client_that_does_not_read_its_answer_does_not_delay_shutdown(
    bundle: Path, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gliomap.serving._server.GRACE_S", None)
    for name in ("_LOOK_S", "_LINGER_S"):
        monkeypatch.setattr(f"gliomap.serving._protocol.{name}", 0.01)
    lists = {"raw_image": scene.raw.tolist(), "white_ref": scene.white.tolist(), "black_ref": scene.dark.tolist()}
    request = httpx.Request("POST", "http://x/score", json=lists)
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with in_this_process(Service(ServiceSettings(bundle, port=0))) as (server, host, port), socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect((host, port))
        deaf.sendall(f"POST /score HTTP/1.1\r\n{head}\r\n".encode() + request.content)
        assert deaf.recv(9) == b"HTTP/1.1 "
        server.handle_exit(signal.SIGTERM, None)
        wait_until(lambda: not server.server_state.connections)


@pytest.mark.parametrize("twice", [False, True], ids=["grace time over", "Ctrl-C twice"])
def test_an_abandoned_request_gets_503(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, twice: bool
) -> None:
    if not twice:
        monkeypatch.setattr("gliomap.serving._server.GRACE_S", 0.01)
    service = Service(ServiceSettings(bundle, port=0))
    with in_this_process(service) as (server, host, port), socket.create_connection((host, port), timeout=60) as half:
        half.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        wait_until(lambda: service.workers.admitted == 1)
        for _ in range(2 if twice else 1):
            server.handle_exit(signal.SIGINT, None)
        answer = b"".join(iter(lambda: half.recv(1 << 16), b""))
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"\r\nretry-after: 5\r\n" in answer
    assert b"is shutting down" in answer
    faults = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert [fault.partition(",")[0] for fault in faults] == ([] if twice else ["Cancel 1 running task(s)"])


def exit_code(program: str, *arguments: object) -> int:
    """Exit code of a Python program."""
    return subprocess.run([sys.executable, "-c", program, *map(str, arguments)], timeout=120, check=False).returncode


def test_sigterm_while_loading_exits_cleanly(bundle: Path) -> None:
    """The first process of a container does not receive a signal that it does not handle."""
    program = """
import os, signal, sys
from pathlib import Path
from gliomap.serving import ServiceSettings, _server
_server.Service = lambda settings: os.kill(os.getpid(), signal.SIGTERM)
_server.run(ServiceSettings(Path(sys.argv[1]), port=0))
"""
    assert exit_code(program, bundle) == 0


@pytest.mark.parametrize(
    ("verb", "sign", "code", "told"),
    [
        ("serve", signal.SIGTERM, 0, False),
        ("serve", signal.SIGHUP, 0, True),
        ("sensor", signal.SIGTERM, -signal.SIGTERM, False),
    ],
    ids=["SIGTERM ends a service", "SIGHUP waits for it", "other verbs are left alone"],
)
def test_a_service_heeds_signals_while_its_command_is_imported(
    verb: str, sign: signal.Signals, code: int, told: bool
) -> None:
    program = """
import signal, sys
from gliomap.__main__ import main


class Signalling:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            try:
                signal.raise_signal(int(sys.argv[3]))
            except BaseException:
                pass  # as some imports do


sys.meta_path.insert(0, Signalling())
main()
"""
    words = [sys.executable, "-c", program, verb, "--help", str(int(sign))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, "Examples:" in done.stdout, done.stderr) == (code, told, "")


def test_sighup_during_shutdown_is_ignored(bundle: Path) -> None:
    program = """
import asyncio, os, signal, sys
from pathlib import Path
from gliomap.serving import Service, ServiceSettings, create_app

service, loaded = Service(ServiceSettings(Path(sys.argv[1]))), []
service.exchange = lambda: loaded.append(1)

async def live():
    app = create_app(service)
    async with app.router.lifespan_context(app):
        os.kill(os.getpid(), signal.SIGHUP)
        while not loaded:
            await asyncio.sleep(0.01)
        service.draining = True
        os.kill(os.getpid(), signal.SIGHUP)

asyncio.run(live())
os.kill(os.getpid(), signal.SIGHUP)
sys.exit(len(loaded))
"""
    assert exit_code(program, bundle) == 1, "loaded again once, before the shutdown"
