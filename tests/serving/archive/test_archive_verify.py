"""Verification finds every change, and opening an archive repairs what a crash left."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy

from gliomap.errors import ArchiveError
from gliomap.serving.archive import Archive, ArchiveReader
from gliomap.serving.archive._case import case_path
from gliomap.serving.archive._index import CaseRow, Index
from serving.archive.cases import CASE, NOW, forge, raising, reader


class TestVerify:
    def test_a_change_of_any_byte_of_a_case_is_found(self, archive: Archive) -> None:
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

    def test_a_case_too_large_for_memory_is_not_unpacked(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name = archive.record(CASE)
        monkeypatch.setattr("gliomap.serving.archive._case._MOST_BYTES", 500)
        with pytest.raises(ArchiveError, match="would unpack to more than any case contains"):
            reader(archive).case(name)

    def test_a_missing_case_is_found(self, archive: Archive) -> None:
        path = case_path(archive.folder, archive.record(CASE))
        path.unlink()
        assert "its file is gone" in reader(archive).verify().faults[0]

    def test_a_forged_case_with_matching_hashes_contradicts_the_log(self, archive: Archive) -> None:
        """Anyone who can write files can make a case that is valid in itself; only the log knows which one was answered."""
        path = case_path(archive.folder, archive.record(CASE))
        forge(path)
        assert reader(archive).case(reader(archive).ids()[0]).record.client == "nobody"
        (fault,) = reader(archive).verify().faults
        assert "is not the file recorded in the audit log" in fault

    def test_a_case_in_the_place_of_another_is_found(self, archive: Archive) -> None:
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
    def test_a_line_being_written_is_not_a_changed_log(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch, written: int
    ) -> None:
        """A check beside a busy service may read only part of the last line."""
        first = archive.record(CASE)
        with monkeypatch.context() as patched:
            patched.setattr(
                Index, "add", raising(ArchiveError("index", "cannot be used", "Wait."))
            )  # a row comes after the line
            second = archive.record(CASE)
        log = archive.folder / "audit.jsonl"
        whole = log.read_bytes()
        end_of_first = whole.index(b"\n") + 1
        log.write_bytes(whole[: end_of_first + written] if written > 0 else whole[:written])
        found = reader(archive).verify()
        assert (found.cases, found.whole, found.entries, found.faults) == (2, 2, 1, ())
        assert "not in the audit log yet: 1 case; added at the next start of the service" in found.notes
        reader(archive).export([first, second], archive.folder.with_name("out"))

    def test_a_changed_log_is_never_extended(self, tmp_path: Path) -> None:
        archive = Archive.open(tmp_path / "cases", least_free=0)
        for _ in range(2):
            archive.record(CASE)
        archive.close()
        log = tmp_path / "cases" / "audit.jsonl"
        log.write_text(log.read_text().replace("camera", "nobody"))
        with pytest.raises(ArchiveError, match="the log was changed"):
            Archive.open(tmp_path / "cases")


class TestRepair:
    def test_rows_missing_from_the_index_are_added(self, tmp_path: Path) -> None:
        archive = Archive.open(tmp_path / "cases", least_free=0)
        name = archive.record(CASE)
        archive.close()
        for path in (tmp_path / "cases").glob("index.sqlite*"):
            path.unlink()
        assert "not in the index" in ArchiveReader(tmp_path / "cases").verify().notes[0]
        Archive.open(tmp_path / "cases", least_free=0).close()
        assert [row.id for row in ArchiveReader(tmp_path / "cases").rows()] == [name]

    def test_a_lost_index_is_rebuilt_from_any_number_of_cases(self, tmp_path: Path) -> None:
        """Databases limit the parameters of a statement: 32,766 in SQLite, 1,500 here."""
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

    def test_a_torn_line_is_removed_and_its_case_added_as_recovered(self, tmp_path: Path) -> None:
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
