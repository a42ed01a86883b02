"""The archive: cases are recorded, found, exported, and refused with a reason."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import stat
import threading
import zipfile
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
import tifffile

from gliomap.errors import ArchiveError, ArchiveFullError
from gliomap.serving.archive import Archive, ArchiveReader
from gliomap.serving.archive._case import case_path
from gliomap.serving.archive._index import Index
from serving.archive.cases import CASE, NOW, RAW, reader


@pytest.mark.parametrize("name", ["before?after", "a%20b", "Übung #1"])
def test_everything_lies_in_the_folder_whatever_its_name(tmp_path: Path, name: str) -> None:
    """Characters with a meaning in database URLs have none in folder names."""
    Archive.open(tmp_path / name, least_free=0).close()
    assert [one.name for one in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "index.sqlite").is_file()


class TestRecord:
    def test_a_recorded_case_is_read_back(self, archive: Archive) -> None:
        kept = reader(archive).case(archive.record(CASE))
        assert (kept.record.client, kept.record.bundle, kept.record.result) == ("camera", "b" * 64, dict(CASE.result))
        assert kept.record.received_at == NOW
        import io

        from PIL import Image

        np.testing.assert_array_equal(tifffile.imread(io.BytesIO(kept.files["raw.tif"])), RAW)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(kept.files["labels.png"]))), CASE.labels)

    def test_a_case_without_its_frame_has_no_frame_file(self, archive: Archive) -> None:
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

    def test_the_index_describes_the_case(self, archive: Archive) -> None:
        with_frame, without = archive.record(CASE), archive.record(replace(CASE, raw=None))
        rows = {row.id: row for row in reader(archive).rows()}
        assert (rows[with_frame].has_raw, rows[without].has_raw) == (True, False)
        kept = reader(archive).case(with_frame)
        assert rows[with_frame].record == kept.sha256
        for field in ("received_at", "kind", "client", "patient", "model", "model_version", "bundle", "answer"):
            assert getattr(rows[with_frame], field) == getattr(kept.record, field), field
        assert rows[with_frame].references_id == "or-1"

    def test_the_index_can_be_read_while_it_is_written(self, archive: Archive) -> None:
        name = archive.record(CASE)
        with closing(sqlite3.connect(archive.folder / "index.sqlite", isolation_level=None)) as writer:
            writer.execute("BEGIN EXCLUSIVE")
            assert [row.id for row in reader(archive).rows()] == [name]
            writer.execute("ROLLBACK")

    def test_a_broken_index_is_named_by_every_query(self, tmp_path: Path) -> None:
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

    def test_several_threads_record_at_once(self, archive: Archive) -> None:
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

    def test_the_folder_of_a_day_begun_by_another_thread_is_flushed(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The other thread may not have flushed it yet when the power fails after this one has answered."""
        case_path(archive.folder, f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-00000000").parent.mkdir(exist_ok=True)
        flushed: list[Path] = []
        monkeypatch.setattr("gliomap.serving.archive._archive._sync_folder", flushed.append)
        days = [case_path(archive.folder, archive.record(CASE)).parent for _ in range(2)]
        assert flushed == [archive.folder / "cases", days[0], days[1]]


class TestPatients:
    def test_patients_are_hashed_with_a_key_readable_by_its_owner_only(self, archive: Archive) -> None:
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

    def test_patients_are_found_by_identifier_hashed_or_not(self, tmp_path: Path) -> None:
        """--archive-keep-ids may be used for part of an archive's life only."""
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

    def test_a_pseudonym_is_found_without_the_key(self, archive: Archive) -> None:
        """A copy of the archive may come without the key, or the key may belong to another user."""
        name = archive.record(CASE)
        pseudonym = reader(archive).case(name).record.patient
        (archive.folder / "pseudonym.key").write_bytes(b"none that could be used")
        assert [row.id for row in reader(archive).rows(patient=pseudonym)] == [name]

    def test_identifiers_are_kept_on_request(self, tmp_path: Path) -> None:
        archive = Archive.open(tmp_path / "cases", keep_ids=True, least_free=0)
        assert reader(archive).case(archive.record(CASE)).record.patient == "ID0018"
        archive.close()


class TestRefused:
    def test_a_folder_with_other_files_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.docx").touch()
        with pytest.raises(ArchiveError, match="nor empty"):
            Archive.open(tmp_path)
        with pytest.raises(ArchiveError, match=r"has no archive\.json"):
            ArchiveReader(tmp_path)

    def test_a_second_writer_is_refused(self, archive: Archive) -> None:
        with pytest.raises(ArchiveError, match="another process"):
            Archive.open(archive.folder)

    def test_a_nearly_full_disk_is_refused(self, archive: Archive) -> None:
        archive.require_usable()
        archive.least_free = shutil.disk_usage(archive.folder).total * 2
        with pytest.raises(ArchiveFullError, match="must stay free"):
            archive.require_usable()

    @pytest.mark.parametrize("name", ["../../etc/passwd", "", "20261123T091501123456-1a2b3c4d/..", "x" * 300])
    def test_ids_that_are_paths_are_refused(self, archive: Archive, name: str) -> None:
        with pytest.raises(ArchiveError, match="not the id of a case"):
            reader(archive).case(name)

    def test_an_unknown_case_is_refused(self, archive: Archive) -> None:
        with pytest.raises(ArchiveError, match="does not exist"):
            reader(archive).case("20261123T091501123456-1a2b3c4d")

    @pytest.mark.parametrize(
        "rest", ["://who:secret@127.0.0.1:1/none", "//who:secret@127.0.0.1/none", "://who:a@b:secret@127.0.0.1/none"]
    )
    def test_an_unreachable_database_is_named_without_its_password(self, tmp_path: Path, rest: str) -> None:
        with pytest.raises(ArchiveError, match="cannot be used") as caught:
            Archive.open(tmp_path / "cases", database=f"postgresql+psycopg{rest}")
        assert "secret" not in str(caught.value)
        Archive.open(tmp_path / "cases", least_free=0).close()


def test_cases_are_exported(archive: Archive, tmp_path: Path) -> None:
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
