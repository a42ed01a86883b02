"""The archive: durable, whole after a kill, checkable."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import sqlalchemy
import tifffile

from gliomap.errors import ArchiveError, ArchiveFullError, MachineError
from gliomap.serving.archive import Archive, ArchiveReader, Case
from gliomap.serving.archive._case import case_path
from gliomap.serving.archive._index import CaseRow, Index, _limits
from support import wait_until

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


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    opened = Archive.open(tmp_path / "cases", least_free=0)
    yield opened
    opened.close()


@pytest.mark.parametrize("name", ["before?after", "a%20b", "Übung #1"])
def test_all_that_it_keeps_lies_in_its_folder(tmp_path: Path, name: str) -> None:
    """Signs that mean something in the URL of a database mean nothing in the name of a folder."""
    Archive.open(tmp_path / name, least_free=0).close()
    assert [one.name for one in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "index.sqlite").is_file()


def raising(error: OSError) -> Callable[..., None]:
    def refuse(*_: object) -> None:
        raise error

    return refuse


class Filling:
    """A file on a disk that has room for ten bytes more."""

    def __init__(self, file: BinaryIO, error: OSError) -> None:
        self._file, self._error, self._room = file, error, 10

    def write(self, content: bytes) -> int:
        if not self._room:
            raise self._error
        room, self._room = self._room, 0
        return self._file.write(content[:room])

    def fileno(self) -> int:
        return self._file.fileno()


def reader(archive: Archive) -> ArchiveReader:
    return ArchiveReader(archive.folder)


class TestRecord:
    def test_what_is_kept_comes_back(self, archive: Archive) -> None:
        kept = reader(archive).case(archive.record(CASE))
        assert (kept.record.client, kept.record.bundle, kept.record.result) == ("camera", "b" * 64, dict(CASE.result))
        assert kept.record.received_at == NOW
        import io

        from PIL import Image

        np.testing.assert_array_equal(tifffile.imread(io.BytesIO(kept.files["raw.tif"])), RAW)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(kept.files["labels.png"]))), CASE.labels)

    def test_a_frame_that_is_not_kept_leaves_no_file(self, archive: Archive) -> None:
        kept = reader(archive).case(archive.record(replace(CASE, raw=None)))
        assert set(kept.files) == {"labels.png"}

    def test_the_index_finds_by_patient_client_and_time(self, archive: Archive) -> None:
        first = archive.record(CASE)
        second = archive.record(replace(CASE, client="viewer", patient=None, received_at=NOW + timedelta(hours=1)))
        found = reader(archive)
        assert [row.id for row in found.rows()] == [second, first]
        assert [row.id for row in found.rows(patient="ID0018")] == [first]
        assert [row.id for row in found.rows(client="viewer")] == [second]
        assert [row.id for row in found.rows(since=NOW + timedelta(minutes=1))] == [second]
        elsewhere = timezone(timedelta(hours=2))  # 12:01 there is one minute past the first
        assert [row.id for row in found.rows(since=(NOW + timedelta(minutes=1)).astimezone(elsewhere))] == [second]
        assert [row.id for row in found.rows(most=1)] == [second]

    def test_the_index_tells_what_the_case_is(self, archive: Archive) -> None:
        with_frame, without = archive.record(CASE), archive.record(replace(CASE, raw=None))
        rows = {row.id: row for row in reader(archive).rows()}
        assert (rows[with_frame].has_raw, rows[without].has_raw) == (True, False)
        kept = reader(archive).case(with_frame)
        assert rows[with_frame].record == kept.sha256
        for field in ("received_at", "kind", "client", "patient", "model", "model_version", "bundle", "answer"):
            assert getattr(rows[with_frame], field) == getattr(kept.record, field), field
        assert rows[with_frame].references_id == "or-1"

    def test_the_index_is_read_while_it_is_written(self, archive: Archive) -> None:
        name = archive.record(CASE)
        with closing(sqlite3.connect(archive.folder / "index.sqlite", isolation_level=None)) as writer:
            writer.execute("BEGIN EXCLUSIVE")
            assert [row.id for row in reader(archive).rows()] == [name]
            writer.execute("ROLLBACK")

    def test_an_index_that_cannot_be_used_says_so_whatever_is_asked(self, tmp_path: Path) -> None:
        index = Index(tmp_path)
        with closing(sqlite3.connect(tmp_path / "index.sqlite")) as other:
            other.execute("DROP TABLE gliomap_cases")
        archive = Archive.open(tmp_path / "cases", least_free=0)
        archive.record(CASE)
        rows = reader(archive).rows()
        archive.close()
        for ask in (lambda: index.add(rows), index.rows, index.ids):
            with pytest.raises(ArchiveError, match=r"index sqlite.*cannot be used \(no such table"):
                ask()
        index.close()

    def test_from_several_threads_at_once(self, archive: Archive) -> None:
        names: list[str] = []

        def write() -> None:
            names.extend(archive.record(CASE) for _ in range(10))

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(names)) == 40
        found = reader(archive).verify()
        assert (found.whole, found.entries, found.faults, found.notes) == (40, 40, (), ())

    def test_a_day_that_another_thread_has_just_begun_is_flushed_as_well(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """That thread may not have come to it yet, and the power fails after the answer of this one."""
        case_path(archive.folder, f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-00000000").parent.mkdir(exist_ok=True)
        flushed: list[Path] = []
        monkeypatch.setattr("gliomap.serving.archive._archive._sync_folder", flushed.append)
        days = [case_path(archive.folder, archive.record(CASE)).parent for _ in range(2)]
        assert flushed == [archive.folder / "cases", days[0], days[1]]


class TestPatients:
    def test_they_are_hashed_with_a_key_that_only_its_owner_reads(self, archive: Archive) -> None:
        names = [archive.record(CASE) for _ in range(2)]
        patients = {reader(archive).case(name).record.patient for name in names}
        assert len(patients) == 1
        assert patients.pop().startswith("p-")
        assert stat.S_IMODE((archive.folder / "pseudonym.key").stat().st_mode) == 0o600
        for path in archive.folder.rglob("*"):
            if path.is_file() and path.name != "pseudonym.key":
                assert b"ID0018" not in path.read_bytes(), path

    def test_another_key_gives_another_pseudonym(self, tmp_path: Path) -> None:
        found = set()
        for number in range(2):
            archive = Archive.open(tmp_path / str(number), least_free=0)
            found.add(reader(archive).case(archive.record(CASE)).record.patient)
            archive.close()
        assert len(found) == 2

    def test_they_are_found_by_identifier_whichever_way_they_were_kept(self, tmp_path: Path) -> None:
        """Some have been hashed before somebody said --archive-keep-ids, and some after he no longer did."""
        names = []
        for keep_ids in (True, False, True):
            archive = Archive.open(tmp_path / "cases", keep_ids=keep_ids, least_free=0)
            names += [archive.record(CASE), archive.record(replace(CASE, patient="ID0019"))]
            archive.close()
        found = ArchiveReader(tmp_path / "cases")
        assert [row.id for row in found.rows(patient="ID0018")] == names[4::-2]
        pseudonym = found.rows(patient="ID0018")[1].patient
        assert [row.id for row in found.rows(patient=pseudonym)] == [names[2]]

    def test_an_identifier_may_begin_like_a_pseudonym(self, archive: Archive) -> None:
        name = archive.record(replace(CASE, patient="p-17"))
        assert [row.id for row in reader(archive).rows(patient="p-17")] == [name]

    def test_a_pseudonym_is_looked_for_without_the_key(self, archive: Archive) -> None:
        """It lies elsewhere in a copy that was given away, or belongs to somebody else."""
        name = archive.record(CASE)
        pseudonym = reader(archive).case(name).record.patient
        (archive.folder / "pseudonym.key").write_bytes(b"none that could be used")
        assert [row.id for row in reader(archive).rows(patient=pseudonym)] == [name]

    def test_they_are_kept_when_told_so(self, tmp_path: Path) -> None:
        archive = Archive.open(tmp_path / "cases", keep_ids=True, least_free=0)
        assert reader(archive).case(archive.record(CASE)).record.patient == "ID0018"
        archive.close()


class TestRefused:
    def test_a_folder_with_other_things(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.docx").touch()
        with pytest.raises(ArchiveError, match="nor empty"):
            Archive.open(tmp_path)
        with pytest.raises(ArchiveError, match=r"has no archive\.json"):
            ArchiveReader(tmp_path)

    def test_two_writers(self, archive: Archive) -> None:
        with pytest.raises(ArchiveError, match="another process"):
            Archive.open(archive.folder)

    def test_a_disk_that_is_nearly_full(self, archive: Archive) -> None:
        archive.require_usable()
        archive.least_free = shutil.disk_usage(archive.folder).total * 2
        with pytest.raises(ArchiveFullError, match="must stay free"):
            archive.require_usable()

    @pytest.mark.parametrize("name", ["../../etc/passwd", "", "20261123T091501123456-1a2b3c4d/..", "x" * 300])
    def test_ids_that_are_paths(self, archive: Archive, name: str) -> None:
        with pytest.raises(ArchiveError, match="not the id of a case"):
            reader(archive).case(name)

    def test_an_unknown_case(self, archive: Archive) -> None:
        with pytest.raises(ArchiveError, match="does not exist"):
            reader(archive).case("20261123T091501123456-1a2b3c4d")

    @pytest.mark.parametrize(
        "rest", ["://who:secret@127.0.0.1:1/none", "//who:secret@127.0.0.1/none", "://who:a@b:secret@127.0.0.1/none"]
    )
    def test_a_database_that_is_not_there_is_named_without_its_password(self, tmp_path: Path, rest: str) -> None:
        with pytest.raises(ArchiveError, match="cannot be used") as caught:
            Archive.open(tmp_path / "cases", database=f"postgresql+psycopg{rest}")
        assert "secret" not in str(caught.value)
        Archive.open(tmp_path / "cases", least_free=0).close()


class TestDisk:
    def test_where_its_disk_was_unmounted_no_case_is_put(self, archive: Archive, tmp_path: Path) -> None:
        """An empty folder comes to light under its name: what went there would be gone with the disk's return."""
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

    def test_a_disk_that_turned_read_only_is_noticed_before_any_work(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "utime", raising(OSError(errno.EROFS, "Read-only file system")))
        with pytest.raises(MachineError, match="Read-only file system") as refused:
            archive.require_usable()
        assert "mounted, writable" in refused.value.remedy

    @pytest.mark.parametrize("ended", [True, False])
    def test_it_is_read_where_nothing_can_be_written(self, monkeypatch: pytest.MonkeyPatch, ended: bool) -> None:
        """A copy on a disk that is mounted read-only; or an auditor's look at what a service is writing."""
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


