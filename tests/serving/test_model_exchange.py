"""Another bundle for a running service: a good one is served, and otherwise the current one stays."""

from __future__ import annotations

import asyncio
import errno
import io
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bundles.makers import small_bundle, small_sensor, window_network
from gliomap.engine import Engine
from gliomap.serving._renewal import renew
from serving.servers import ADMIN, COMMAND, GUARDED, KEY, RunningServer, Scene, answer_of, engine_labels, start
from support import wait_until

ZIP = {"Content-Type": "application/zip", "X-API-Key": ADMIN}


@pytest.fixture
def own(bundle: Path, tmp_path: Path) -> Path:
    """A bundle that may be changed."""
    return Path(shutil.copytree(bundle, tmp_path / "bundle"))


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A bundle of the same camera with other weights."""
    network = window_network(seed=7)
    return small_bundle(tmp_path / "other", network=network, sensor=small_sensor()).path


def zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    return buffer.getvalue()


def test_an_uploaded_bundle_is_served_with_the_stored_references(
    serve: Callable[..., RunningServer], own: Path, other: Path, scene: Scene
) -> None:
    server = serve(path=own, env=GUARDED)
    with server.client(KEY) as client:
        client.put_references("or-1", scene.white, scene.dark)
        before = client.classify(scene.raw, references="or-1")
        answer = answer_of("PUT", f"{server.url}/v1/model?version=4", content=zipped(other), headers=ZIP)
        assert answer.status_code == 200
        assert answer.json()["version"] == "4"
        after = client.classify(scene.raw, references="or-1")
        assert after.bundle == client.model().bundle != before.bundle
    np.testing.assert_array_equal(after.labels, engine_labels(other, scene))
    assert (after.labels != before.labels).any()


@pytest.mark.parametrize("content", [b"junk", b"PK\x03\x04", None], ids=["no zip", "torn zip", "flipped byte"])
def test_a_bad_bundle_is_refused_and_the_current_one_stays(
    serve: Callable[..., RunningServer], own: Path, other: Path, scene: Scene, content: bytes | None
) -> None:
    if content is None:
        graph = bytearray((other / "frame.onnx").read_bytes())
        graph[100] ^= 1
        (other / "frame.onnx").write_bytes(graph)
        content = zipped(other)
    server = serve("--model-version", "3", path=own, env=GUARDED)
    with server.client(KEY) as client:
        identity = client.model().bundle
        answer = answer_of("PUT", f"{server.url}/v1/model", content=content, headers=ZIP)
        assert answer.status_code == 422
        assert (client.model().bundle, client.model().version) == (identity, "3")
        found = client.classify(scene.raw, references=(scene.white, scene.dark))
    np.testing.assert_array_equal(found.labels, engine_labels(own, scene))


def test_a_disk_error_while_rereading_the_bundle_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise OSError(errno.EIO, "Input/output error")

    settings = SimpleNamespace(keys_file=None, tls=None)
    asyncio.run(renew(SimpleNamespace(settings=settings, tls=None, exchanging=asyncio.Lock(), exchange=fail)))
    assert "the current one stays: [Errno 5] Input/output error" in caplog.text


def test_without_keys_nobody_may_exchange_the_model(server: RunningServer, other: Path) -> None:
    answer = answer_of("PUT", f"{server.url}/v1/model", content=zipped(other))
    assert answer.status_code == 403
    assert "SIGHUP" in answer.json()["remedy"]


def test_frames_are_answered_while_a_model_is_exchanged(
    serve: Callable[..., RunningServer], own: Path, other: Path, scene: Scene
) -> None:
    server = serve(path=own, env=GUARDED)
    with server.client(KEY) as client:
        client.put_references("or-1", scene.white, scene.dark)
        identities = {client.model().bundle}
        seen, stop = [], threading.Event()

        def ask() -> None:
            while not stop.is_set():
                found = client.classify(scene.raw, references="or-1")
                seen.append((found.bundle, found.labels))

        asking = threading.Thread(target=ask)
        asking.start()
        for bundle in (other, own, other):
            identities.add(
                answer_of("PUT", f"{server.url}/v1/model", content=zipped(bundle), headers=ZIP).json()["bundle"]
            )
        stop.set()
        asking.join()
    right = {Engine.open(path).bundle.identity: engine_labels(path, scene) for path in (own, other)}
    assert set(right) == identities
    assert seen
    for identity, found in seen:
        np.testing.assert_array_equal(found, right[identity])


def test_sighup_rereads_the_bundle(serve: Callable[..., RunningServer], own: Path, other: Path) -> None:
    server = serve(path=own)
    with server.client() as client:
        before = client.model().bundle
        manifest = (own / "manifest.json").read_bytes()
        (own / "manifest.json").write_bytes(manifest.replace(b"small", b"smell"))
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "the current one stays" in server.logged(), server.process, server.logged)
        assert client.model().bundle == before
        shutil.rmtree(own)
        shutil.copytree(other, own)
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: client.model().bundle != before, server.process, server.logged)


@pytest.mark.parametrize("fault", ["flipped byte", "no frame graph", "not there"])
def test_an_unusable_bundle_is_not_served(own: Path, tmp_path: Path, fault: str) -> None:
    if fault == "flipped byte":
        (own / "card.md").write_bytes((own / "card.md").read_bytes() + b".")
    elif fault == "no frame graph":
        own = small_bundle(tmp_path / "cubes").path
    else:
        own = tmp_path / "none"
    done = subprocess.run([COMMAND, "serve", str(own), "--port", "0"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_sighup_during_the_start_waits_until_the_service_is_up(own: Path, tmp_path: Path) -> None:
    """A SIGHUP right after a bundle was replaced must not end a service that has just read the previous one."""
    command = tmp_path / "gliomap"
    command.write_text(f"""#!{sys.executable}
import os, signal
from gliomap.__main__ import main
from gliomap.serving import _server

class Service(_server.Service):
    def __init__(self, settings):
        super().__init__(settings)
        os.kill(os.getpid(), signal.SIGHUP)

_server.Service = Service
main()
""")
    command.chmod(0o755)
    with start(own, command=command) as server:
        wait_until(lambda: server.logged().count("serving small") >= 2, server.process, server.logged)
