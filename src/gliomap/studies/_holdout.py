"""Hold out captures or patients: the thesis's 'no CV'."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from gliomap._progress import Track, silent
from gliomap.errors import StudyError, UsageError
from gliomap.studies._split import Split, hash_sources
from gliomap.studies._study import SensorLike, Study
from gliomap.studies._usable import require_labelled, told_lacking

__all__ = ["make_holdout"]


def make_holdout(
    study: Study,
    test_patients: Sequence[str] = (),
    test_captures: Sequence[str] = (),
    train_captures: Sequence[str] = (),
    validation_patients: Sequence[str] = (),
    seed: int = 0,
    allow_same_patient: bool = False,
    *,
    sensor: SensorLike | None = None,
    track: Track = silent,
) -> Split:
    """Hold out patients or captures for testing; the rest is used for training.

    Only captures with a map and an image (prepared cube or frames) take part.

    Parameters
    ----------
    study
        An open study.
    test_patients, test_captures
        Patients and captures to test; at least one in total.
    train_captures
        Captures to train on; if empty, all that are not tested.
    validation_patients
        Patients among the training captures that determine when training stops.
    seed
        Only recorded, for callers that draw the validation patients.
    allow_same_patient
        Allow a patient on both sides; recorded in the split.
    sensor
        See `Study.cube`; determines which files the fingerprint covers.

    Raises
    ------
    UsageError
        There is nothing to test or to train on, or a capture is on both sides.
    StudyError
        No capture has both a map and an image, or only one patient has such captures; or a patient or capture is not in the
        study or cannot take part.
    LeakageError
        A patient is on both sides and `allow_same_patient` is False.
    """
    require_labelled(study)
    train, test = _two_sides(study, test_patients, test_captures, train_captures)
    validating = _validation_patients(study, train, validation_patients)
    validation = {capture for capture in train if study.patient_of(capture) in validating}
    train -= validation
    used = sorted(train | validation | test)
    return Split(
        protocol="holdout",
        train=tuple(sorted(train)),
        validation=tuple(sorted(validation)),
        test=tuple(sorted(test)),
        seed=seed,
        allow_same_patient=allow_same_patient,
        patients={capture: study.patient_of(capture) for capture in used},
        files=hash_sources(study, used, sensor, track),
    )


def _two_sides(
    study: Study, test_patients: Iterable[str], test_captures: Iterable[str], train_captures: Iterable[str]
) -> tuple[set[str], set[str]]:
    """Training captures and test captures: non-empty and disjoint."""
    usable = study.labelled
    test = set(_named_captures(study, usable, test_captures))
    for patient in test_patients:
        test.update(_captures_of_patient(study, usable, patient))
    if not test:
        raise UsageError("holdout", "nothing is held out", "Add --test-patient ID or --test-capture ID.")
    train = set(_named_captures(study, usable, train_captures)) or set(usable) - test
    both = sorted(train & test)
    if both:
        raise UsageError("holdout", f"{', '.join(both)} would both train and test", "Name each capture once.")
    alone = {study.patient_of(capture) for capture in usable}
    if not train and len(alone) == 1:
        lacking = told_lacking(study)
        raise StudyError(
            f"patient {alone.pop()}",
            f"is the only usable one, and one patient cannot both train and test{lacking and f': {lacking}'}",
            f"Add {'what is lacking, or more patients' if lacking else 'patients'}; --protocol pooled mixes the pixels of"
            " one patient and reports that it does.",
        )
    if not train:
        raise UsageError(
            "holdout",
            "every labelled capture is held out, which leaves none to train on",
            "Hold out fewer captures, or add patients.",
        )
    return train, test


def _named_captures(study: Study, usable: Collection[str], named: Iterable[str]) -> list[str]:
    found = list(named)
    for capture_id in found:
        study.files(capture_id)
        if capture_id not in usable:
            raise StudyError(
                f"capture {capture_id}",
                "has no ground-truth map, or neither a cube nor raw, white and dark frames",
                "See `gliomap study check`.",
            )
    return found


def _captures_of_patient(study: Study, usable: Collection[str], patient: str) -> list[str]:
    patient = study.settings.aliases.get(patient, patient)
    if patient not in study.patients:
        raise StudyError(
            f"patient {patient!r}", f"is not in {study.root}", f"It has: {', '.join(study.patients)[:500]}."
        )
    captures = [capture for capture in study.patients[patient] if capture in usable]
    if not captures:
        raise StudyError(
            f"patient {patient}", "has no capture with both a map and an image", "See `gliomap study check`."
        )
    return captures


def _validation_patients(study: Study, train: Collection[str], wanted: Sequence[str]) -> frozenset[str]:
    patients = {study.patient_of(capture) for capture in train}
    named = frozenset(study.settings.aliases.get(patient, patient) for patient in wanted)
    if not named < patients:
        raise StudyError(
            f"validation patients {', '.join(sorted(named))}",
            f"are not a proper subset of the training patients {', '.join(sorted(patients))}",
            "Choose training patients, and leave at least one to train on.",
        )
    return named
