"""The archive when its disk, its index or its process fails: no acknowledged case is lost."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from gliomap.errors import ArchiveError, MachineError
from gliomap.serving.archive import Archive, ArchiveReader
from gliomap.serving.archive._index import CaseRow, Index, _limits
from serving.archive.cases import CASE, as_somebody_else, raising, reader
from support import wait_until


class Filling:
    """A file on a disk with room for ten more bytes."""

    def __init__(self, file: BinaryIO, error: OSError) -> None:
        self._file, self._error, self._room = file, error, 10

    def write(self, content: bytes) -> int:
        if not self._room:
            raise self._error
        room, self._room = self._room, 0
        return self._file.write(content[:room])

    def fileno(self) -> int:
        return self._file.fileno()


class TestDisk:
    def test_no_case_is_written_where_the_disk_was_unmounted(self, archive: Archive, tmp_path: Path) -> None:
        """The empty mount point remains: cases written into it would vanish when the disk returns."""
        before, away = archive.record(CASE), tmp_path / "away"
        archive.folder.rename(away)
        archive.folder.mkdir()
        with pytest.raises(MachineError, match=r"cannot store cases \("):
            archive.require_usable()
        with pytest.raises(OSError, match="No such file"):
            archive.record(CASE)
        assert not list(archive.folder.iterdir())
        archive.folder.rmdir()
        shutil.copytree(away, archive.folder)  # as an older copy of it
        with pytest.raises(MachineError, match="is not the one that was opened"):
            archive.require_usable()
        shutil.rmtree(archive.folder)
        away.rename(archive.folder)
        archive.require_usable()
        names = [before, archive.record(CASE)]
        assert reader(archive).ids() == names
        assert reader(archive).verify().faults == ()

    def test_a_read_only_disk_is_noticed_before_any_work(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "utime", raising(OSError(errno.EROFS, "Read-only file system")))
        with pytest.raises(MachineError, match="Read-only file system") as refused:
            archive.require_usable()
        assert "mounted, writable" in refused.value.remedy

    @pytest.mark.parametrize("ended", [True, False])
    def test_a_read_only_archive_can_be_read(self, monkeypatch: pytest.MonkeyPatch, ended: bool) -> None:
        """Such as a copy on a read-only disk, or an auditor's view of a running service's archive."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            archive = Archive.open(Path(folder, "a copy?"), least_free=0)
            name = archive.record(CASE)
            if ended:
                archive.close()
            archive.folder.chmod(0o555)
            monkeypatch.setattr(os, "access", lambda _, mode: mode != os.W_OK)
            with as_somebody_else():
                rows = reader(archive).rows()
            assert [row.id for row in rows] == [name]
            if not ended:
                archive.close()


