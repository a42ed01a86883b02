"""The process that mirrors a run while it is worked on."""

from __future__ import annotations

from pathlib import Path

import pytest

from gliomap.tracking import Store, _mirror, mirrored


def test_a_mirror_that_gives_no_sign_of_life_is_given_up(
    study: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As one that hangs; loading MLflow alone takes longer than this patience."""
    monkeypatch.setattr(_mirror, "PATIENCE", 0.1)
    run = study / "runs" / "net"
    with mirrored(run, Store("http://127.0.0.1:9")) as mirror:
        mirror.finish(run)
    assert [one.levelname for one in caplog.records] == ["WARNING"]
    assert "tracking store http://127.0.0.1:9 takes too long; nothing is lost" in caplog.text
