"""A store whose folder was moved or copied finds its files again."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gliomap.tracking._store import ARTIFACTS

__all__ = ["follow_move"]

_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables and columns of MLflow that name files."""


def follow_move(database: Path) -> None:
    """Write into a store where its files are now, if they lie beside it and it names another place.

    MLflow keeps absolute addresses. After a move it would not find the files, and it would write new ones where the study
    lay before; after a copy, it would write them into the original.

    Parameters
    ----------
    database
        Of SQLite, as MLflow makes it.
    """
    here = database.absolute().parent / ARTIFACTS
    if not here.is_dir():
        return
    # What nobody can read or write here, MLflow meets next, and that is told in our words.
    with suppress(sqlite3.Error), closing(sqlite3.connect(database)) as connection, connection:
        known = connection.execute("SELECT artifact_location FROM experiments").fetchall()
        for before in {str(location).rpartition("/")[0] for (location,) in known}:
            place = Path(unquote(urlsplit(before).path))
            if place.name == ARTIFACTS and place.resolve() != here.resolve():
                _replace(connection, f"{before}/", f"{here.as_uri()}/")


def _replace(connection: sqlite3.Connection, before: str, now: str) -> None:
    for table, column in _ADDRESSES:
        connection.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
            (now, len(before) + 1, len(before), before),
        )
