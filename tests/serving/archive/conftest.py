"""The archive that the tests write to, and an index that they wait for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gliomap.serving.archive import Archive


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the disk, a case is in the index when it is acknowledged, and all are when the archive closes."""
    for name in ("_PATIENCE_S", "_END_S"):
        monkeypatch.setattr(f"gliomap.serving.archive._indexer.{name}", 60.0)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    opened = Archive.open(tmp_path / "cases", least_free=0)
    yield opened
    opened.close()
