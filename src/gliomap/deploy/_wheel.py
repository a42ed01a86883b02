"""Pack the running installation as a wheel: an image holds the code that built it, and no checkout is needed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import gliomap
from gliomap._files import write_zip

__all__ = ["write_wheel"]

_WHEEL = "Wheel-Version: 1.0\nGenerator: gliomap\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def write_wheel(folder: Path) -> Path:
    """Write the installed `gliomap`, editable or not, into `folder` as a wheel and return its path.

    The format: https://packaging.python.org/specifications/binary-distribution-format/
    """
    installed = distribution("gliomap")
    stem = f"gliomap-{installed.version}"
    files = dict(_package_files()) | dict(_metadata_files(installed, f"{stem}.dist-info"))
    record = f"{stem}.dist-info/RECORD"
    rows = [f"{name},sha256={_digest(content)},{len(content)}\n" for name, content in sorted(files.items())]
    path = folder / f"{stem}-py3-none-any.whl"
    # The same installation yields the same bytes, so that builders reuse their caches.
    write_zip(path, dict(sorted(files.items())) | {record: "".join([*rows, f"{record},,\n"]).encode()})
    return path


def _package_files() -> Iterator[tuple[str, bytes]]:
    package = Path(gliomap.__file__).parent
    for path in package.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield f"gliomap/{path.relative_to(package).as_posix()}", path.read_bytes()


def _metadata_files(installed: Distribution, folder: str) -> Iterator[tuple[str, bytes]]:
    yield f"{folder}/WHEEL", _WHEEL.encode()
    for name in ("METADATA", "entry_points.txt", "licenses/LICENSE"):
        text = installed.read_text(name)
        if text is not None:
            yield f"{folder}/{name}", text.encode()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
