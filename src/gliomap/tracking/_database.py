"""The SQLite database of a store: made whole or not at all, and where its file is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from gliomap._files import atomic_file
from gliomap.tracking._folder import alone_in

__all__ = ["database_path", "database_uri", "is_database", "make_database"]

_PREFIX = "sqlite:///"


def database_uri(path: Path) -> str:
    """The URI of a database file; what would end a path in a URI is escaped."""
    return _PREFIX + str(path.absolute()).replace("%", "%25").replace("?", "%3F")


def database_path(uri: str) -> Path | None:
    """The file that a URI names; None where it is not of SQLite, or names no file."""
    path = unquote(uri.removeprefix(_PREFIX))
    return Path(path) if uri.startswith(_PREFIX) and path not in ("", ":memory:") else None


def make_database(path: Path, build: Callable[[str], object]) -> None:
    """Let a database be built elsewhere and moved to `path`, unless one is there.

    MLflow builds it in some fifty steps that take seconds. A process that is killed meanwhile, or two that do it at
    once, would leave a database that nothing opens any more.

    Parameters
    ----------
    path
        Where it belongs.
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
    """Whether something is there that may be a database; SQLite itself takes an empty file for one without tables."""
    return path.exists() and path.stat().st_size > 0
