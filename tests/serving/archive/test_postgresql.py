"""The index in a real PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from gliomap.errors import ArchiveError
from gliomap.serving.archive import Archive, ArchiveReader
from gliomap.serving.archive._case import case_path
from postgresql import postgresql
from serving.archive.cases import CASE

pytest.importorskip("psycopg")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL server of this test's own."""
    with postgresql() as address:
        yield address


@pytest.fixture
def url(server: str) -> Iterator[str]:
    """An empty database: each archive needs its own."""
    yield server
    engine = sa.create_engine(server)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS gliomap_cases, gliomap_archive"))
    engine.dispose()


def test_cases_are_found_and_missing_rows_are_added(url: str, tmp_path: Path) -> None:
    archive = Archive.open(tmp_path / "cases", database=url, least_free=0)
    names = [archive.record(CASE), archive.record(CASE)]
    archive.close()
    reader = ArchiveReader(tmp_path / "cases", url)
    assert [row.id for row in reader.rows(patient="ID0018")] == names[::-1]
    assert reader.rows()[0].received_at == CASE.received_at
    found = reader.verify()
    assert (found.whole, found.faults, found.notes) == (2, (), ())
    assert not list((tmp_path / "cases").glob("index.sqlite*"))


def test_it_reveals_removed_cases(url: str, tmp_path: Path) -> None:
    archive = Archive.open(tmp_path / "cases", database=url, least_free=0)
    first, second = archive.record(CASE), archive.record(CASE)
    archive.close()
    case_path(archive.folder, second).unlink()
    log = archive.folder / "audit.jsonl"
    log.write_text(log.read_text().splitlines(keepends=True)[0])
    (fault,) = ArchiveReader(archive.folder, url).verify().faults
    assert fault == f"case {second}: is in the index, but its file is gone"
    assert first not in fault


def test_another_archive_is_refused(url: str, tmp_path: Path) -> None:
    Archive.open(tmp_path / "cases", database=url, least_free=0).close()
    with pytest.raises(ArchiveError, match=r"index postgresql.*belongs to another archive than .*other"):
        Archive.open(tmp_path / "other", database=url)
    Archive.open(tmp_path / "cases", database=url, least_free=0).close()


def test_a_wrong_database_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="does not exist"):
        Archive.open(tmp_path / "cases", database=url.replace("/postgres", "/nowhere"))


def test_long_model_names_fit(url: str, tmp_path: Path) -> None:
    archive = Archive.open(tmp_path / "cases", database=url, keep_ids=True, least_free=0)
    case = replace(CASE, patient="P" * 128, model_version=f"models:/{'glioma-map' * 20}/3")
    name = archive.record(case)
    archive.close()
    (row,) = ArchiveReader(tmp_path / "cases", url).rows(patient="P" * 128)
    assert (row.id, row.model_version) == (name, case.model_version)
