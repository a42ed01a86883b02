"""The archive that a service writes: durable before it returns, whole after it was killed."""

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
from gliomap.serving.archive._case import CASES, SUFFIX, Case, case_path, new_case_id, pack_case, read_case
from gliomap.serving.archive._index import CaseRow, Index
from gliomap.serving.archive._indexer import Indexer
from gliomap.serving.archive._pseudonym import Pseudonyms

__all__ = ["AUDIT", "MARK", "Archive", "case_files"]

logger = logging.getLogger(__name__)

AUDIT, MARK, LOCK = "audit.jsonl", "archive.json", "lock"
_NEW = ".new-"


class Archive:
    """An archive open for writing: by one process at a time, from any number of its threads.

    A case is one file. It is written under another name, flushed to the disk, and renamed; then the audit log has its
    line. Whatever is missing after a kill in between (audit line, row of the index) is added when it is opened again.
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
        """Open an archive, or begin one.

        Parameters
        ----------
        folder
            Made where it is not there; a folder with other things in it is refused.
        database
            SQLAlchemy URL of the index; None: SQLite in the folder.
        keep_ids
            Keep patient identifiers as they come, not as hashes with the key in the folder, which is made once.
        least_free
            Bytes that must stay free on its disk.

        Raises
        ------
        ArchiveError
            Something else lies there, another process writes it, its log was changed, or the database cannot be used.
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
        """Raise where a case could not be kept, before any work is done for it.

        Raises
        ------
        ArchiveFullError
            Less is free than must stay free.
        MachineError
            The folder is not there any more, as when its disk is unmounted, or nobody may write to it.
        """
        try:
            # Under the name of a folder that was unmounted another one comes to light, and would take cases.
            there = os.path.samestat((self.folder / AUDIT).stat(), self._audit.stat())
            os.utime(self._lock_file)  # a disk that turned read-only after a fault often still calls itself writable
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            raise self.refused(error) from error
        if not there:
            raise self.refused("it is not the one that was opened: a disk was unmounted, or files were moved")
        if free < self.least_free:
            raise ArchiveFullError(
                f"archive {self.folder}",
                f"has {free / 2**20:,.0f} MiB left on its disk, and {self.least_free / 2**20:,.0f} MiB must stay free",
                "Free some space on that disk, or start the service with another --archive; this one stays readable.",
            )

    def refused(self, fault: OSError | str) -> MachineError:
        """The error for an archive that cannot keep a case."""
        told = fault if isinstance(fault, str) else fault.strerror or str(fault)
        return MachineError(
            f"archive {self.folder}",
            f"cannot keep what would be answered ({told})",
            "See that its disk is mounted, writable and sound; then send the frame again.",
        )

    def record(self, case: Case) -> str:
        """Keep a case; returns its id when everything of it is on disk.

        Raises
        ------
        OSError
            The disk refused it. Nothing of the case is left then.
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
        """See that the folder of a day stays after the power fails; it may be there, and whoever made it not done with that."""
        if day != self._day or not day.is_dir():
            day.mkdir(exist_ok=True)  # not what is above it: where that is gone, the disk is
            _sync_folder(day.parent)
            self._day = day

    def close(self) -> None:
        """Let others open it."""
        self._indexer.close()
        with self._lock:
            self._audit.close()
            os.close(self._lock_file)


def case_files(folder: Path) -> Iterator[Path]:
    """Files of all cases, in the order of their ids."""
    cases = folder / CASES
    for day in sorted(path for path in cases.iterdir() if path.is_dir()) if cases.is_dir() else ():
        files = (path for path in day.iterdir() if path.name.endswith(SUFFIX) and path.name[0] != ".")
        yield from sorted(files, key=_name)  # a stream leaves a hundred thousand an hour: paths take long to compare


def _name(path: Path) -> str:
    return path.name


def _begin(folder: Path) -> None:
    if (folder / MARK).exists():
        (folder / CASES).mkdir(exist_ok=True)
        return
    if folder.exists() and any(folder.iterdir()):
        raise ArchiveError(folder, "is no archive and not empty", "Name an empty folder, or one that is not there.")
    (folder / CASES).mkdir(parents=True, exist_ok=True)
    write_json(folder / MARK, {"format": 1, "created_at": datetime.now(UTC).isoformat(timespec="seconds")})
    _sync_folder(folder.absolute().parent)
    logger.info("archive %s is new", folder.absolute())


def _take_lock(folder: Path) -> int:
    if sys.platform == "win32":
        raise ArchiveError(folder, "needs locks that Windows has not", "Run the service in WSL 2 or in its container.")
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
    """Remove what was being written when a service was killed; nobody was answered with it."""
    for path in (folder / CASES).glob(f"*/{_NEW}*"):
        path.unlink()


def _repair(folder: Path, index: Index, audit: AuditLog) -> None:
    """Add to log and index what a killed service had on disk already, and had no time to add.

    A case has its row after its line. One that has a row and no line was not being kept when a service was killed: it is
    added where it is the case of its row, as after an older log was put back, and otherwise stays a fault to `verify`.
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
            logger.error("case %s is neither in the audit log nor the one of the index; it is not added", name)
            continue
        if name not in audit.cases:
            audit.append(kept.record, kept.sha256, recovered=True)
            logger.warning("case %s was not in the audit log yet; added", name)
        rows.append(CaseRow.of(kept.record, kept.sha256))
    index.add(rows)
    audit.cases.clear()


def _write_durably(path: Path, content: bytes) -> None:
    """Write a file so that it is whole under its name or not there, and stays after the power fails."""
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
