"""Locks on the folders of unfinished trainings."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gliomap.errors import RunError
from gliomap.tracking import is_held, lock_folder

HOLDER = """
import sys
from pathlib import Path
from gliomap.tracking import lock_folder
with lock_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_held_for_as_long_as_its_process_lives(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert is_held(tmp_path)
    with pytest.raises(RunError, match="another process"), lock_folder(tmp_path):
        pytest.fail("two trainings in one folder")
    holder.kill()
    holder.communicate()
    assert (tmp_path / ".lock").exists()
    assert not is_held(tmp_path)


def test_asking_whether_a_folder_is_held_does_not_block_training(tmp_path: Path) -> None:
    with lock_folder(tmp_path):
        assert is_held(tmp_path)
        assert is_held(tmp_path)
    assert not is_held(tmp_path)
    with lock_folder(tmp_path):
        assert is_held(tmp_path)


def test_a_training_is_not_refused_while_another_process_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".lock").touch()
    asking, flock = os.open(tmp_path / ".lock", os.O_RDONLY), fcntl.flock
    flock(asking, fcntl.LOCK_SH)

    def release_once_refused(descriptor: int, operation: int) -> None:
        try:
            flock(descriptor, operation)
        except BlockingIOError:
            flock(asking, fcntl.LOCK_UN)
            raise

    monkeypatch.setattr(fcntl, "flock", release_once_refused)
    with lock_folder(tmp_path):
        assert is_held(tmp_path)
    os.close(asking)


def test_a_folder_counts_as_held_if_its_lock_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lock_folder(tmp_path):
        pass

    def refuse(*given: object) -> int:
        del given
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert is_held(tmp_path)
