"""Protocols that divide patients, or the pixels of all patients, into folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from gliomap._progress import Track, silent
from gliomap.errors import UsageError
from gliomap.studies._folds import Folds
from gliomap.studies._pixel_parts import PixelParts
from gliomap.studies._split import Split, hash_sources
from gliomap.studies._study import SensorLike, Study
from gliomap.studies._usable import require_labelled, told_lacking

__all__ = ["THESIS_BATCH", "deal_patients", "make_folds"]

THESIS_BATCH = 16
"""Number of pixels in the stratified batches that the thesis's double cross-validation divides."""


def make_folds(
    study: Study,
    protocol: str,
    classes_of: Mapping[str, npt.NDArray[np.int64]],
    *,
    folds: int = 5,
    seed: int = 0,
    sensor: SensorLike | None = None,
    track: Track = silent,
) -> Folds:
    """Divide a study.

    Parameters
    ----------
    study
        An open study.
    protocol
        'lopo': one fold per patient. 'kfold-patient': patients dealt into `folds` groups with similar classes; one
        group tests, the next one validates, the others train. 'double-cv': as in the thesis, `folds` outer
        times `folds` inner folds over stratified batches of pixels; it mixes patients. 'pooled': one part in `folds`
        of all pixels tests; it mixes patients.
    classes_of
        Capture → (C,) number of labelled pixels per class.
    folds
        Number of folds; `lopo` has one per patient.
    seed
        Seed of all random draws.
    sensor
        See `Study.cube`; determines which files the fingerprint covers.

    Raises
    ------
    UsageError
        The protocol is unknown, or there are too few patients or folds.
    StudyError
        No capture has both a map and an image.
    """
    require_labelled(study)
    used = study.labelled
    patients = {capture: study.patient_of(capture) for capture in used}
    groups: dict[str, list[str]] = {}
    for capture in used:
        groups.setdefault(patients[capture], []).append(capture)
    makers = {"lopo": _lopo, "kfold-patient": _kfold, "double-cv": _double, "pooled": _pooled}
    if protocol not in makers:
        raise UsageError(f"protocol {protocol!r}", "has no folds", f"Choose one of: {', '.join(makers)}.")
    _require_enough(study, groups, protocol, folds)
    counts = {
        patient: np.sum([classes_of[capture] for capture in members], axis=0) for patient, members in groups.items()
    }
    assigned = makers[protocol](groups, counts, folds, seed)
    files = hash_sources(study, used, sensor, track)
    return Folds(
        protocol,
        {
            name: Split(
                protocol=protocol,
                train=tuple(sorted(train)),
                validation=tuple(sorted(validation)),
                test=tuple(sorted(test)),
                seed=seed,
                allow_same_patient=False,
                patients=patients,
                files=files,
                pixels=parts,
            )
            for name, (train, validation, test, parts) in assigned.items()
        },
    )


_Groups = Mapping[str, Sequence[str]]
_Counts = Mapping[str, npt.NDArray[np.int64]]
_Assigned = dict[str, tuple[Sequence[str], Sequence[str], Sequence[str], PixelParts | None]]


def _lopo(groups: _Groups, counts: _Counts, folds: int, seed: int) -> _Assigned:
    del counts, folds, seed
    return {
        patient: (_members(groups, (one for one in groups if one != patient)), (), tuple(groups[patient]), None)
        for patient in sorted(groups)
    }


def _kfold(groups: _Groups, counts: _Counts, folds: int, seed: int) -> _Assigned:
    dealt = deal_patients(counts, folds, np.random.default_rng(seed))
    result: _Assigned = {}
    for number in range(folds):
        test, validation = dealt[number], dealt[(number + 1) % folds]
        train = [patient for patient in groups if patient not in {*test, *validation}]
        result[f"fold-{number + 1}"] = (
            _members(groups, train),
            _members(groups, validation),
            _members(groups, test),
            None,
        )
    return result


