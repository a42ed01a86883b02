"""The index of an archive: one row per case, in SQLite or any database that SQLAlchemy supports."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gliomap._files import sha256_of
from gliomap.errors import ArchiveError
from gliomap.serving.archive._case import MARK, RAW, CaseRecord

__all__ = ["AT_ONCE", "CaseRow", "Index"]

FILE = "index.sqlite"

AT_ONCE = 1000
"""Rows per statement: databases limit its parameters (PostgreSQL to 65,535, SQLite often to 32,766)."""

_metadata = sa.MetaData()
_cases = sa.Table(
    "gliomap_cases",
    _metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("received_at", sa.DateTime(timezone=True), nullable=False, index=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("client", sa.String, nullable=False),
    sa.Column("patient", sa.String, nullable=True, index=True),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("model_version", sa.String, nullable=False),
    sa.Column("bundle", sa.String, nullable=False),
    sa.Column("references_id", sa.String, nullable=True),
    sa.Column("answer", sa.String, nullable=False),
    sa.Column("record", sa.String, nullable=False),
    sa.Column("has_raw", sa.Boolean, nullable=False),
)
_archive = sa.Table(
    "gliomap_archive",
    _metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),  # always 1: a database has one archive
    sa.Column("mark", sa.String, nullable=False),
)


@dataclass(frozen=True, slots=True)
class CaseRow:
    """One case in the index; names are those of case.json, and `record` is its SHA-256."""

    id: str
    received_at: datetime
    kind: str
    client: str
    patient: str | None
    model: str
    model_version: str
    bundle: str
    references_id: str | None
    answer: str
    record: str
    has_raw: bool

    def differing(self, other: CaseRow) -> list[str]:
        """Names of the columns in which two rows differ."""
        return [name for name in CaseRow.__slots__ if getattr(self, name) != getattr(other, name)]

    @classmethod
    def of(cls, record: CaseRecord, digest: str) -> CaseRow:
        """The row of a case."""
        return cls(
            id=record.id,
            received_at=record.received_at,
            kind=record.kind,
            client=record.client,
            patient=record.patient,
            model=record.model,
            model_version=record.model_version,
            bundle=record.bundle,
            references_id=record.references,
            answer=record.answer,
            record=digest,
            has_raw=RAW in record.files,
        )


class Index:
    """The table of cases.

    The case files are authoritative, and opening an archive adds from them what the index lacks; so a commit need not wait
    for the disk.

    Parameters
    ----------
    folder
        Folder of the archive; its SQLite file is used if no database is named.
    database
        SQLAlchemy URL, such as postgresql+psycopg://user@host/name. It belongs to the first archive that writes to it.
    reading
        Open for reading only, which also works for a SQLite file in a folder that is not writable.

    Raises
    ------
    ArchiveError
        The database cannot be reached or belongs to another archive, or its driver is not installed.
    """

    def __init__(self, folder: Path, database: str | None = None, *, reading: bool = False) -> None:
        # A path inside a URL string would end at '?', and its '%20' would be decoded.
        url = sa.URL.create("sqlite", database=str(folder / FILE)) if database is None else database
        try:
            if reading and database is None and not os.access(folder, os.W_OK):
                self._engine = _unwritable(folder / FILE)
                return
            self._engine = sa.create_engine(url, pool_pre_ping=database is not None, connect_args=_limits(url))
            if self._engine.dialect.name == "sqlite":
                sa.event.listen(self._engine, "connect", _set_pragmas)
            _metadata.create_all(self._engine, [_cases] if reading else None)
            if database is not None:
                self._require_own(folder, reading=reading)
        except (sa.exc.SQLAlchemyError, ImportError, ValueError) as error:
            raise unreachable(url, error) from error

    def _require_own(self, folder: Path, *, reading: bool) -> None:
        """Refuse the database of another archive; mark one that has no mark yet."""
        own = sha256_of(folder / MARK)
        with self._engine.begin() as connection:
            marked = sa.inspect(connection).has_table(_archive.name)
            found = connection.scalar(sa.select(_archive.c.mark)) if marked else None
            if found is None and not reading:
                connection.execute(sa.insert(_archive).values(number=1, mark=own))
        if found not in (None, own):
            self.close()
            raise ArchiveError(
                f"index {self._engine.url.render_as_string(hide_password=True)}",
                f"belongs to another archive than {folder}",
                f"Give each archive a database of its own. One that is moved or restored keeps its {MARK}.",
            )

    def add(self, rows: Iterable[CaseRow]) -> None:
        """Add rows; existing ones stay as they are.

        Raises
        ------
        ArchiveError
            The database cannot be reached.
        """
        wanted = {row.id: row for row in rows}
        names = list(wanted)
        if not names:
            return
        try:
            with self._engine.begin() as connection:
                for first in range(0, len(names), AT_ONCE):
                    some = names[first : first + AT_ONCE]
                    found = connection.execute(sa.select(_cases.c.id).where(_cases.c.id.in_(some)))
                    there = {str(row[0]) for row in found}
                    new = [_values(wanted[name]) for name in some if name not in there]
                    if new:
                        connection.execute(sa.insert(_cases), new)
        except sa.exc.SQLAlchemyError as error:
            raise unreachable(self._engine.url, error) from error

    def rows(
        self,
        *,
        patients: Sequence[str] | None = None,
        client: str | None = None,
        since: datetime | None = None,
        most: int | None = None,
    ) -> Sequence[CaseRow]:
        """Rows, newest first; `patients` are the names under which one patient may be stored.

        Raises
        ------
        ArchiveError
            The database cannot be reached.
        """
        query = sa.select(_cases).order_by(_cases.c.id.desc())
        if patients is not None:
            query = query.where(_cases.c.patient.in_(patients))
        if client is not None:
            query = query.where(_cases.c.client == client)
        if since is not None:
            # SQLite compares times without their zone, and stored times are UTC.
            query = query.where(_cases.c.received_at >= since.astimezone(UTC))
        if most is not None:
            query = query.limit(most)
        try:
            with self._engine.connect() as connection:
                return [_row(found._mapping) for found in connection.execute(query)]
        except sa.exc.SQLAlchemyError as error:
            raise unreachable(self._engine.url, error) from error

    def of(self, names: Sequence[str]) -> dict[str, CaseRow]:
        """Rows of these cases by id, as far as they exist.

        Raises
        ------
        ArchiveError
            The database cannot be reached.
        """
        found: dict[str, CaseRow] = {}
        try:
            with self._engine.connect() as connection:
                for first in range(0, len(names), AT_ONCE):
                    query = sa.select(_cases).where(_cases.c.id.in_(names[first : first + AT_ONCE]))
                    found |= {str(one.id): _row(one._mapping) for one in connection.execute(query)}
        except sa.exc.SQLAlchemyError as error:
            raise unreachable(self._engine.url, error) from error
        return found

    def ids(self) -> set[str]:
        """Ids of all rows.

        Raises
        ------
        ArchiveError
            The database cannot be reached.
        """
        try:
            with self._engine.connect() as connection:
                return {str(row[0]) for row in connection.execute(sa.select(_cases.c.id))}
        except sa.exc.SQLAlchemyError as error:
            raise unreachable(self._engine.url, error) from error

    def close(self) -> None:
        """Close its connections."""
        self._engine.dispose()


def unreachable(url: object, error: BaseException) -> ArchiveError:
    """The error for a database that does not answer; a password in its URL is hidden."""
    told = " ".join(str(getattr(error, "orig", None) or error).split())[:200]
    try:
        shown = sa.make_url(str(url)).render_as_string(hide_password=True)
    except (sa.exc.ArgumentError, ValueError):
        # The messages of these errors quote the URL, including the password.
        shown, told = "at the given URL", "it is not the URL of a database"
    remedy = "Check the URL, the server, and that its driver is installed (pip install 'gliomap[postgres]')."
    return ArchiveError(f"index {shown}", f"cannot be used ({told})", remedy)


def _limits(url: sa.URL | str) -> dict[str, int]:
    """Timeouts for an unreachable PostgreSQL server, unless the URL sets them; by default libpq waits for minutes."""
    found = sa.make_url(url)
    known = {"connect_timeout": 5, "tcp_user_timeout": 5000} if found.get_driver_name().startswith("psycopg") else {}
    return {name: value for name, value in known.items() if name not in found.query}


def _unwritable(path: Path) -> sa.Engine:
    """Open SQLite in a read-only folder: as a live database if a service writes it, else as an unchanging copy."""
    options = {"mode": "ro", "uri": "true"}
    alive, copy = (
        sa.create_engine(sa.URL.create("sqlite", database=path.absolute().as_uri(), query=options | more))
        for more in ({}, {"immutable": "1"})
    )
    try:
        with alive.connect() as connection:
            connection.execute(sa.select(_cases.c.id).limit(1))
    except sa.exc.OperationalError:
        return copy
    return alive


def _set_pragmas(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.close()


def _values(row: CaseRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in CaseRow.__slots__}


def _row(found: Any) -> CaseRow:
    values = {name: found[name] for name in CaseRow.__slots__}
    moment: datetime = values["received_at"]
    # SQLite stores no time zone; all times here are UTC.
    values["received_at"] = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return CaseRow(**values)
