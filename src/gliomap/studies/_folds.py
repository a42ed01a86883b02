"""The folds of a protocol in one file: training, validation and test of each fold, with a fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from gliomap._fields import Fields, field_faults
from gliomap._files import read_limited, write_json
from gliomap._progress import Track, silent
from gliomap.errors import StudyError, UsageError
from gliomap.studies._pixel_parts import PixelParts
from gliomap.studies._split import Split, faults_name
from gliomap.studies._study import Study

__all__ = ["PROTOCOLS", "USUAL_FOLDS", "Folds", "Protocol", "refuse_unheeded"]

USUAL_FOLDS = 5
"""Number of folds of protocols with a choice, unless another is given."""

_MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Protocol:
    """A way of dividing a study.

    Attributes
    ----------
    name
        Name on the command line.
    description
        One line.
    warning
        Why its figures are too optimistic; None if no patient is on both sides.
    chosen_folds
        Whether the number of folds can be chosen.
    """

    name: str
    description: str
    warning: str | None = None
    chosen_folds: bool = False


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        one.name: one
        for one in (
            Protocol("holdout", "hold out named patients or captures; the thesis's 'no CV'"),
            Protocol("lopo", "leave one patient out: each patient is tested with a model trained on all others"),
            Protocol(
                "kfold-patient",
                "k folds over patients: one tests, one validates, the others train; with 5 folds the 60/20/20 of the"
                " 34-patient benchmark",
                chosen_folds=True,
            ),
            Protocol(
                "double-cv",
                "the thesis's double cross-validation over batches of pixels; it mixes patients",
                "Double cross-validation divides batches of pixels, not patients: every test patient was also used for"
                " training. Its figures overstate the performance on a new patient; compare with lopo.",
                chosen_folds=True,
            ),
            Protocol(
                "pooled",
                "tests random pixels of all patients; it mixes patients",
                "Pooled testing draws random pixels of all patients: next to every test pixel lies a training pixel."
                " Its figures overstate the performance on a new patient; compare with lopo.",
                chosen_folds=True,
            ),
        )
    }
)
"""Every protocol, by name."""


def refuse_unheeded(protocol: str, folds: int | None, *, from_file: bool = False) -> None:
    """Refuse a number of folds where the protocol, or a file of folds, determines it.

    Parameters
    ----------
    protocol
        A name of `PROTOCOLS`; other names are not judged.
    folds
        The requested number of folds; None if none was.
    from_file
        Whether the folds come from a file.

    Raises
    ------
    UsageError
        There is no choice.
    """
    if folds is not None and from_file:
        raise UsageError("a file of folds", f"determines their number; {folds} cannot be given", "Omit --folds.")
    if folds is None or protocol not in PROTOCOLS or PROTOCOLS[protocol].chosen_folds:
        return
    choices = ", ".join(one.name for one in PROTOCOLS.values() if one.chosen_folds)
    raise UsageError(
        f"protocol {protocol}",
        f"offers no choice of folds; a number of {folds} cannot be given",
        f"Omit --folds, or name a protocol that has the choice: {choices}.",
    )


class _Fold(Fields):
    name: Annotated[str, Field(pattern=r"^[\w-]+$")]
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    pixels: PixelParts | None = None


class _FoldsFile(Fields):
    """splits.json."""

    format: Literal[1] = 1
    protocol: Annotated[str, Field(min_length=1)]
    seed: int
    allow_same_patient: bool
    patients: dict[str, str]
    files: dict[str, str]
    folds: Annotated[tuple[_Fold, ...], Field(min_length=1)]
    fingerprint: str


@dataclass(frozen=True)
class Folds:
    """The splits of one protocol over one study.

    Attributes
    ----------
    protocol
        A name of `PROTOCOLS`.
    splits
        Fold → its split, in order. All share the protocol, the seed and the files.

    Raises
    ------
    StudyError
        There is no fold, or a split has another protocol.
    """

    protocol: str
    splits: Mapping[str, Split]

    def __post_init__(self) -> None:
        object.__setattr__(self, "splits", MappingProxyType(dict(self.splits)))
        if not self.splits:
            raise StudyError("folds", "there are none", "Use a study with patients to divide.")
        if any(split.protocol != self.protocol for split in self.splits.values()):
            raise StudyError("folds", f"are not all of protocol {self.protocol!r}", "Recreate them.")

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of the names and fingerprints of the folds, in order."""
        content = [self.protocol, *([name, split.fingerprint] for name, split in self.splits.items())]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    @property
    def first(self) -> Split:
        """The first split, for what all of them share."""
        return next(iter(self.splits.values()))

    @property
    def patients(self) -> Mapping[str, str]:
        """Capture → patient, over all folds."""
        return {capture: patient for split in self.splits.values() for capture, patient in split.patients.items()}

    @property
    def files(self) -> Mapping[str, str]:
        """File → SHA-256, over all folds."""
        return {name: digest for split in self.splits.values() for name, digest in split.files.items()}

    def save(self, path: Path) -> None:
        """Write the folds as JSON, atomically."""
        content = _FoldsFile(
            protocol=self.protocol,
            seed=self.first.seed,
            allow_same_patient=self.first.allow_same_patient,
            patients=dict(self.patients),
            files=dict(self.files),
            folds=tuple(
                _Fold(name=name, train=split.train, validation=split.validation, test=split.test, pixels=split.pixels)
                for name, split in self.splits.items()
            ),
            fingerprint=self.fingerprint,
        )
        write_json(path, content.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path) -> Folds:
        """Read folds and verify their fingerprint; a single split.json counts as one fold.

        Raises
        ------
        StudyError
            The file is missing, holds no splits, or was changed after it was made.
        LeakageError
            A patient has two roles.
        """
        wanted = "Use a file made by `gliomap study split`."
        content = read_limited(path, _MAX_BYTES, StudyError, missing=wanted, large=wanted)
        try:
            kept = _FoldsFile.model_validate_json(content)
        except ValidationError as error:
            if b'"folds"' not in content:
                single = Split.load(path)
                return cls(single.protocol, {"holdout": single})
            raise StudyError(path, f"holds no folds: {field_faults(error)}", "Recreate them.") from error
        with faults_name(path):
            folds = cls(kept.protocol, {fold.name: _split_of(kept, fold) for fold in kept.folds})
        if folds.fingerprint != kept.fingerprint:
            raise StudyError(path, "does not match its own fingerprint: it was edited", "Recreate it.")
        return folds

    def verify(self, study: Study, track: Track = silent) -> Study:
        """Compare the study with the one for which the folds were made.

        Returns
        -------
        Study
            See `Split.verify`.

        Raises
        ------
        StudyError
            Captures, patients or files have changed; the message names them.
        """
        return self.first.verify(study, track)


def _split_of(kept: _FoldsFile, fold: _Fold) -> Split:
    return Split(
        protocol=kept.protocol,
        train=fold.train,
        validation=fold.validation,
        test=fold.test,
        seed=kept.seed,
        allow_same_patient=kept.allow_same_patient,
        patients=kept.patients,
        files=kept.files,
        pixels=fold.pixels,
    )
