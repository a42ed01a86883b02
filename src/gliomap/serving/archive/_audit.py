"""The audit log: one JSON line per case, each with the SHA-256 of the line before; append-only."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from gliomap._fields import Fields
from gliomap.errors import ArchiveError
from gliomap.serving.archive._case import CaseRecord

__all__ = ["FIRST", "AuditEntry", "AuditLog", "read_audit"]

FIRST = "0" * 64
"""Hash of the line before, in the first line."""

_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class AuditEntry(Fields):
    """One line."""

    number: int = Field(ge=1)
    time: datetime = Field(description="When it was written, UTC.")
    case: str
    client: str
    model: str
    bundle: _Sha256
    inputs: dict[str, _Sha256]
    answer: _Sha256
    record: _Sha256 = Field(description="SHA-256 of case.json, which holds the hashes of the case's files.")
    recovered: bool = Field(
        default=False, description="Added at a later start, because the service was killed in between."
    )
    before: _Sha256 = Field(description="SHA-256 of the line before.")


class AuditLog:
    """The log of one archive, open for appending. Not thread-safe by itself.

    Raises
    ------
    ArchiveError
        A line is invalid or breaks the chain; then nothing must be added to the log.
    """

    def __init__(self, path: Path) -> None:
        _drop_torn_line(path)
        self._number, self._before = 0, FIRST
        self.cases: set[str] = set()
        """Cases that had a line when the log was opened."""
        for entry, digest in read_audit(path):
            self._number, self._before = entry.number, digest
            self.cases.add(entry.case)
        self._stream = path.open("ab", buffering=0)
        self._size = os.fstat(self._stream.fileno()).st_size

    def append(self, record: CaseRecord, digest: str, *, recovered: bool = False) -> None:
        """Add a case; its line is on disk when this returns.

        Raises
        ------
        OSError
            The disk refused it; the log is unchanged.
        """
        entry = AuditEntry(
            number=self._number + 1,
            time=datetime.now(UTC),
            case=record.id,
            client=record.client,
            model=record.model,
            bundle=record.bundle,
            inputs=record.inputs,
            answer=record.answer,
            record=digest,
            recovered=recovered,
            before=self._before,
        )
        line = entry.model_dump_json().encode() + b"\n"
        # Remains of an earlier failure that could not be removed at the time would break the chain.
        os.ftruncate(self._stream.fileno(), self._size)
        try:
            self._write(line)
        except BaseException:
            os.ftruncate(self._stream.fileno(), self._size)
            raise
        self._size += len(line)
        self._number, self._before = entry.number, hashlib.sha256(line).hexdigest()

    def _write(self, line: bytes) -> None:
        """Write the whole line to disk: on a disk that fills up, a single write may silently take only part of it."""
        left = memoryview(line)
        while left:
            left = left[self._stream.write(left) :]
        os.fdatasync(self._stream.fileno())

    def stat(self) -> os.stat_result:
        """Status of the open file, whatever is under its name now."""
        return os.fstat(self._stream.fileno())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def read_audit(path: Path) -> Iterator[tuple[AuditEntry, str]]:
    """Yield each entry and the SHA-256 of its line, verifying the chain; an unterminated last line is still being written.

    Raises
    ------
    ArchiveError
        A line is not an entry, or does not follow the one before: something was changed or removed.
    """
    if not path.exists():
        return
    before = FIRST
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.endswith(b"\n"):
                return
            try:
                entry = AuditEntry.model_validate_json(line)
            except ValidationError as error:
                raise ArchiveError(f"{path}, line {number}", "is not an entry of an audit log", _REMEDY) from error
            if entry.before != before or entry.number != number:
                raise ArchiveError(
                    f"{path}, line {number}", "does not follow the line before: the log was changed", _REMEDY
                )
            before = hashlib.sha256(line).hexdigest()
            yield entry, before


_REMEDY = "Restore the log from a backup, or begin a new archive; do not edit the log by hand."


def _drop_torn_line(path: Path) -> None:
    """Cut off an unterminated last line: the service was killed while writing it, so its case was never answered."""
    if not path.exists():
        return
    with path.open("rb+") as stream:
        size = stream.seek(0, os.SEEK_END)
        if size == 0:
            return
        stream.seek(max(0, size - (1 << 20)))
        tail = stream.read()
        if tail.endswith(b"\n"):
            return
        stream.truncate(size - len(tail) + tail.rfind(b"\n") + 1)
        os.fsync(stream.fileno())
