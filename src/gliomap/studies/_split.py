"""Which captures train, validate and test: disjoint by patient, with a fingerprint."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from gliomap._fields import Fields, field_faults
from gliomap._files import read_limited, sha256_of, write_json
from gliomap._progress import Track, silent
from gliomap._text import counted
from gliomap.errors import LeakageError, StudyError
from gliomap.studies._duplicates import Duplicate, duplicate_files
from gliomap.studies._layout import written_name
from gliomap.studies._pixel_parts import PixelParts
from gliomap.studies._study import SensorLike, Study

__all__ = ["ROLES", "Split", "SplitFile", "faults_name", "hash_sources", "listed"]

ROLES = ("train", "validation", "test")
"""Roles that a split assigns to captures, patients or pixels."""
_MAX_BYTES = 64 << 20
_AGAIN = "Train again to make one."


class SplitFile(Fields):
    """split.json."""

    format: Literal[1] = 1
    protocol: Annotated[str, Field(min_length=1)]
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    seed: int
    allow_same_patient: bool
    patients: dict[str, str]
    files: dict[str, str]
    pixels: PixelParts | None = None
    fingerprint: str


@dataclass(frozen=True)
class Split:
    """An assignment of captures to training, validation and test.

    Attributes
    ----------
    protocol
        'holdout', 'lopo', 'kfold-patient', 'pooled' or 'double-cv'.
    train, validation, test
        Sorted capture identifiers; no capture has two roles unless `pixels` divides its pixels.
    seed
        Seed with which validation patients, or the parts of the pixels, were drawn.
    allow_same_patient
        True if a patient was explicitly allowed on both sides; results are then too optimistic.
    patients
        Capture → patient, with aliases resolved.
    files
        File, relative to the study → SHA-256 of its content; also includes crops and exposures of study.toml.
    pixels
        How the protocol divides pixels instead of patients; captures then have several roles, and every
        result is too optimistic. None if patients are kept apart.

    Raises
    ------
    StudyError
        There is no training capture, or a capture has two roles or no stated patient.
    LeakageError
        A patient has two roles and `allow_same_patient` is False.
    """

    protocol: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    seed: int
    allow_same_patient: bool
    patients: Mapping[str, str]
    files: Mapping[str, str]
    pixels: PixelParts | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "patients", MappingProxyType(dict(self.patients)))
        object.__setattr__(self, "files", MappingProxyType(dict(self.files)))
        captures = [*self.train, *self.validation, *self.test]
        doubled = sorted({capture for capture in captures if captures.count(capture) > 1})
        if doubled and self.pixels is None:
            raise StudyError("split", f"holds {listed(doubled)} twice", "Assign each capture one role.")
        if not self.train:
            raise StudyError("split", "has no training capture", "Leave some captures to train on.")
        unknown = sorted(set(captures) - self.patients.keys())
        if unknown:
            raise StudyError("split", f"does not state the patients of {listed(unknown)}", "Recreate the split.")
        if not self.allow_same_patient and self.pixels is None:
            self._refuse_leaks()

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of the sorted hashes of the files and the assignment."""
        roles = [
            [role, capture, self.patients[capture]] for role in ROLES for capture in sorted(self.captures_of(role))
        ]
        content: dict[str, Any] = {
            "protocol": self.protocol,
            "allow_same_patient": self.allow_same_patient,
            "roles": roles,
            "files": sorted([digest, name] for name, digest in self.files.items()),
        }
        if self.pixels is not None:
            # Only for these protocols does the assignment of pixels depend on the seed.
            content |= {"pixels": asdict(self.pixels), "seed": self.seed}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def shared_patients(self) -> tuple[str, ...]:
        """Test patients who also train or validate; empty unless `allow_same_patient` or `pixels` is set."""
        return tuple(
            sorted(set(self.patients_of("test")) & {*self.patients_of("train"), *self.patients_of("validation")})
        )

    @property
    def duplicates(self) -> tuple[Duplicate, ...]:
        """Pairs of captures with the same image, byte for byte, under two names."""
        return duplicate_files(self.files, self.patients)

    @property
    def leaking_duplicates(self) -> tuple[Duplicate, ...]:
        """Pairs of which one is tested while the other, attributed to another patient, trains or validates."""
        alike: dict[str, list[str]] = {}
        for one in self.duplicates:
            alike.setdefault(one.captures[0], [one.captures[0]]).append(one.captures[1])
        tested, known = set(self.test), {*self.train, *self.validation}
        pairs = dict.fromkeys(pair for group in alike.values() for pair in itertools.combinations(sorted(group), 2))
        found = (Duplicate(pair, (self.patients[pair[0]], self.patients[pair[1]])) for pair in pairs)
        return tuple(
            one
            for one in found
            if len(set(one.patients)) == 2 and tested & set(one.captures) and known & set(one.captures)
        )

    def captures_of(self, role: str) -> tuple[str, ...]:
        """Captures of 'train', 'validation' or 'test'."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[role]

    def patients_of(self, role: str) -> tuple[str, ...]:
        """Patients of 'train', 'validation' or 'test', sorted, each once."""
        return tuple(sorted({self.patients[capture] for capture in self.captures_of(role)}))

    def save(self, path: Path) -> None:
        """Write the split as JSON."""
        write_json(path, SplitFile.model_validate(self, from_attributes=True).model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path) -> Split:
        """Read a split and verify its fingerprint.

        Raises
        ------
        StudyError
            The file is missing, is not a split, or was changed after it was made.
        LeakageError
            A patient has two roles and `allow_same_patient` is False.
        """
        content = read_limited(path, _MAX_BYTES, StudyError, missing="Check the run folder.", large=_AGAIN)
        try:
            kept = SplitFile.model_validate_json(content)
        except ValidationError as error:
            raise StudyError(path, f"is not a split: {field_faults(error)}", _AGAIN) from error
        with faults_name(path):
            split = cls(**{name: value for name, value in kept if name not in ("format", "fingerprint")})
        if split.fingerprint != kept.fingerprint:
            raise StudyError(path, "does not match its own fingerprint: it was edited", _AGAIN)
        return split

    def verify(self, study: Study, track: Track = silent) -> Study:
        """Compare the study with the one for which the split was made.

        Returns
        -------
        Study
            The same study, except that it ignores images of the split's captures added after the split was made:
            otherwise a new prepared cube would replace the frames, and a new second dark would be used.

        Raises
        ------
        StudyError
            Captures, patients or files have changed; the message names them.
        """
        gone = sorted(set(self.patients) - set(study.capture_ids))
        if gone:
            raise self._differs(study, f"it no longer has {listed(gone)}")
        moved = [capture for capture, patient in sorted(self.patients.items()) if study.patient_of(capture) != patient]
        if moved:
            raise self._differs(study, f"now assigned to another patient: {listed(moved)}")
        changed = [
            name
            for name, digest in track(sorted(self.files.items()), "Comparing files")
            if _hash_of(study, name) != digest
        ]
        told = {name for capture in sorted(self.patients) for name in _settings_of(study, capture)}
        changed += sorted(told - self.files.keys())
        if changed:
            raise self._differs(
                study, f"of {counted(len(self.files), 'file')} {len(changed)} changed: {listed(changed)}"
            )
        return replace(study, unread=study.unread | self._added(study))

    def _added(self, study: Study) -> frozenset[Path]:
        """Images of the split's captures that the split does not list."""
        files = [study.files(capture) for capture in self.patients]
        images = [path for one in files for path in (one.cube, one.raw, one.white, one.dark, one.white_dark)]
        return frozenset(path for path in images if path.exists() and _name_of(study, path) not in self.files)

    def _differs(self, study: Study, fault: str) -> StudyError:
        return StudyError(
            study.root,
            f"is not the study for which split {self.fingerprint[:12]} was made: {fault}",
            "Restore the study, or divide it again with `gliomap study split`, or train without that split.",
        )

    def _refuse_leaks(self) -> None:
        for first, second in (("train", "test"), ("validation", "test"), ("train", "validation")):
            shared = sorted(set(self.patients_of(first)) & set(self.patients_of(second)))
            if shared:
                captures = [capture for capture in self.captures_of(first) if self.patients[capture] in shared]
                raise LeakageError(
                    f"patient {listed(shared)}",
                    f"is in {second} and, with {listed(captures)}, in {first}",
                    "Hold out the whole patient (--test-patient), name other training captures (--train-capture),"
                    " or add --allow-same-patient, which is recorded.",
                )


