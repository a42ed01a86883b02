"""A real PostgreSQL server for the duration of a test, on loopback, in a temporary folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from support import free_port, wait_until


@contextmanager
def postgresql(driver: str = "psycopg") -> Iterator[str]:
    """Yield the server's SQLAlchemy address. PostgreSQL refuses to run as root, so root starts it as 'nobody'."""
    bin_folder = _programs()
    user = 65534 if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        Path(folder).chmod(0o755)
        data = Path(folder, "data")
        data.mkdir(mode=0o700)
        if user is not None:
            os.chown(data, user, user)
        run = [str(bin_folder / "initdb"), "-D", str(data), "-U", "gliomap", "--auth=trust", "-E", "UTF8", "-N"]
        subprocess.run(run, check=True, capture_output=True, user=user, cwd=folder)
        words = [str(bin_folder / "postgres"), "-D", str(data), "-p", str(port), "-k", str(data)]
        server = subprocess.Popen(
            [*words, "-c", "listen_addresses=127.0.0.1"], stderr=subprocess.DEVNULL, user=user, cwd=folder
        )
        try:
            wait_until(partial(_answers, port), server)
            yield f"postgresql+{driver}://gliomap@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)


def _programs() -> Path:
    """The folder of initdb and postgres. Without them the test is skipped, but in CI it fails."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    on_path = shutil.which("initdb")
    if found:
        return found[0].parent
    if on_path:
        return Path(on_path).resolve().parent
    if os.environ.get("GLIOMAP_CI"):
        pytest.fail("PostgreSQL is not installed, and CI needs it")
    pytest.skip("needs PostgreSQL (Debian: apt-get install postgresql)")


def _answers(port: int) -> bool:
    import psycopg

    try:
        psycopg.connect(f"host=127.0.0.1 port={port} user=gliomap dbname=postgres").close()
    except psycopg.OperationalError:
        return False
    return True
