"""What a training will do, worked out and checked before anything is trained or written."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from gliomap._progress import Track, silent
from gliomap.errors import UsageError
from gliomap.learning import ModelKind, TrainingConfig, model_kind
from gliomap.learning import preset as preset_named
from gliomap.sensors import MosaicSensor
from gliomap.studies import SensorLike, Split, Study, class_map, make_holdout, open_study
from gliomap.taxonomy import THESIS_CLASSES, ClassSet
from gliomap.workflows._runs import ROLES

__all__ = ["TrainingOptions", "TrainingPlan", "choose_validation", "plan_training"]

logger = logging.getLogger(__name__)

PROTOCOLS = ("holdout",)

VALIDATION_SHARE = 0.2
"""Of the training patients, at least one, where there are two or more."""


class TrainingOptions(TypedDict, total=False):
    """What can be asked of a training; everything has a default.

    Attributes
    ----------
    model
        Name in the registry: 'conv2d' (default), 'fourlayer', 'lda'.
    preset
        'default' or 'thesis'; see `gliomap.learning.PRESETS`.
    protocol
        'holdout': some captures are tested, others train; the thesis's 'no CV'.
    test_patients, test_captures
        What is held out. Where neither is named, the last patient of the study, and a hint says so.
    train_captures
        What trains; by default all that is not held out.
    validation_patients
        Training patients that decide when to stop, or their number; by default a fifth, at least one,
        where there are two or more training patients and the settings stop early.
    allow_same_patient
        Let a patient stand on both sides; recorded.
    seed
        Of the choice of validation patients, of the first weights and of the order of batches.
    sensor
        Instead of the one that study.toml names.
    hidden
        First hidden width of 'fourlayer'.
    overrides
        Settings of `TrainingConfig` by name, over the preset.
    classes
        Which codes make which class; the thesis's five by default.
    """

    model: str
    preset: str
    protocol: str
    test_patients: Sequence[str]
    test_captures: Sequence[str]
    train_captures: Sequence[str]
    validation_patients: Sequence[str] | int | None
    allow_same_patient: bool
    seed: int
    sensor: SensorLike | None
    hidden: int | None
    overrides: Mapping[str, Any]
    classes: ClassSet


@dataclass(frozen=True, eq=False)
class TrainingPlan:
    """A training that could begin.

    Attributes
    ----------
    study, sensor, split, kind, hidden, config, classes
        What, how and on whom. `sensor` is None where the study has none and needs none.
    labelled
        Capture → (C,) labelled pixels of each class in its map.
    ignored
        Capture → code outside the classes → pixels.
    hints
        Choices that were made by default, for people.
    """

    study: Study
    sensor: MosaicSensor | None
    split: Split
    kind: ModelKind
    hidden: int | None
    config: TrainingConfig
    classes: ClassSet
    labelled: Mapping[str, npt.NDArray[np.int64]]
    ignored: Mapping[str, Mapping[int, int]]
    hints: tuple[str, ...]

    def counts(self, role: str) -> dict[str, int]:
        """Class name → labelled pixels in the maps of 'train', 'validation' or 'test'."""
        total = np.zeros(len(self.classes), np.int64)
        for capture in self.split.captures_of(role):
            total += self.labelled[capture]
        return {name: int(count) for name, count in zip(self.classes.names, total, strict=True)}

    def ignored_codes(self, role: str) -> dict[int, int]:
        """Code outside the classes → pixels, in 'train', 'validation' or 'test'."""
        total: dict[int, int] = {}
        for capture in self.split.captures_of(role):
            for code, count in self.ignored[capture].items():
                total[code] = total.get(code, 0) + count
        return total

    def study_fingerprint(self) -> str:
        """SHA-256 over names and hashes of the files that are used."""
        return hashlib.sha256(json.dumps(sorted(self.split.files.items())).encode()).hexdigest()

    def base_name(self) -> str:
        """Name of a run without its number: model, protocol, and whom it tests."""
        tested = self.split.test
        patients = self.split.patients_of("test")
        whole = {capture for patient in patients for capture in self.study.patients[patient]} & set(self.labelled)
        named = list(patients if whole == set(tested) else tested)
        shown = "-".join(named[:3]) + (f"-and-{len(named) - 3}-more" if len(named) > 3 else "")
        return f"{self.kind.name}_{self.split.protocol}_{shown}"


def plan_training(
    study_path: str | Path, options: TrainingOptions | None = None, track: Track = silent
) -> TrainingPlan:
    """Work out a training and check everything that can be checked without training.

    Raises
    ------
    UsageError
        An unknown protocol, preset or setting; nothing to train on; a capture on both sides.
    ModelError
        An unknown model.
    StudyError, SensorError, TaxonomyError
        A study that cannot be used.
    LeakageError
        A patient on both sides without `allow_same_patient`.
    """
    asked: TrainingOptions = options or {}
    protocol = asked.get("protocol", "holdout")
    if protocol not in PROTOCOLS:
        raise UsageError(f"protocol {protocol!r}", "is not known", f"Choose one of: {', '.join(PROTOCOLS)}.")
    kind = model_kind(asked.get("model", "conv2d"))
    seed = asked.get("seed", 0)
    config = preset_named(asked.get("preset", "default")).with_overrides({**asked.get("overrides", {}), "seed": seed})
    study = open_study(study_path)
    classes = asked.get("classes", THESIS_CLASSES)
    override = asked.get("sensor")
    sensor = study.sensor(override) if override is not None or study.settings.sensor is not None else None

    labelled: dict[str, npt.NDArray[np.int64]] = {}
    ignored: dict[str, Mapping[int, int]] = {}
    for capture in track(study.labelled, "reading labels"):
        found = class_map(study.codes(capture), classes)
        labelled[capture] = np.bincount(found.labels.ravel(), minlength=len(classes) + 1)[1:].astype(np.int64)
        ignored[capture] = found.ignored
    test_patients, test_captures, hints = _tested(study, asked)
    named = asked.get("validation_patients")
    split = make_holdout(
        study,
        test_patients,
        test_captures,
        asked.get("train_captures", ()),
        0 if named is None or isinstance(named, int) else named,
        seed,
        asked.get("allow_same_patient", False),
        sensor=sensor,
        track=track,
    )
    if named is None or isinstance(named, int):
        split, why = _with_validation(split, named, config, labelled, kind)
        hints += why
    hints += _single_class(split, labelled, classes)
    for hint in hints:
        logger.info(hint)
    return TrainingPlan(
        study, sensor, split, kind, asked.get("hidden"), config, classes, labelled, ignored, tuple(hints)
    )


def choose_validation(
    counts: Mapping[str, npt.NDArray[np.int64]], number: int, generator: np.random.Generator
) -> tuple[str, ...]:
    """Draw validation patients so that training keeps all classes and validation sees many.

    Parameters
    ----------
    counts
        Patient → (C,) labelled pixels per class.
    number
        How many to draw; fewer than there are patients.
    generator
        Breaks ties.

    Returns
    -------
    tuple of str
        Sorted.
    """
    patients = sorted(counts)
    rank = dict(zip(patients, generator.permutation(len(patients)).tolist(), strict=True))
    chosen: list[str] = []
    for _ in range(number):
        left = [patient for patient in patients if patient not in chosen]

        def cost(candidate: str, left: Sequence[str] = left) -> tuple[int, int, int]:
            kept = sum(counts[patient] for patient in left if patient != candidate)
            lost = int(np.count_nonzero((counts[candidate] > 0) & (kept == 0)))
            return lost, -int(np.count_nonzero(counts[candidate])), rank[candidate]

        chosen.append(min(left, key=cost))
    return tuple(sorted(chosen))


def _tested(study: Study, asked: TrainingOptions) -> tuple[Sequence[str], Sequence[str], list[str]]:
    patients, captures = asked.get("test_patients", ()), asked.get("test_captures", ())
    if patients or captures or not study.labelled:
        return patients, captures, []
    last = sorted({study.patient_of(capture) for capture in study.labelled})[-1]
    return [last], [], [f"nothing was held out by name: the last patient, {last}, is tested"]


def _with_validation(
    split: Split,
    wanted: int | None,
    config: TrainingConfig,
    labelled: Mapping[str, npt.NDArray[np.int64]],
    kind: ModelKind,
) -> tuple[Split, list[str]]:
    """The split with validation patients taken out of its training patients, and why these or none."""
    training = split.patients_of("train")
    stops = kind.iterative and config.patience is not None
    if wanted is None:
        wanted = max(1, round(VALIDATION_SHARE * len(training))) if stops and len(training) > 1 else 0
    if not 0 <= wanted < len(training):
        raise UsageError(
            "validation",
            f"{wanted} of {len(training)} training patients cannot be kept for it",
            "Leave at least one to train on.",
        )
    if not wanted:
        reason = f"{training[0]} is the only training patient" if len(training) == 1 else "no patient validates"
        return split, [f"{reason}: no early stopping, all {config.epochs} epochs are trained"] if stops else []
    counts = {patient: np.zeros_like(labelled[split.train[0]]) for patient in training}
    for capture in split.train:
        counts[split.patients[capture]] += labelled[capture]
    chosen = choose_validation(counts, wanted, np.random.default_rng(split.seed))
    kept = tuple(capture for capture in split.train if split.patients[capture] not in chosen)
    validation = tuple(capture for capture in split.train if split.patients[capture] in chosen)
    return replace(split, train=kept, validation=validation), [f"patients who validate: {', '.join(chosen)}"]


def _single_class(split: Split, labelled: Mapping[str, npt.NDArray[np.int64]], classes: ClassSet) -> list[str]:
    """Patients whose labels are all of one class, or who have none."""
    hints = []
    for role in ROLES:
        for patient in split.patients_of(role):
            counts = sum((labelled[c] for c in split.captures_of(role) if split.patients[c] == patient), np.zeros(1))
            present = [classes.names[k] for k in np.flatnonzero(counts)]
            if len(present) < 2:
                hints.append(f"patient {patient} ({role}) has labels of {present[0] if present else 'no class'} only")
    return hints
