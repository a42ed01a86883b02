"""Upload of a study to Azurite, compared with a plain copy of the same files with azure-storage-blob, in turn.

Run with: make bench-upload (needs `azurite-blob`, installed by `npm install --global azurite`).
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from azure.storage.blob import BlobServiceClient, ContainerClient

from benchmarks.machine import describe
from gliomap.deploy.azure import upload_files

ROUNDS = 3
TARGET = 0.6
# Key of Azurite's built-in account, the same on every machine.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
FRAME, CUBE = 1088 * 2048 * 2, 217 * 409 * 25 * 8
PATIENTS = 13


@contextmanager
def azurite(folder: Path) -> Iterator[str]:
    """Run Azurite over plain HTTP; yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = [
        "--silent",
        "--skipApiVersionCheck",
        "--disableTelemetry",
        "--blobHost",
        "127.0.0.1",
        "--blobPort",
        str(port),
    ]
    process = subprocess.Popen(["azurite-blob", *flags, "-l", str(folder)], stdout=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/devstoreaccount1"
    finally:
        process.terminate()
        process.wait(20)


def make_files(folder: Path) -> dict[str, Path]:
    """Write as many bytes as the thesis's thirteen patients have: three frames and a cube each."""
    files = {}
    for patient in range(PATIENTS):
        for name, size in (("raw", FRAME), ("white", FRAME), ("dark", FRAME), ("cube", CUBE)):
            path = folder / f"{patient}-{name}"
            path.write_bytes(os.urandom(size))
            files[path.name] = path
    return files


def plain(container: ContainerClient, files: dict[str, Path]) -> float:
    """Seconds for a plain copy."""
    begun = time.perf_counter()
    for name, path in files.items():
        with path.open("rb") as stream:
            container.upload_blob(name, stream)
    return time.perf_counter() - begun


def ours(container: ContainerClient, files: dict[str, Path]) -> float:
    """Seconds for our upload, including hashes and comparison."""
    begun = time.perf_counter()
    upload_files(container, files, "study")
    return time.perf_counter() - begun


def main() -> int:
    """Return exit code 1 if the target is missed."""
    if shutil.which("azurite-blob") is None:
        sys.exit("azurite-blob is missing: npm install --global azurite")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "files")
        folder.mkdir()
        files = make_files(folder)
        megabytes = sum(path.stat().st_size for path in files.values()) / 1e6
        times: dict[str, list[float]] = {"plain": [], "ours": []}
        with azurite(Path(scratch, "azurite")) as address, BlobServiceClient(address, credential=KEY) as service:
            for turn in range(ROUNDS):
                for name, copy in (("plain", plain), ("ours", ours)):
                    container = service.create_container(f"{name}-{turn}")
                    times[name].append(copy(container, files))
    rates = {name: megabytes / statistics.median(seconds) for name, seconds in times.items()}
    ratio = rates["ours"] / rates["plain"]
    print(f"{describe()}: {len(files)} files, {megabytes:.0f} MB, median of {ROUNDS}")
    print(f"plain copy with azure-storage-blob  {rates['plain']:.0f} MB/s")
    print(f"gliomap azure upload                {rates['ours']:.0f} MB/s, {ratio:.2f} of it (must reach {TARGET})")
    return 0 if ratio >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
