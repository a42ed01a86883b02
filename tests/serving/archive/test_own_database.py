"""A database elsewhere belongs to one archive, wherever its folder lies."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import sqlalchemy as sa

from gliomap.errors import ArchiveError
from gliomap.serving.archive import Archive, ArchiveReader
from serving.archive.cases import CASE
from serving.servers import COMMAND


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database outside the archive that holds one case of it."""
    url = f"sqlite:///{tmp_path / 'database'}"
    archive = Archive.open(tmp_path / "cases", database=url, least_free=0)
    archive.record(CASE)
    archive.close()
    return url


def verified(folder: Path, url: str) -> tuple[int, tuple[str, ...]]:
    """Open the archive as a service does, and return its intact cases and its faults."""
    Archive.open(folder, database=url, least_free=0).close()
    found = ArchiveReader(folder, url).verify()
    return found.whole, found.faults


def forget_mark(url: str) -> None:
    """Make the database one of an earlier version."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE gliomap_archive"))
    engine.dispose()


def test_a_second_archive_is_refused_and_changes_nothing(url: str, bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for words in (
        ["serve", bundle, "--port", "0", "--archive", other, "--archive-url", url],
        ["archive", "verify", other, "--url", url],
    ):
        done = subprocess.run([COMMAND, *words], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert f"belongs to another archive than {other}. Give each archive a database of its own" in done.stderr
    assert verified(tmp_path / "cases", url) == (1, ())


def test_a_moved_and_a_restored_archive_keep_their_database(url: str, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "cases", tmp_path / "backup")
    archive = Archive.open(tmp_path / "cases", database=url, least_free=0)
    later = archive.record(CASE)
    archive.close()
    (tmp_path / "cases").rename(tmp_path / "moved")
    assert verified(tmp_path / "moved", url) == (2, ())
    lost = f"case {later}: is in the index, but its file is gone"
    assert verified(tmp_path / "backup", url) == (1, (lost,)), "the index knows what the backup lacks"


def test_an_older_database_gets_its_mark_from_the_first_service_that_opens_it(url: str, tmp_path: Path) -> None:
    mark = tmp_path / "cases" / "archive.json"
    mark.write_text(json.dumps({name: value for name, value in json.loads(mark.read_text()).items() if name != "id"}))
    forget_mark(url)
    Archive.open(tmp_path / "other", least_free=0).close()
    assert len(ArchiveReader(tmp_path / "other", url).rows()) == 1, "reading marks nothing"
    assert verified(tmp_path / "cases", url) == (1, ())
    with pytest.raises(ArchiveError, match="belongs to another archive"):
        ArchiveReader(tmp_path / "other", url).rows()
