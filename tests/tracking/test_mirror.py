"""The process that mirrors a run in progress."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gliomap.tracking import Store, _mirror, mirrored


def test_a_mirror_that_does_not_respond_is_abandoned(
    study: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Loading MLflow alone takes longer than this patience, so that the mirror seems to hang."""
    monkeypatch.setattr(_mirror, "PATIENCE", 0.1)
    run = study / "runs" / "net"
    with mirrored(run, Store("http://127.0.0.1:9")) as mirror:
        mirror.finish(run)
    assert [one.levelname for one in caplog.records] == ["WARNING"]
    assert "tracking store http://127.0.0.1:9 takes too long to answer; nothing is lost" in caplog.text


def test_the_last_output_of_a_mirror_is_shown_without_passwords(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho 'ValueError: http://who:hidden@host' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with mirrored(tmp_path, Store("http://who:hidden@host")):
        pass
    assert "the mirror in MLflow ended early (ValueError: http://host)" in caplog.text
    assert "hidden" not in caplog.text