def _double(groups: _Groups, counts: _Counts, folds: int, seed: int) -> _Assigned:
    """Parts `folds` · outer + inner: an outer fold tests all its parts; inner fold i validates part i of every other."""
    del counts, seed
    everybody = _members(groups, groups)
    return {
        f"outer-{outer + 1}-inner-{inner + 1}": (
            everybody,
            everybody,
            everybody,
            PixelParts(
                count=folds * folds,
                test=tuple(range(outer * folds, (outer + 1) * folds)),
                validation=tuple(other * folds + inner for other in range(folds) if other != outer),
                unit=THESIS_BATCH,
            ),
        )
        for outer in range(folds)
        for inner in range(folds)
    }


def _pooled(groups: _Groups, counts: _Counts, folds: int, seed: int) -> _Assigned:
    del counts, seed
    everybody = _members(groups, groups)
    return {"pooled": (everybody, (), everybody, PixelParts(count=folds, test=(folds - 1,)))}


def deal_patients(
    counts: Mapping[str, npt.NDArray[np.int64]], groups: int, generator: np.random.Generator
) -> tuple[tuple[str, ...], ...]:
    """Deal patients into groups of equal size so that every class is spread over as many groups as possible.

    The rarest class is dealt first, and each of its patients goes to the group with the fewest such patients, as in
    iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011).

    Parameters
    ----------
    counts
        Patient → (C,) number of labelled pixels per class.
    groups
        Number of groups, at most the number of patients.
    generator
        Breaks ties.
    """
    patients = [sorted(counts)[index] for index in generator.permutation(len(counts))]
    has = {patient: counts[patient] > 0 for patient in patients}
    room = [len(patients) // groups + (number < len(patients) % groups) for number in range(groups)]
    dealt: list[list[str]] = [[] for _ in range(groups)]
    left = list(patients)
    while left:
        frequency = np.sum([has[patient] for patient in left], axis=0)
        present = np.flatnonzero(frequency)
        rarest = int(present[np.argmin(frequency[present])]) if present.size else None
        patient = next(one for one in left if rarest is None or has[one][rarest])

        def cost(number: int, wanted: int | None = rarest) -> tuple[int, int]:
            same = 0 if wanted is None else sum(bool(has[one][wanted]) for one in dealt[number])
            return same, len(dealt[number])

        target = min((number for number in range(groups) if len(dealt[number]) < room[number]), key=cost)
        dealt[target].append(patient)
        left.remove(patient)
    return tuple(tuple(sorted(group)) for group in dealt)


def _members(groups: _Groups, patients: Iterable[str]) -> list[str]:
    return [capture for patient in patients for capture in groups[patient]]


def _require_enough(study: Study, groups: _Groups, protocol: str, folds: int) -> None:
    """Refuse too few folds, or fewer usable patients than a protocol needs; name what the others lack."""
    if protocol != "lopo" and folds < 2:
        raise UsageError("folds", f"{folds} divide nothing", "Use at least 2.")
    if protocol == "kfold-patient" and folds < 3:
        raise UsageError("folds", f"{folds} leave none to train on", "One tests and one validates: use 3 or more.")
    least = {"lopo": 2, "kfold-patient": folds}.get(protocol, 1)
    if len(groups) >= least:
        return
    if len(groups) == 1:
        remedy = "or train with --protocol pooled, which mixes pixels of one patient and reports that it does."
    elif len(groups) == 2:
        remedy = "or leave one patient out with --protocol lopo."
    else:
        remedy = f"use --folds {len(groups)}, or leave one patient out with --protocol lopo."
    lacking = told_lacking(study)
    raise UsageError(
        f"protocol {protocol}" + (f" with {folds} folds" if protocol == "kfold-patient" else ""),
        f"needs {least} patients, and only {', '.join(sorted(groups))} can train and test{lacking and f': {lacking}'}",
        f"Add {'what is lacking' if lacking else 'patients'}, {remedy}",
    )