def hash_sources(study: Study, captures: Iterable[str], sensor: SensorLike | None, track: Track) -> dict[str, str]:
    """SHA-256 of every file from which these captures' cubes and maps are read, and of their crops and exposures.

    Frames are listed under the names that GlioMap writes, whatever their actual extensions.
    """
    hashes: dict[str, str] = {}
    for capture_id in track(sorted(captures), "Hashing files"):
        for path in study.sources(capture_id, sensor):
            hashes[_name_of(study, path)] = sha256_of(path)
        hashes |= _settings_of(study, capture_id)
    return hashes


def _name_of(study: Study, path: Path) -> str:
    return written_name(path.relative_to(study.root)).as_posix()


_SETTING = re.compile(r"study\.toml \w+ of (ID\w+)")


def _settings_of(study: Study, capture_id: str) -> dict[str, str]:
    """Hashes of the study.toml settings that affect the capture's cube, under names that are listed among files."""
    known = study.capture_settings(capture_id)
    parts = {"crop": known.crop, "exposures": known.exposures if known.exposures and known.exposures.matter else None}
    return {
        f"study.toml {what} of {capture_id}": hashlib.sha256(part.model_dump_json().encode()).hexdigest()
        for what, part in parts.items()
        if part is not None
    }


def _hash_of(study: Study, name: str) -> str | None:
    if setting := _SETTING.fullmatch(name):
        return _settings_of(study, setting[1]).get(name)
    path = study.located(study.root / name)
    return sha256_of(path) if path.is_file() else None


@contextmanager
def faults_name(path: Path) -> Iterator[None]:
    """Make errors about a split name the file that holds it."""
    try:
        yield
    except StudyError as error:
        raise StudyError(path, error.fault, error.remedy) from error


def listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
