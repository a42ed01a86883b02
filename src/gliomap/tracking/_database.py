"""The SQLite database of a store: where its file is, and how it is created completely or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from gliomap._files import atomic_file
from gliomap.tracking._folder import alone_in

__all__ = ["database_path", "database_uri", "is_database", "make_database"]

_PREFIX = "sqlite:///"


def database_uri(path: Path) -> str:
    """The URI of a database file; characters that would end a path in a URI are escaped."""
    return _PREFIX + str(path.absolute()).replace("%", "%25").replace("?", "%3F")


def database_path(uri: str) -> Path | None:
    """The file that a URI names; None if it is not an SQLite URI or names no file."""
    path = unquote(uri.removeprefix(_PREFIX))
    return Path(path) if uri.startswith(_PREFIX) and path not in ("", ":memory:") else None


def make_database(path: Path, build: Callable[[str], object]) -> None:
    """Build a database elsewhere and move it to `path`, unless one is there.

    MLflow builds it in some fifty steps that take seconds. A process killed in between, or two processes at once, would
    leave a database that nothing can open.

    Parameters
    ----------
    path
        Where the database belongs.
    build
        Called with the URI of the database to build.
    """
    if is_database(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone_in(path.parent):
        if not is_database(path):
            with atomic_file(path) as temporary:
                build(database_uri(temporary))


def is_database(path: Path) -> bool:
    """Whether `path` may be a database; to SQLite itself an empty file is a database without tables."""
    return path.exists() and path.stat().st_size > 0
