"""An index that is waited for: how long a service waits for it is a matter of its own."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the disk, a case is in the index when it is acknowledged, and at the end all of them are."""
    for name in ("_PATIENCE_S", "_END_S"):
        monkeypatch.setattr(f"gliomap.serving.archive._indexer.{name}", 60.0)
