"""The archive that a service writes: a case is durable once recorded, and the archive is intact after a kill."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from gliomap._files import write_json
from gliomap.errors import ArchiveError, ArchiveFullError, MachineError
from gliomap.serving.archive._audit import AuditLog
from gliomap.serving.archive._case import CASES, MARK, SUFFIX, Case, case_path, new_case_id, pack_case, read_case
from gliomap.serving.archive._index import CaseRow, Index
from gliomap.serving.archive._indexer import Indexer
from gliomap.serving.archive._pseudonym import Pseudonyms

__all__ = ["AUDIT", "Archive", "case_files"]

logger = logging.getLogger(__name__)

AUDIT, LOCK = "audit.jsonl", "lock"
_NEW = ".new-"


class Archive:
    """An archive open for writing: by one process at a time, from any number of its threads.

    A case is one file. It is written under a temporary name, flushed to disk and renamed; then its line is added to the audit
    log. What is missing after a kill in between (audit line, index row) is added when the archive is next opened.
    """

    def __init__(
        self, folder: Path, indexer: Indexer, audit: AuditLog, pseudonyms: Pseudonyms | None, lock: int, least_free: int
    ) -> None:
        self.folder, self.least_free = folder, least_free
        self._indexer, self._audit, self._pseudonyms, self._lock_file = indexer, audit, pseudonyms, lock
        self._lock = threading.Lock()
        self._day: Path | None = None

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        database: str | None = None,
        keep_ids: bool = False,
        least_free: int = 1 << 30,
    ) -> Archive:
        """Open an archive, or create one.

        Parameters
        ----------
        folder
            Created if it does not exist; refused if it holds anything else.
        database
            SQLAlchemy URL of the index; None for SQLite in the folder.
        keep_ids
            Keep patient identifiers as they come, instead of hashes keyed with the folder's key, which is created once.
        least_free
            Bytes that must stay free on its disk.

        Raises
        ------
        ArchiveError
            The folder holds something else, another process writes it, its log was changed, or the database cannot be used or
            belongs to another archive.
        """
        folder = Path(folder)
        _begin(folder)
        lock = _take_lock(folder)
        try:
            _remove_debris(folder)
            pseudonyms = None if keep_ids else Pseudonyms.of_folder(folder)
            index, audit = Index(folder, database), AuditLog(folder / AUDIT)
            _repair(folder, index, audit)
            _sync_folder(folder)
        except BaseException:
            os.close(lock)
            raise
        return cls(folder, Indexer(index), audit, pseudonyms, lock, least_free)

    def require_usable(self) -> None:
        """Raise if a case could not be stored, before any work is done for it.

        Raises
        ------
        ArchiveFullError
            Fewer bytes are free than must stay free.
        MachineError
            The folder is gone, for example because its disk was unmounted, or is not writable.
        """
        try:
            # Unmounting uncovers another folder under the same path, which would take cases.
            there = os.path.samestat((self.folder / AUDIT).stat(), self._audit.stat())
            os.utime(
                self._lock_file
            )  # a disk that turned read-only after a fault often still reports itself as writable
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            raise self.refused(error) from error
        if not there:
            raise self.refused("it is not the one that was opened: a disk was unmounted, or files were moved")
        if free < self.least_free:
            raise ArchiveFullError(
                f"archive {self.folder}",
                f"has {free / 2**20:,.0f} MiB left on its disk, but {self.least_free / 2**20:,.0f} MiB must stay free",
                "Free some space on that disk, or start the service with another --archive; this one stays readable.",
            )

    def refused(self, fault: OSError | str) -> MachineError:
        """The error for an archive that cannot store a case."""
        told = fault if isinstance(fault, str) else fault.strerror or str(fault)
        return MachineError(
            f"archive {self.folder}",
            f"cannot store cases ({told})",
            "Check that its disk is mounted, writable and intact; then send the frame again.",
        )

    def record(self, case: Case) -> str:
        """Store a case and return its id once all of it is on disk.

        Raises
        ------
        OSError
            The disk refused it. Then nothing of the case is left.
        """
        name = new_case_id(datetime.now(UTC), secrets.token_bytes(4))
        patient = case.patient
        if patient is not None and self._pseudonyms is not None:
            patient = self._pseudonyms.of(patient)
        content, record, digest = pack_case(case, name, patient)
        path = case_path(self.folder, name)
        self._keep_day(path.parent)
        _write_durably(path, content)
        with self._lock:
            try:
                self._audit.append(record, digest)
            except BaseException:
                path.unlink()
                raise
        self._indexer.add(CaseRow.of(record, digest))
        return name

    def _keep_day(self, day: Path) -> None:
        """Make the folder of a day durable; it may exist already, created by a thread that has not synced it yet."""
        if day != self._day or not day.is_dir():
            day.mkdir(exist_ok=True)  # without parents: if they are gone, so is the disk
            _sync_folder(day.parent)
            self._day = day

    def close(self) -> None:
        """Close it, so that others can open it."""
        self._indexer.close()
        with self._lock:
            self._audit.close()
            os.close(self._lock_file)


def case_files(folder: Path) -> Iterator[Path]:
    """Files of all cases, in the order of their ids."""
    cases = folder / CASES
    for day in sorted(path for path in cases.iterdir() if path.is_dir()) if cases.is_dir() else ():
        files = (path for path in day.iterdir() if path.name.endswith(SUFFIX) and path.name[0] != ".")
        yield from sorted(files, key=_name)  # a stream leaves a hundred thousand per hour, and comparing paths is slow


def _name(path: Path) -> str:
    return path.name


def _begin(folder: Path) -> None:
    if (folder / MARK).exists():
        (folder / CASES).mkdir(exist_ok=True)
        return
    if folder.exists() and any(folder.iterdir()):
        raise ArchiveError(
            folder, "is neither an archive nor empty", "Name an empty folder, or one that does not exist."
        )
    (folder / CASES).mkdir(parents=True, exist_ok=True)
    # Written once: an index elsewhere knows the archive by its hash, wherever the folder is moved to or restored.
    begun = {"format": 1, "id": secrets.token_hex(16), "created_at": datetime.now(UTC).isoformat(timespec="seconds")}
    write_json(folder / MARK, begun)
    _sync_folder(folder.absolute().parent)
    logger.info("archive %s is new", folder.absolute())


def _take_lock(folder: Path) -> int:
    if sys.platform == "win32":
        raise ArchiveError(
            folder, "needs file locks that Windows does not have", "Run the service in WSL 2 or in its container."
        )
    import fcntl

    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise ArchiveError(
            folder, "is being written by another process", "Stop that service, or name another folder."
        ) from error
    return handle


def _remove_debris(folder: Path) -> None:
    """Remove files that were being written when a service was killed; their cases were never answered."""
    for path in (folder / CASES).glob(f"*/{_NEW}*"):
        path.unlink()


def _repair(folder: Path, index: Index, audit: AuditLog) -> None:
    """Add to log and index the cases that a killed service had on disk but had no time to add.

    A case gets its line before its row. One with a row but no line was therefore not interrupted by a kill: if it matches
    its row, as after an older log was restored, it is added; otherwise it stays a fault that `verify` reports.
    """
    indexed = index.ids()
    lacking = {
        name: path
        for path in case_files(folder)
        if (name := path.name.removesuffix(SUFFIX)) not in audit.cases or name not in indexed
    }
    witnesses = index.of([name for name in lacking if name in indexed])
    rows = []
    for name, path in lacking.items():
        kept = read_case(path)
        witness = witnesses.get(name)
        if witness is not None and witness.record != kept.sha256:
            logger.error("case %s is not in the audit log and differs from the index; it is not added", name)
            continue
        if name not in audit.cases:
            audit.append(kept.record, kept.sha256, recovered=True)
            logger.warning("case %s was not in the audit log yet; added", name)
        rows.append(CaseRow.of(kept.record, kept.sha256))
    index.add(rows)
    audit.cases.clear()


def _write_durably(path: Path, content: bytes) -> None:
    """Write a file so that it is either complete under its name or absent, and survives a power failure."""
    temporary = path.with_name(f"{_NEW}{path.name}")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
