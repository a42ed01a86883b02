"""The commit that run.json records."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gliomap.tracking._record import _commit


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("GLIOMAP_COMMIT", raising=False)
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


def test_uncommitted_changes_are_marked(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    (checkout / "notes.txt").write_text("untracked")
    assert _commit(checkout) == commit
    (checkout / "code.py").write_text("2")
    assert _commit(checkout) == f"{commit}-dirty"


def test_the_checkout_is_only_read(checkout: Path) -> None:
    """A git lock left behind by a killed training would block every later commit."""
    os.utime(checkout / "code.py", (1, 1))
    index = checkout / ".git" / "index"
    before = index.stat().st_mtime_ns
    assert _commit(checkout) == git(checkout, "rev-parse", "HEAD")
    assert index.stat().st_mtime_ns == before


def test_outside_a_repository_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLIOMAP_COMMIT", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert _commit(tmp_path) is None
