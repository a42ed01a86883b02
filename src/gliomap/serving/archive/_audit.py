"""The audit log: one JSON line a case, each with the SHA-256 of the line before; only ever appended to."""

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
"""What the first line names as the hash of the one before."""

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
    record: _Sha256 = Field(description="SHA-256 of case.json, which has the hashes of the case's files.")
    recovered: bool = Field(
        default=False, description="Added at a later start: the service had been killed in between."
    )
    before: _Sha256 = Field(description="SHA-256 of the line before.")


class AuditLog:
    """The log of one archive, open for appending. Not safe for several threads by itself.

    Raises
    ------
    ArchiveError
        It does not end as it should; then nothing must be added to it.
    """

    def __init__(self, path: Path) -> None:
        _drop_torn_line(path)
        self._number, self._before = 0, FIRST
        self.cases: set[str] = set()
        """Cases that had a line when it was opened."""
        for entry, digest in read_audit(path):
            self._number, self._before = entry.number, digest
            self.cases.add(entry.case)
        self._stream = path.open("ab", buffering=0)
        self._size = os.fstat(self._stream.fileno()).st_size

    def append(self, record: CaseRecord, digest: str, *, recovered: bool = False) -> None:
        """Add a case; it is on disk when this returns.

        Raises
        ------
        OSError
            The disk refused it; the log is as it was.
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
        # What an earlier failure left, if it could not be taken back then, would break the chain.
        os.ftruncate(self._stream.fileno(), self._size)
        try:
            self._write(line)
        except BaseException:
            os.ftruncate(self._stream.fileno(), self._size)
            raise
        self._size += len(line)
        self._number, self._before = entry.number, hashlib.sha256(line).hexdigest()

    def _write(self, line: bytes) -> None:
        """All of it, to the disk: a file that fills up takes a part of a line without a word."""
        left = memoryview(line)
        while left:
            left = left[self._stream.write(left) :]
        os.fdatasync(self._stream.fileno())

    def stat(self) -> os.stat_result:
        """Which file it is, whatever lies under its name now."""
        return os.fstat(self._stream.fileno())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def read_audit(path: Path) -> Iterator[tuple[AuditEntry, str]]:
    """Each entry and the SHA-256 of its line, the chain compared; a last line without an end is being written just now.

    Raises
    ------
    ArchiveError
        A line that is no entry, or that does not follow the one before: something was changed or taken out.
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
                raise ArchiveError(f"{path}, line {number}", "is no entry of an audit log", _REMEDY) from error
            if entry.before != before or entry.number != number:
                raise ArchiveError(
                    f"{path}, line {number}", "does not follow the line before: the log was changed", _REMEDY
                )
            before = hashlib.sha256(line).hexdigest()
            yield entry, before


_REMEDY = "Restore the log from a copy, or begin a new archive; do not mend it by hand."


def _drop_torn_line(path: Path) -> None:
    """Cut off a last line without an end: it was being written when the service was killed, and nobody was answered."""
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