class TestFailedWrites:
    def test_a_failed_write_leaves_nothing_behind(self, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr("gliomap.serving.archive._archive.os.fsync", full)
            with pytest.raises(OSError, match="No space"):
                archive.record(CASE)
        assert list(archive.folder.rglob("*.zip")) == []
        archive.record(CASE)
        assert reader(archive).verify().faults == ()

    @pytest.mark.parametrize("fault", ["written in part", "not flushed"])
    def test_the_log_stays_intact_after_a_failed_write(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch, fault: str
    ) -> None:
        """The line of a case that was never answered must not precede the next one: that would break the chain."""
        before = archive.record(CASE)
        log = archive.folder / "audit.jsonl"
        whole = log.read_bytes()
        full = OSError(errno.ENOSPC, "No space left on device")
        with monkeypatch.context() as patched:
            if fault == "not flushed":
                patched.setattr("gliomap.serving.archive._audit.os.fdatasync", raising(full))
            else:
                patched.setattr(archive._audit, "_stream", Filling(archive._audit._stream, full))
            with pytest.raises(OSError, match="No space left"):
                archive.record(CASE)
            assert log.read_bytes() == whole
        after = archive.record(CASE)
        assert reader(archive).ids() == [before, after]
        verified = reader(archive).verify()
        assert (verified.entries, verified.faults, verified.notes) == (2, (), ())

    def test_no_row_is_lost_while_the_database_is_away(self, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(Index, "add", raising(ArchiveError("index", "cannot be used", "Wait.")))
            first = archive.record(CASE)
        second = archive.record(CASE)
        assert [row.id for row in reader(archive).rows()] == [second, first]

    def test_a_database_that_fails_slowly_is_given_a_pause(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        archive, asked, fail = Archive.open(tmp_path / "cases", least_free=0), [], threading.Event()
        monkeypatch.setattr("gliomap.serving.archive._indexer._PATIENCE_S", 0.05)
        with monkeypatch.context() as patched:

            def gone(_: Index, rows: list[CaseRow]) -> None:
                asked.append(len(rows))
                assert fail.wait(60)
                raise ArchiveError("index", "cannot be used", "Wait.")

            patched.setattr(Index, "add", gone)
            names = [archive.record(CASE)]
            wait_until(lambda: asked)
            names += [archive.record(CASE) for _ in range(2)]
        assert asked == [1], "the others waited for nothing"
        fail.set()
        archive.close()
        assert [row.id for row in reader(archive).rows()] == names[::-1]


class TestIndexThatHangs:
    def test_no_answer_waits_for_a_slow_index_and_no_row_is_lost(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        archive, free = Archive.open(tmp_path / "cases", least_free=0), threading.Event()
        add = Index.add

        def hang(index: Index, rows: list[CaseRow]) -> None:
            assert free.wait(60)
            add(index, rows)

        monkeypatch.setattr(Index, "add", hang)
        monkeypatch.setattr("gliomap.serving.archive._indexer._PATIENCE_S", 0.05)
        names = [archive.record(CASE) for _ in range(5)]
        assert len(reader(archive).verify().notes) == 1, "they are kept, and not in the index yet"
        free.set()
        archive.close()
        assert [row.id for row in reader(archive).rows()] == names[::-1]
        assert [record.levelname for record in caplog.records] == ["ERROR"], "one line, not one a case"

    def test_beyond_the_limit_the_oldest_rows_wait_for_the_next_start(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gliomap.serving.archive._indexer._MOST_WAITING", 3)
        archive = Archive.open(tmp_path / "cases", least_free=0)
        with monkeypatch.context() as patched:
            patched.setattr(Index, "add", raising(ArchiveError("index", "cannot be used", "Wait.")))
            names = [archive.record(CASE) for _ in range(5)]
        archive.close()
        assert [row.id for row in reader(archive).rows()] == names[:1:-1]
        Archive.open(tmp_path / "cases", least_free=0).close()
        assert [row.id for row in reader(archive).rows()] == names[::-1]


@pytest.mark.parametrize(
    ("url", "limits"),
    [
        ("postgresql+psycopg://host/name", {"connect_timeout": 5, "tcp_user_timeout": 5000}),
        ("postgresql+psycopg://host/name?connect_timeout=60", {"tcp_user_timeout": 5000}),
        ("sqlite:////index.sqlite", {}),
    ],
)
def test_connections_to_the_database_have_time_limits(url: str, limits: dict[str, int]) -> None:
    assert _limits(url) == limits


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from serving.archive.cases import CASE
from gliomap.serving.archive import Archive
archive = Archive.open(Path(sys.argv[1]), least_free=0)
while True:
    print(archive.record(CASE), flush=True)
"""


def test_every_acknowledged_case_survives_kill_9(tmp_path: Path) -> None:
    folder, acknowledged = tmp_path / "cases", []
    rng = np.random.default_rng(0)
    tests = Path(__file__).parents[2]
    for _ in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), str(tests)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        acknowledged.append(process.stdout.readline().strip())
        time.sleep(float(rng.uniform(0, 0.05)))
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read()
        acknowledged += [line for line in rest.split("\n")[:-1] if line]
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
    Archive.open(folder, least_free=0).close()
    found = ArchiveReader(folder)
    assert set(acknowledged) <= set(found.ids())
    checked = found.verify()
    assert (checked.faults, checked.notes) == ((), ())
    assert checked.whole == checked.entries >= len(acknowledged) >= 12
    assert not list(folder.rglob(".new-*"))
