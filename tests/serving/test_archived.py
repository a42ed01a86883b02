"""A service with an archive: every answer is kept, whatever happens to the service."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
import tifffile

from gliomap.errors import RequestError
from gliomap.serving.archive import Archive, ArchiveReader
from serving.servers import RunningServer, Scene, answer_of, start
from support import wait_until


def test_each_kind_of_request_is_kept(serve: Callable[..., RunningServer], scene: Scene, tmp_path: Path) -> None:
    server = serve("--archive", str(tmp_path / "cases"))
    with server.client() as client:
        client.put_references("or-1", scene.files["white"], scene.files["dark"])
        found = client.classify(scene.files["raw"], references="or-1", patient="ID0018")
        ((reply, _),) = client.stream([scene.raw], references="or-1")
    answer = answer_of(
        "POST",
        f"{server.url}/v1/classify?references=or-1",
        content=scene.files["raw"],
        headers={"Content-Type": "image/tiff", "Accept": "image/png"},
    )
    lists = {"raw_image": scene.raw.tolist(), "white_ref": scene.white.tolist(), "black_ref": scene.dark.tolist()}
    assert answer_of("POST", f"{server.url}/score", json=lists | {"patient_id": "ID0018"}).status_code == 200
    telling = io.BytesIO()
    tifffile.imwrite(telling, scene.raw, description="Jane Doe", datetime="2026:11:23 08:00:00", metadata=None)
    assert answer_of("POST", f"{server.url}/v1/classify?references=or-1", content=telling.getvalue()).status_code == 200
    reader = ArchiveReader(tmp_path / "cases")
    wait_until(lambda: len(reader.rows()) == 5)  # a service does not wait for a slow disk to store rows of the index
    assert sorted(row.kind for row in reader.rows()) == ["classify", "classify", "classify", "score", "stream"]
    assert len(reader.rows(patient="ID0018")) == 2
    assert found.case is not None
    kept = reader.case(found.case)
    assert kept.record.inputs["raw"] == hashlib.sha256(scene.files["raw"]).hexdigest()
    assert set(kept.record.inputs) == {"raw", "white", "dark"}
    assert kept.record.bundle == found.bundle
    assert reply.case is not None
    assert set(reader.case(reply.case).files) == {"labels.png"}
    png = reader.case(answer.headers["GlioMap-Case"])
    assert png.record.answer == hashlib.sha256(answer.content).hexdigest()
    assert reader.verify().faults == ()
    for path in (tmp_path / "cases").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert b"Jane Doe" not in content, path
        assert b"ID0018" not in content, path


def test_frames_of_streams_are_kept_on_request(
    serve: Callable[..., RunningServer], scene: Scene, tmp_path: Path
) -> None:
    server = serve("--archive", str(tmp_path / "cases"), "--archive-frames", "--archive-keep-ids")
    with server.client() as client:
        client.put_references("or-1", scene.files["white"], scene.files["dark"])
        ((reply, _),) = client.stream([scene.raw], references="or-1")
    assert reply.case is not None
    assert set(ArchiveReader(tmp_path / "cases").case(reply.case).files) == {"labels.png", "raw.tif"}


def test_new_work_is_refused_if_the_disk_is_nearly_full(
    scene: Scene, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gliomap.serving import ArchiveSettings, Service, ServiceSettings, create_app

    service = Service(ServiceSettings(bundle, archive=ArchiveSettings(tmp_path / "cases", least_free=1 << 60)))
    files = {role: scene.files[role] for role in ("raw", "white", "dark")}

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    async def ask() -> None:
        transport = httpx.ASGITransport(create_app(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            answer = await client.post("/v1/classify", files=files)
            assert answer.status_code == 507
            assert "must stay free" in answer.json()["detail"]
            assert service.archive is not None
            service.archive.least_free = 0
            assert (await client.post("/v1/classify", files=files)).status_code == 200
            monkeypatch.setattr("gliomap.serving.archive._archive.os.fsync", full)
            answer = await client.post("/v1/classify", files=files)
            assert (answer.status_code, answer.json()["title"]) == (507, "MachineError")

    asyncio.run(ask())
    service.close()
    assert len(ArchiveReader(tmp_path / "cases").ids()) == 1


def test_a_service_without_its_archive_is_not_ready_and_refuses_work(
    scene: Scene, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk of the archive is unmounted, comes back, and then hangs."""
    from gliomap.serving import ArchiveSettings, Service, ServiceSettings, create_app

    folder = tmp_path / "cases"
    service = Service(ServiceSettings(bundle, archive=ArchiveSettings(folder, least_free=0)))
    released = threading.Event()

    async def ask() -> None:
        transport = httpx.ASGITransport(create_app(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:

            async def states() -> list[int]:
                paths = ("/health/live", "/health/ready", "/v2/health/ready", "/v2/models/gliomap/ready")
                return [(await client.get(path)).status_code for path in paths]

            assert await states() == [200, 200, 200, 200]
            folder.rename(tmp_path / "away")
            assert await states() == [200, 507, 507, 507]
            answer = await client.post("/v1/classify", files=scene.files)
            assert (answer.status_code, answer.json()["title"]) == (507, "MachineError")
            assert "mounted" in answer.json()["remedy"]
            assert not folder.exists()
            (tmp_path / "away").rename(folder)
            assert await states() == [200, 200, 200, 200]
            assert (await client.post("/v1/classify", files=scene.files)).status_code == 200
            monkeypatch.setattr("gliomap.serving._service._CHECK_S", 0.05)
            monkeypatch.setattr(service.archive, "require_usable", lambda: released.wait(30))
            answer = await client.get("/health/ready")
            assert "has not answered" in answer.json()["detail"]

    asyncio.run(ask())
    released.set()
    service.close()
    assert len(ArchiveReader(folder).ids()) == 1


@pytest.mark.slow
def test_every_acknowledged_case_survives_50_kills_under_load(bundle: Path, scene: Scene, tmp_path: Path) -> None:
    folder, acknowledged = tmp_path / "cases", []
    rng = np.random.default_rng(0)
    files = {role: scene.files[role] for role in ("raw", "white", "dark")}
    for _ in range(50):
        with start(bundle, "--archive", str(folder)) as server:
            stop, first = threading.Event(), threading.Event()

            def ask(url: str = server.url, stop: threading.Event = stop, first: threading.Event = first) -> None:
                with httpx.Client(timeout=60) as client:
                    while not stop.is_set():
                        try:
                            answer = client.post(f"{url}/v1/classify", files=files, headers={"Accept": "image/png"})
                        except httpx.TransportError:
                            return
                        if answer.status_code == 200:
                            acknowledged.append(answer.headers["GlioMap-Case"])
                            first.set()

            threads = [threading.Thread(target=ask) for _ in range(3)]
            for thread in threads:
                thread.start()
            assert first.wait(180)
            time.sleep(float(rng.uniform(0, 0.2)))
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()
            stop.set()
            for thread in threads:
                thread.join()
    Archive.open(folder, least_free=0).close()
    reader = ArchiveReader(folder)
    assert len(acknowledged) >= 50
    assert set(acknowledged) <= set(reader.ids())
    found = reader.verify()
    assert (found.faults, found.notes) == ((), ())
    assert found.whole == found.cases == found.entries
    assert not list(folder.rglob(".new-*"))


def test_an_archive_belongs_to_one_service(serve: Callable[..., RunningServer], bundle: Path, tmp_path: Path) -> None:
    serve("--archive", str(tmp_path / "cases"))
    with pytest.raises(AssertionError, match="is being written by another process"):
        serve("--archive", str(tmp_path / "cases"), path=bundle)


def test_archive_frames_needs_an_archive(bundle: Path) -> None:
    with (
        pytest.raises(AssertionError, match="--archive-frames can only be used with --archive"),
        start(bundle, "--archive-frames"),
    ):
        pass


def test_a_busy_service_answers_or_refuses_with_503(serve: Callable[..., RunningServer], scene: Scene) -> None:
    server = serve("--queue", "0")
    failed = []

    def ask() -> None:
        with server.client() as client:
            try:
                client.classify(scene.raw, references=(scene.white, scene.dark))
            except RequestError as error:
                failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) < 6
    assert all(error.status == 503 for error in failed)
