"""The index as a witness: it still lists what was removed from files and log."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from gliomap.serving.archive import Archive, ArchiveReader
from gliomap.serving.archive._case import case_path
from serving.archive.cases import CASE, forge


@dataclass(frozen=True)
class Closed:
    """An archive of three cases without a writer."""

    folder: Path
    names: list[str]

    def cut_log(self, lines: int) -> None:
        """Remove the last lines of the log; the rest is a valid chain."""
        log = self.folder / "audit.jsonl"
        log.write_text("".join(log.read_text().splitlines(keepends=True)[:-lines]))


@pytest.fixture
def closed(tmp_path: Path) -> Closed:
    archive = Archive.open(tmp_path / "closed", least_free=0)
    names = [archive.record(CASE) for _ in range(3)]
    archive.close()
    return Closed(archive.folder, names)


@pytest.mark.parametrize("restarted", [False, True])
def test_removing_the_newest_case_with_its_line_is_found(closed: Closed, restarted: bool) -> None:
    """The rest of the log is a valid chain, but the index still lists the case."""
    closed.cut_log(1)
    case_path(closed.folder, closed.names[-1]).unlink()
    if restarted:
        Archive.open(closed.folder, least_free=0).close()
    found = ArchiveReader(closed.folder).verify()
    assert found.faults == (f"case {closed.names[-1]}: is in the index, but its file is gone",)


@pytest.mark.parametrize("restarted", [False, True])
def test_forging_the_newest_case_without_its_line_is_found(
    closed: Closed, restarted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    closed.cut_log(1)
    path = case_path(closed.folder, closed.names[-1])
    forge(path)
    if restarted:
        Archive.open(closed.folder, least_free=0).close()
        assert f"case {closed.names[-1]} is not in the audit log and differs from the index" in caplog.text
    found = ArchiveReader(closed.folder).verify()
    assert (found.whole, found.entries) == (2, 2), "and it is no case that was recovered"
    line_gone = f"case {closed.names[-1]}: is in the index, but its line in the audit log is gone"
    assert found.faults == (f"{path}: is not the file recorded in the index", line_gone)


def test_a_removed_line_is_found(closed: Closed) -> None:
    """A row is written after its line, so a killed service cannot have left this state."""
    closed.cut_log(1)
    found = ArchiveReader(closed.folder).verify()
    assert found.faults == (f"case {closed.names[-1]}: is in the index, but its line in the audit log is gone",)
    assert found.notes == ()


def test_an_older_log_is_brought_up_to_date(closed: Closed) -> None:
    closed.cut_log(2)
    Archive.open(closed.folder, least_free=0).close()
    lines = [json.loads(line) for line in (closed.folder / "audit.jsonl").read_text().splitlines()]
    assert [line["recovered"] for line in lines] == [False, True, True]
    found = ArchiveReader(closed.folder).verify()
    assert (found.faults, found.notes) == ((), ())


@pytest.mark.parametrize(
    ("column", "value"),
    [("patient", "p-0000000000000000"), ("client", "nobody"), ("received_at", "2026-11-22 10:00:00"), ("has_raw", 0)],
)
def test_a_row_that_contradicts_its_case_is_a_fault(closed: Closed, column: str, value: object) -> None:
    """`list --patient` would list the case under the wrong patient."""
    with closing(sqlite3.connect(closed.folder / "index.sqlite")) as index:
        index.execute(f"UPDATE gliomap_cases SET {column} = ? WHERE id = ?", (value, closed.names[0]))
        index.commit()
    (fault,) = ArchiveReader(closed.folder).verify().faults
    assert fault == f"case {closed.names[0]}: its row in the index contradicts case.json ({column})"


def test_verify_finds_no_fault_while_a_service_records(tmp_path: Path) -> None:
    """Index, log and files are read one after another while cases arrive."""
    archive, ended = Archive.open(tmp_path / "busy", least_free=0), threading.Event()

    def write() -> None:
        while not ended.is_set():
            archive.record(CASE)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert [ArchiveReader(archive.folder).verify().faults for _ in range(20)] == [()] * 20
    finally:
        ended.set()
        thread.join()
        archive.close()