@contextmanager
def as_somebody_else() -> Iterator[None]:
    """To root no folder is closed."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


class TestIndexThatHangs:
    def test_no_answer_waits_for_it_and_no_row_is_lost(
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

    def test_of_very_many_that_wait_the_oldest_are_left_to_the_next_start(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gliomap.serving.archive._indexer._MOST_WAITING", 3)
        archive = Archive.open(tmp_path / "cases", least_free=0)
        with monkeypatch.context() as patched:
            patched.setattr(Index, "add", raising_archive_error)
            names = [archive.record(CASE) for _ in range(5)]
        archive.close()
        assert [row.id for row in reader(archive).rows()] == names[:1:-1]
        Archive.open(tmp_path / "cases", least_free=0).close()
        assert [row.id for row in reader(archive).rows()] == names[::-1]


def raising_archive_error(*_: object) -> None:
    raise ArchiveError("index", "cannot be used", "Wait.")


def forge(path: Path) -> None:
    """Make a case anew, whole in itself, of another client."""
    with zipfile.ZipFile(path) as kept:
        files = {name: kept.read(name) for name in kept.namelist()}
    files["case.json"] = files["case.json"].replace(b'"camera"', b'"nobody"')
    with zipfile.ZipFile(path, "w") as forged:
        for name, content in files.items():
            forged.writestr(name, content)


class TestVerify:
    def test_every_byte_of_a_case_counts(self, archive: Archive) -> None:
        path = case_path(archive.folder, archive.record(CASE))
        good = path.read_bytes()
        rng = np.random.default_rng(0)
        for at in rng.choice(len(good), 60, replace=False):
            bad = bytearray(good)
            bad[at] ^= 0x41
            path.write_bytes(bad)
            found = reader(archive).verify()
            # Bytes of the ZIP's own headers that change nothing of the content are no loss.
            if not found.faults:
                assert reader(archive).case(path.name[:-9]).files.keys() == {"labels.png", "raw.tif"}
        path.write_bytes(good[:-40])
        assert reader(archive).verify().faults

    def test_a_case_that_would_fill_the_memory_is_not_unpacked(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name = archive.record(CASE)
        monkeypatch.setattr("gliomap.serving.archive._case._MOST_BYTES", 500)
        with pytest.raises(ArchiveError, match="would unpack to more than any case contains"):
            reader(archive).case(name)

    def test_a_case_that_is_gone(self, archive: Archive) -> None:
        path = case_path(archive.folder, archive.record(CASE))
        path.unlink()
        assert "its file is gone" in reader(archive).verify().faults[0]

    def test_a_case_that_was_made_anew_with_fitting_hashes_is_not_the_one_of_the_log(self, archive: Archive) -> None:
        """Whoever can write files can make a case that is whole in itself; the log knows which one was answered."""
        path = case_path(archive.folder, archive.record(CASE))
        forge(path)
        assert reader(archive).case(reader(archive).ids()[0]).record.client == "nobody"
        (fault,) = reader(archive).verify().faults
        assert "is not the file recorded in the audit log" in fault

    def test_a_case_that_was_put_in_the_place_of_another(self, archive: Archive) -> None:
        first = archive.record(CASE)
        path = case_path(archive.folder, first)
        other = Archive.open(archive.folder.with_name("other"), least_free=0)
        forged = case_path(other.folder, other.record(replace(CASE, client="nobody"))).read_bytes()
        other.close()
        path.write_bytes(forged)
        assert len(reader(archive).verify().faults) == 1

    @pytest.mark.parametrize("change", ["altered", "taken out", "first taken out", "put in"])
    def test_a_changed_log_breaks_its_chain(self, archive: Archive, change: str) -> None:
        for _ in range(3):
            archive.record(CASE)
        path = archive.folder / "audit.jsonl"
        lines = path.read_text().splitlines(keepends=True)
        if change == "altered":
            lines[1] = lines[1].replace('"camera"', '"nobody"')
        elif change == "put in":
            lines.insert(1, lines[0])
        else:
            del lines[1 if change == "taken out" else 0]
        path.write_text("".join(lines))
        found = reader(archive).verify()
        assert len(found.faults) >= 1
        assert "line" in found.faults[0]

    @pytest.mark.parametrize("written", [1, 200, -1])
    def test_a_line_that_is_being_written_is_no_change_of_the_log(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch, written: int
    ) -> None:
        """A reader sees it in part: a check beside a busy service said now and then that its log was changed."""
        first = archive.record(CASE)
        with monkeypatch.context() as patched:
            patched.setattr(Index, "add", raising_archive_error)  # a row comes after the line
            second = archive.record(CASE)
        log = archive.folder / "audit.jsonl"
        whole = log.read_bytes()
        end_of_first = whole.index(b"\n") + 1
        log.write_bytes(whole[: end_of_first + written] if written > 0 else whole[:written])
        found = reader(archive).verify()
        assert (found.cases, found.whole, found.entries, found.faults) == (2, 2, 1, ())
        assert "not in the audit log yet: 1 case; added at the next start of the service" in found.notes
        reader(archive).export([first, second], archive.folder.with_name("out"))

    def test_nothing_is_added_to_a_log_that_was_changed(self, tmp_path: Path) -> None:
        archive = Archive.open(tmp_path / "cases", least_free=0)
        for _ in range(2):
            archive.record(CASE)
        archive.close()
        log = tmp_path / "cases" / "audit.jsonl"
        log.write_text(log.read_text().replace("camera", "nobody"))
        with pytest.raises(ArchiveError, match="the log was changed"):
            Archive.open(tmp_path / "cases")


class TestRepair:
    def test_what_the_index_lacks_is_added(self, tmp_path: Path) -> None:
        archive = Archive.open(tmp_path / "cases", least_free=0)
        name = archive.record(CASE)
        archive.close()
        for path in (tmp_path / "cases").glob("index.sqlite*"):
            path.unlink()
        assert "not in the index" in ArchiveReader(tmp_path / "cases").verify().notes[0]
        Archive.open(tmp_path / "cases", least_free=0).close()
        assert [row.id for row in ArchiveReader(tmp_path / "cases").rows()] == [name]

    def test_an_index_that_is_lost_is_made_anew_however_many_cases_there_are(self, tmp_path: Path) -> None:
        """Databases take so many parameters in a statement and no more: some 32,766 in SQLite, here 1,500."""
        index = Index(tmp_path)
        sqlalchemy.event.listen(
            index._engine,
            "connect",
            lambda connection, _: connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 1500),
        )
        index._engine.dispose()
        first = CaseRow(
            "20261123T091501000000-1a2b3c4d",
            NOW,
            "stream",
            "camera",
            None,
            "m",
            "",
            "b" * 64,
            None,
            "c" * 64,
            "d" * 64,
            False,
        )
        rows = [replace(first, id=f"20261123T091501{number:06}-1a2b3c4d") for number in range(3500)]
        index.add(rows[:10])
        index.add(rows)
        assert index.ids() == {row.id for row in rows}
        index.close()

    def test_a_torn_line_of_the_log_is_cut_off_and_its_case_added_as_recovered(self, tmp_path: Path) -> None:
        archive = Archive.open(tmp_path / "cases", least_free=0)
        archive.record(CASE)
        name = archive.record(CASE)
        archive.close()
        log = tmp_path / "cases" / "audit.jsonl"
        log.write_bytes(log.read_bytes()[:-30])
        Archive.open(tmp_path / "cases", least_free=0).close()
        entries = [json.loads(line) for line in log.read_text().splitlines()]
        assert [entry["recovered"] for entry in entries] == [False, True]
        assert entries[1]["case"] == name
        assert ArchiveReader(tmp_path / "cases").verify().faults == ()

    def test_a_disk_that_refuses_leaves_nothing(self, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
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
    def test_a_log_that_cannot_be_written_once_goes_on_whole(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch, fault: str
    ) -> None:
        """A line of a case that nobody was answered with must not stand before the next one: the chain would be broken."""
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

    def test_a_database_that_goes_away_loses_no_row(self, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(Index, "add", raising_archive_error)
            first = archive.record(CASE)
        second = archive.record(CASE)
        assert [row.id for row in reader(archive).rows()] == [second, first]

    def test_a_database_that_is_slow_to_fail_is_left_alone_for_a_while(
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


@pytest.mark.parametrize(
    ("url", "limits"),
    [
        ("postgresql+psycopg://host/name", {"connect_timeout": 5, "tcp_user_timeout": 5000}),
        ("postgresql+psycopg://host/name?connect_timeout=60", {"tcp_user_timeout": 5000}),
        ("sqlite:////index.sqlite", {}),
    ],
)
def test_a_server_that_has_vanished_is_not_waited_for_long(url: str, limits: dict[str, int]) -> None:
    assert _limits(url) == limits


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from serving.archive.test_archive import CASE
from gliomap.serving.archive import Archive
archive = Archive.open(Path(sys.argv[1]), least_free=0)
while True:
    print(archive.record(CASE), flush=True)
"""


def test_killed_while_it_writes_every_acknowledged_case_is_there(tmp_path: Path) -> None:
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


def test_export(archive: Archive, tmp_path: Path) -> None:
    names = [archive.record(CASE), archive.record(CASE)]
    reader(archive).export(names[:1], tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {names[0], "audit.jsonl"}
    assert json.loads((tmp_path / "out" / names[0] / "case.json").read_text())["id"] == names[0]
    (line,) = (tmp_path / "out" / "audit.jsonl").read_text().splitlines()
    exported = (tmp_path / "out" / names[0] / "case.json").read_bytes()
    assert hashlib.sha256(exported).hexdigest() == json.loads(line)["record"], "whoever gets it can compare it"
    with zipfile.ZipFile(case_path(archive.folder, names[0])) as kept:
        assert kept.read("case.json") == exported
    written = (archive.folder / "audit.jsonl").read_text().splitlines()
    assert line == written[0]
