"""Lets a store whose folder was moved or copied find its files again."""

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
"""MLflow's tables and columns that contain the addresses of files."""


def follow_move(database: Path) -> None:
    """Update the addresses in a store, if its files lie beside it but it names another place.

    MLflow stores absolute addresses. After a move it would not find the files, and it would write new ones to the study's
    old place. After a copy it would write them into the original.

    Parameters
    ----------
    database
        An SQLite database created by MLflow.
    """
    here = database.absolute().parent / ARTIFACTS
    if not here.is_dir():
        return
    # If the database cannot be read or written here, MLflow fails next, and that error is translated.
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
