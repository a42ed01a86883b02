"""The index in a real PostgreSQL server."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gliomap.errors import ArchiveError
from gliomap.serving.archive import Archive, ArchiveReader
from serving.archive.test_archive import CASE

pytest.importorskip("psycopg")


def programs() -> Path:
    """Where initdb and postgres are; skips (in CI: fails) where there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    on_path = shutil.which("initdb")
    if found:
        return found[0].parent
    if on_path:
        return Path(on_path).resolve().parent
    if os.environ.get("GLIOMAP_CI"):
        pytest.fail("PostgreSQL is not installed, and CI needs it")
    pytest.skip("needs PostgreSQL (Debian: apt-get install postgresql)")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server of its own on loopback; PostgreSQL refuses to run as root, so then as 'nobody'."""
    bin_folder = programs()
    user = 65534 if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        Path(folder).chmod(0o755)
        data = Path(folder, "data")
        data.mkdir(mode=0o700)
        if user is not None:
            os.chown(data, user, user)
        run = [str(bin_folder / "initdb"), "-D", str(data), "-U", "gliomap", "--auth=trust", "-E", "UTF8", "-N"]
        subprocess.run(run, check=True, capture_output=True, user=user, cwd=folder)
        server = subprocess.Popen(
            [
                str(bin_folder / "postgres"),
                "-D",
                str(data),
                "-p",
                str(port),
                "-c",
                "listen_addresses=127.0.0.1",
                "-k",
                str(data),
            ],
            stderr=subprocess.DEVNULL,
            user=user,
            cwd=folder,
        )
        try:
            ready(port)
            yield f"postgresql+psycopg://gliomap@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)


def ready(port: int) -> None:
    import psycopg

    until = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(f"host=127.0.0.1 port={port} user=gliomap dbname=postgres").close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def test_cases_are_found_in_it_and_what_it_lacks_is_added(url: str, tmp_path: Path) -> None:
    archive = Archive.open(tmp_path / "cases", database=url, least_free=0)
    names = [archive.record(CASE), archive.record(CASE)]
    archive.close()
    reader = ArchiveReader(tmp_path / "cases", url)
    assert [row.id for row in reader.rows(patient="ID0018")] == names[::-1]
    assert reader.rows()[0].received_at == CASE.received_at
    found = reader.verify()
    assert (found.whole, found.faults, found.notes) == (2, (), ())
    assert not list((tmp_path / "cases").glob("index.sqlite*"))


def test_a_wrong_database_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="does not exist"):
        Archive.open(tmp_path / "cases", database=url.replace("/postgres", "/nowhere"))
