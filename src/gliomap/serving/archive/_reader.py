"""Read an archive, even while a service writes it: list, show, export, verify."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gliomap._files import atomic_folder
from gliomap._progress import Track, silent
from gliomap._text import counted
from gliomap.errors import ArchiveError
from gliomap.serving.archive._archive import AUDIT, case_files
from gliomap.serving.archive._audit import AuditEntry, read_audit
from gliomap.serving.archive._case import MARK, RECORD, SUFFIX, KeptCase, case_path, check_case_id, read_case
from gliomap.serving.archive._index import AT_ONCE, CaseRow, Index
from gliomap.serving.archive._pseudonym import KEY_FILE, Pseudonyms, is_pseudonym

__all__ = ["ArchiveReader", "Verified"]


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of checking all files, the log and the index.

    Attributes
    ----------
    cases
        Number of case files.
    whole
        Number of those whose hashes all match and on which log and index agree.
    entries
        Number of lines in the audit log.
    faults
        What is wrong, one line each; empty if nothing is.
    notes
        What is worth knowing but not wrong.
    """

    cases: int
    whole: int
    entries: int
    faults: tuple[str, ...]
    notes: tuple[str, ...]


class ArchiveReader:
    """An archive open for reading.

    Raises
    ------
    ArchiveError
        The folder is not an archive.
    """

    def __init__(self, folder: Path, database: str | None = None) -> None:
        self.folder = Path(folder)
        if not (self.folder / MARK).is_file():
            raise ArchiveError(folder, f"is not an archive: it has no {MARK}", "Name the folder given to --archive.")
        self._database = database

    def rows(
        self,
        *,
        patient: str | None = None,
        client: str | None = None,
        since: datetime | None = None,
        most: int | None = None,
    ) -> Sequence[CaseRow]:
        """Rows of the index, newest first.

        Parameters
        ----------
        patient
            Only of this patient, given by identifier or pseudonym; an identifier also finds cases stored under its pseudonym.
        client
            Only of this client.
        since
            Only cases received at this time or later; needs a time zone.
        most
            Maximum number of rows.

        Raises
        ------
        ArchiveError
            The index cannot be read, or belongs to another archive.
        """
        index = Index(self.folder, self._database, reading=True)
        try:
            return index.rows(patients=self._names(patient), client=client, since=since, most=most)
        finally:
            index.close()

    def case(self, name: str) -> KeptCase:
        """Read one case and check its hashes.

        Raises
        ------
        ArchiveError
            The case does not exist or is damaged.
        """
        return read_case(case_path(self.folder, check_case_id(name)))

    def ids(self) -> list[str]:
        """Ids of all cases, oldest first, from their files."""
        return [path.name.removesuffix(SUFFIX) for path in case_files(self.folder)]

    def export(self, names: Iterable[str], out: Path, *, overwrite: bool = False, track: Track = silent) -> list[Path]:
        """Unpack each case into its own folder, and write the lines of the audit log that concern them.

        Parameters
        ----------
        names
            Ids of cases.
        out
            Folder to create.
        overwrite
            Replace an earlier export.
        track
            Receives progress.

        Raises
        ------
        ArchiveError
            A case does not exist or is damaged.
        OutputExistsError
            `out` already exists.
        """
        wanted = list(names)
        with atomic_folder(out, overwrite=overwrite) as folder:
            for name in track(wanted, "exporting cases"):
                kept = self.case(name)
                (folder / name).mkdir()
                # Byte for byte as archived: `record` in its line of the log is the hash of these bytes.
                for file, content in {RECORD: kept.told, **kept.files}.items():
                    (folder / name / file).write_bytes(content)
            lines = [
                entry.model_dump_json() for entry, _ in read_audit(self.folder / AUDIT) if entry.case in set(wanted)
            ]
            (folder / AUDIT).write_text("\n".join([*lines, ""]), encoding="utf-8")
        return [out / name for name in wanted]

    def verify(self, track: Track = silent) -> Verified:
        """Check every file against its hashes, the log against its chain, and files, log and index against each other.

        Raises
        ------
        ArchiveError
            The index cannot be read, or belongs to another archive.
        """
        index = Index(self.folder, self._database, reading=True)
        try:
            # A case gets its file, then its line, then its row, and all three stay. Reading in reverse order, every case with a
            # row must have line and file, even while a service adds cases.
            indexed = index.ids()
            entries, broken = self._entries()
            logged = {entry.case: entry for entry in entries}
            files = list(case_files(self.folder))
            wrong = list(self._wrong_files(files, logged, index, track))
            there = {path.name.removesuffix(SUFFIX) for path in files}
            gone = self._gone(there, indexed, logged, broken)
            notes = self._notes(there - index.ids(), there - logged.keys() - indexed, broken)
        finally:
            index.close()
        return Verified(len(files), len(files) - len(wrong), len(entries), (*broken, *wrong, *gone), tuple(notes))

    def _entries(self) -> tuple[list[AuditEntry], list[str]]:
        entries: list[AuditEntry] = []
        try:
            entries.extend(entry for entry, _ in read_audit(self.folder / AUDIT))
        except ArchiveError as error:
            return entries, [str(error)]
        return entries, []

    def _wrong_files(
        self, files: Sequence[Path], logged: Mapping[str, AuditEntry], index: Index, track: Track
    ) -> Iterator[str]:
        """One fault for each file that is damaged or differs from log or index."""
        rows: dict[str, CaseRow] = {}
        for number, path in enumerate(track(files, "verifying cases")):
            if number % AT_ONCE == 0:  # not all at once: a stream leaves a hundred thousand per hour
                rows = index.of([other.name.removesuffix(SUFFIX) for other in files[number : number + AT_ONCE]])
            try:
                kept = read_case(path)
            except ArchiveError as error:
                yield str(error)
                continue
            entry, row = logged.get(kept.record.id), rows.get(kept.record.id)
            differing = [] if row is None else row.differing(CaseRow.of(kept.record, kept.sha256))
            if entry is not None and (entry.record, entry.answer) != (kept.sha256, kept.record.answer):
                yield f"{path}: is not the file recorded in the audit log"
            elif "record" in differing:
                yield f"{path}: is not the file recorded in the index"
            elif differing:
                yield f"case {kept.record.id}: its row in the index contradicts case.json ({', '.join(differing)})"

    def _gone(
        self, there: Set[str], indexed: Set[str], logged: Mapping[str, AuditEntry], broken: Sequence[str]
    ) -> Iterator[str]:
        """Faults of cases in log or index whose file or line is gone."""
        yield from (f"case {name}: is in the audit log, but its file is gone" for name in logged if name not in there)
        for name in sorted(indexed - logged.keys()):
            if name not in there:
                yield f"case {name}: is in the index, but its file is gone"
            elif not broken:  # a changed log is only read up to the change
                yield f"case {name}: is in the index, but its line in the audit log is gone"

    def _notes(self, unindexed: Set[str], unlogged: Set[str], broken: Sequence[str]) -> Iterator[str]:
        """Notes on what a service will add itself when it next opens the archive."""
        later = "added at the next start of the service"
        if unindexed:
            yield f"not in the index: {counted(len(unindexed), 'case')}; {later}"
        if unlogged and not broken:
            yield f"not in the audit log yet: {counted(len(unlogged), 'case')}; {later}"

    def _names(self, patient: str | None) -> Sequence[str] | None:
        """All names under which a patient's cases may be stored: services may keep identifiers at one time and hash at another."""
        if patient is None or is_pseudonym(patient) or not (self.folder / KEY_FILE).exists():
            return None if patient is None else [patient]
        return [patient, Pseudonyms.of_folder(self.folder).of(patient)]

    def size(self) -> int:
        """Total size of all cases in bytes."""
        return sum(path.stat().st_size for path in case_files(self.folder))

    def free(self) -> int:
        """Free bytes on the archive's disk."""
        return shutil.disk_usage(self.folder).free
