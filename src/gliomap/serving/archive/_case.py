"""One case and its file: an uncompressed ZIP archive of case.json, labels.png and, if kept, raw.tif."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field, ValidationError

from gliomap._fields import Fields
from gliomap.captures import tiff_bytes
from gliomap.errors import ArchiveError

__all__ = ["Case", "CaseRecord", "KeptCase", "case_path", "check_case_id", "new_case_id", "pack_case", "read_case"]

RECORD, LABELS, RAW = "case.json", "labels.png", "raw.tif"
CASES = "cases"
"""The folder of the cases in an archive."""
MARK = "archive.json"
"""The file that makes a folder an archive."""
SUFFIX = ".case.zip"
_ID = re.compile(r"[0-9]{8}T[0-9]{12}-[0-9a-f]{8}")
_MOST_BYTES = 1 << 30
_REMEDY = "Restore it from a backup; `gliomap archive verify` shows which cases are intact."

_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True, eq=False)
class Case:
    """One answered request, as the service passes it on.

    Attributes
    ----------
    kind
        'classify', 'stream', 'score' or 'infer'.
    client
        Name of the key; 'anonymous' without keys.
    model, model_version, bundle
        Name, version in a registry (may be empty), SHA-256 identity.
    references
        Id of the references; None if they came with the frame.
    patient
        The client's identifier of the patient, or None.
    received_at
        When the request was received, UTC.
    inputs
        Role → SHA-256 of the file, or of the numbers as little-endian uint16.
    raw
        The frame, uint16; None if it is not kept.
    labels
        (h, w) uint8.
    result
        Class shares, timings, quality; JSON.
    answer
        SHA-256 of the answer's body.
    """

    kind: str
    client: str
    model: str
    model_version: str
    bundle: str
    references: str | None
    patient: str | None
    received_at: datetime
    inputs: Mapping[str, str]
    raw: npt.NDArray[np.uint16] | None
    labels: npt.NDArray[np.uint8]
    result: Mapping[str, Any]
    answer: str


class CaseRecord(Fields):
    """Content of case.json."""

    format: Literal[1] = 1
    id: str
    kind: str
    client: str
    model: str
    model_version: str
    bundle: _Sha256
    references: str | None
    patient: str | None = Field(description="A keyed hash (p-…) unless the service keeps identifiers as they come.")
    received_at: datetime = Field(description="When the request was received, UTC.")
    inputs: dict[str, _Sha256] = Field(
        description="Role → SHA-256 of the file, or of the numbers as little-endian uint16."
    )
    files: dict[str, _Sha256] = Field(description="labels.png and, if kept, raw.tif → SHA-256.")
    answer: _Sha256 = Field(description="SHA-256 of the answer's body.")
    result: dict[str, Any] = Field(description="The map in numbers, as in the answer.")


@dataclass(frozen=True, eq=False)
class KeptCase:
    """A case as stored in the archive.

    Attributes
    ----------
    record
        case.json, parsed.
    told
        case.json, byte for byte.
    files
        Name → content, with verified hashes.
    sha256
        SHA-256 of case.json, which holds the hashes of all other files.
    """

    record: CaseRecord
    told: bytes
    files: Mapping[str, bytes]
    sha256: str


def new_case_id(moment: datetime, random: bytes) -> str:
    """A new id that sorts by time, such as 20261123T091501123456-1a2b3c4d."""
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%S%f}-{random[:4].hex()}"


def check_case_id(case: str) -> str:
    """Return an id if it has the right form, which is safe in a path.

    Raises
    ------
    ArchiveError
        It has another form.
    """
    if not _ID.fullmatch(case):
        raise ArchiveError(f"case {case[:60]!r}", "is not the id of a case", "`gliomap archive list` shows the ids.")
    return case


def case_path(folder: Path, case: str) -> Path:
    """The path of a case's file."""
    return folder / CASES / f"{case[:4]}-{case[4:6]}-{case[6:8]}" / f"{case}{SUFFIX}"


def pack_case(case: Case, name: str, patient: str | None) -> tuple[bytes, CaseRecord, str]:
    """Return the bytes of a case's file, its record, and the SHA-256 of its case.json."""
    files = {LABELS: _png(case.labels)}
    if case.raw is not None:
        # Only the numbers: no metadata of the sender's file is kept.
        files[RAW] = tiff_bytes(case.raw)
    record = CaseRecord(
        id=name,
        kind=case.kind,
        client=case.client,
        model=case.model,
        model_version=case.model_version,
        bundle=case.bundle,
        references=case.references,
        patient=patient,
        received_at=case.received_at,
        inputs=dict(case.inputs),
        files={key: hashlib.sha256(content).hexdigest() for key, content in files.items()},
        answer=case.answer,
        result=dict(case.result),
    )
    told = record.model_dump_json().encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for key, content in {RECORD: told, **files}.items():
            archive.writestr(zipfile.ZipInfo(key), content)  # no time, no permissions: the record holds what matters
    return buffer.getvalue(), record, hashlib.sha256(told).hexdigest()


def read_case(path: Path) -> KeptCase:
    """Read a case and verify all its hashes.

    Raises
    ------
    ArchiveError
        The file does not exist, is damaged, or has a newer format.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ArchiveError(path, "does not exist", "`gliomap archive list` shows the cases.") from error
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MOST_BYTES:
                raise ArchiveError(path, "would unpack to more than any case contains", _REMEDY)
            found = {entry.filename: archive.read(entry) for entry in archive.infolist()}
        told = found.pop(RECORD)
        record = CaseRecord.model_validate_json(told)
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        KeyError,
        EOFError,
        OSError,
        RuntimeError,
        ValidationError,
    ) as error:
        raise ArchiveError(path, f"is damaged ({_line(error)})", _REMEDY) from error
    hashes = {name: hashlib.sha256(part).hexdigest() for name, part in found.items()}
    if hashes != record.files:
        wrong = sorted(set(hashes.items()) ^ set(record.files.items()))
        raise ArchiveError(path, f"is damaged: {wrong[0][0]} does not match its hash", _REMEDY)
    if path.name != f"{record.id}{SUFFIX}":
        raise ArchiveError(path, f"holds case {record.id}", _REMEDY)
    return KeptCase(record, told, found, hashlib.sha256(told).hexdigest())


def _png(labels: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(labels).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
