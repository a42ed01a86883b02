"""Starting `gliomap serve` for a test, and frames to send to it."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import tifffile

from gliomap.engine import Engine
from gliomap.sensors import MosaicSensor
from gliomap.serving import Client, Service
from gliomap.serving._server import _config, _listen, _Server
from support import wait_until

COMMAND = str(Path(sys.executable).with_name("gliomap"))


@dataclass(frozen=True, eq=False)
class Scene:
    """A frame and its references, as numbers and as TIFF files."""

    raw: npt.NDArray[np.uint16]
    white: npt.NDArray[np.uint16]
    dark: npt.NDArray[np.uint16]

    @property
    def files(self) -> dict[str, bytes]:
        """Role → a TIFF file."""
        return {role: tiff(getattr(self, role)) for role in ("raw", "white", "dark")}


KEY, ADMIN = "camera-key-0123456789", "admin-key-0123456789"
GUARDED = {"GLIOMAP_KEYS": f"camera:{KEY},chief:{ADMIN}:admin"}
"""The environment of a service with keys."""


@dataclass(frozen=True, eq=False)
class RunningServer:
    """A server that is ready."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def client(self, key: str | None = None) -> Client:
        """A client of this server."""
        return Client(self.url, key=key)

    def logged(self) -> str:
        """What the server has written to stderr."""
        return self.log.read_text(encoding="utf-8")

    def logged_line(self, text: str, number: int = 1) -> str:
        """Wait for `number` lines of stderr with a text; returns the last. A request is logged after its answer."""

        def lines() -> list[str]:
            return [line for line in self.logged().split("\n")[:-1] if text in line]

        wait_until(
            lambda: len(lines()) >= number, self.process, lambda: f"not {number} times {text!r} in:\n{self.logged()}"
        )
        found = lines()
        assert len(found) == number
        return found[-1]

    def resident(self) -> int:
        """Resident memory of the server, in KiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def make_scene(sensor: MosaicSensor, seed: int = 0) -> Scene:
    """Random tissue, well lit."""
    rng = np.random.default_rng(seed)
    dark = rng.integers(12, 35, sensor.frame_shape).astype(np.uint16)
    white = rng.integers(600, 900, sensor.frame_shape).astype(np.uint16)
    raw = (dark + (white - dark) * rng.uniform(0.2, 0.8, sensor.frame_shape)).astype(np.uint16)
    return Scene(raw, white, dark)


def engine_labels(bundle: Path, scene: Scene) -> npt.NDArray[np.uint8]:
    """The labels that the engine itself gives."""
    engine = Engine.open(bundle)
    return engine.classify_frame(scene.raw, engine.prepare(scene.white, scene.dark)).labels


def tiff(frame: npt.NDArray[np.uint16], taken_at: datetime | None = None) -> bytes:
    """A frame as a TIFF file, optionally with its time."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, frame, photometric="minisblack", metadata=None, datetime=taken_at)
    return buffer.getvalue()


@contextmanager
def start(
    bundle: Path, *flags: str, env: dict[str, str] | None = None, command: str | Path = COMMAND
) -> Iterator[RunningServer]:
    """Run `gliomap serve` on a free port until it is ready; end it afterwards, whatever happened."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [command, "serve", str(bundle), "--port", "0", *flags],
                stderr=stream,
                env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
            )
        try:
            yield RunningServer(_address(process, log), process, log)
        finally:
            end(process)


@contextmanager
def in_this_process(service: Service) -> Iterator[tuple[_Server, str, int]]:
    """Run a service in a thread of this process; yields the server, its host and its port."""
    listening = _listen(service.settings)
    server = _Server(_config(service.settings, service), service)
    running = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    running.start()
    try:
        wait_until(lambda: server.started)
        host, port = listening.getsockname()
        yield server, host, port
    finally:
        server.should_exit = True
        running.join(60)
        listening.close()
    assert not running.is_alive()


def answer_of(method: str, url: str, **sent: Any) -> httpx.Response:
    """The answer to a plain request. A busy machine may take longer than the 5 s that httpx waits."""
    return httpx.request(method, url, timeout=60, **sent)


def count(text: str, name: str) -> float:
    """The value of a Prometheus metric; 0 if it has none yet."""
    return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(name)), 0.0)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end; kill it if it does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    def logged() -> str:
        return log.read_text(encoding="utf-8")

    def told() -> str | None:
        found = re.search(r"listening on (https?://[\d.]+:\d+)", logged())
        return found and found[1]

    wait_until(lambda: (url := told()) and _answers(url), process, logged)
    url = told()
    assert url is not None
    return url


def _answers(url: str) -> bool:
    try:
        if url.startswith("https"):  # the test itself checks certificates
            host, port = url.removeprefix("https://").split(":")
            socket.create_connection((host, int(port)), timeout=5).close()
            return True
        return httpx.get(f"{url}/health/ready").status_code == 200
    except (httpx.TransportError, OSError):
        return False
