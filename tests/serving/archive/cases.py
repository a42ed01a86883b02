"""A case, and what several tests of the archive do with it."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from gliomap.serving.archive import Archive, ArchiveReader, Case

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
RAW = np.arange(12, dtype=np.uint16).reshape(3, 4)
CASE = Case(
    kind="classify",
    client="camera",
    model="small",
    model_version="3",
    bundle="b" * 64,
    references="or-1",
    patient="ID0018",
    received_at=NOW,
    inputs={"raw": "1" * 64},
    raw=RAW,
    labels=np.array([[0, 1], [2, 5]], np.uint8),
    result={"classified": 3, "not_classified": 1, "classes": []},
    answer="a" * 64,
)


def raising(error: Exception) -> Callable[..., None]:
    def refuse(*_: object) -> None:
        raise error

    return refuse


def reader(archive: Archive) -> ArchiveReader:
    return ArchiveReader(archive.folder)


def forge(path: Path) -> None:
    """Rewrite a case, valid in itself, with another client."""
    with zipfile.ZipFile(path) as kept:
        files = {name: kept.read(name) for name in kept.namelist()}
    files["case.json"] = files["case.json"].replace(b'"camera"', b'"nobody"')
    with zipfile.ZipFile(path, "w") as forged:
        for name, content in files.items():
            forged.writestr(name, content)


@contextmanager
def as_somebody_else() -> Iterator[None]:
    """Drop root's privileges, which ignore permissions."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
