"""The plan of a training, determined and checked before anything is trained or written."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gliomap._progress import Track, silent
from gliomap.bundles import require_portable
from gliomap.errors import UsageError
from gliomap.learning import ModelKind, TrainingConfig, model_kind
from gliomap.learning import preset as preset_named
from gliomap.sensors import MosaicSensor
from gliomap.studies import ROLES, SensorLike, Split, Study, make_holdout, open_study, refuse_unheeded
from gliomap.taxonomy import THESIS_CLASSES, ClassSet
from gliomap.workflows._captures_used import made_anew, require_usable, told_anew
from gliomap.workflows._options import TrainingOptions, require_known
from gliomap.workflows._validation import with_validation

__all__ = ["Ground", "TrainingPlan", "files_fingerprint", "lay_ground", "plan_training", "tell_hints"]

logger = logging.getLogger(__name__)

_OF_EPOCHS = {"epochs", "batch_size", "learning_rate"}
"""Settings that only affect models trained over epochs."""


@dataclass(frozen=True, eq=False)
class TrainingPlan:
    """A training that is ready to start.

    Attributes
    ----------
    study, sensor, split, kind, hidden, config, classes
        What is trained, how and on which patients. `sensor` is None if the study has none and needs none.
    sensor_given
        The sensor's name in the options, without a file's folder; None if study.toml names it, or nothing does.
    labelled
        Capture → (C,) labelled pixels of each class in its map.
    ignored
        Capture → code outside the classes → pixels.
    hints
        Choices that were made by default, as text.
    seconds
        Seconds that planning took; None for one of several folds, which are planned together.
    """

    study: Study
    sensor: MosaicSensor | None
    sensor_given: str | None
    split: Split
    kind: ModelKind
    hidden: int | None
    config: TrainingConfig
    classes: ClassSet
    labelled: Mapping[str, npt.NDArray[np.int64]]
    ignored: Mapping[str, Mapping[int, int]]
    hints: tuple[str, ...]
    seconds: float | None = None

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
        """SHA-256 over the names and hashes of the files used."""
        return files_fingerprint(self.split.files)

    def base_name(self) -> str:
        """The run's name without its number: model, protocol, and tested patients or captures."""
        tested = self.split.test
        if not tested or self.split.pixels is not None:
            return f"{self.kind.name}_{self.split.protocol}"
        patients = self.split.patients_of("test")
        whole = {capture for patient in patients for capture in self.study.patients[patient]} & set(self.labelled)
        named = list(patients if whole == set(tested) else tested)
        shown = "-".join(named[:3]) + (f"-and-{len(named) - 3}-more" if len(named) > 3 else "")
        return f"{self.kind.name}_{self.split.protocol}_{shown}"


@dataclass(frozen=True, eq=False)
class Ground:
    """What every fold of a training has in common; attributes as of `TrainingPlan`.

    Attributes
    ----------
    made_anew
        Captures whose prepared cube does not fit, so they are prepared again.
    asked
        The options.
    """

    study: Study
    sensor: MosaicSensor | None
    kind: ModelKind
    config: TrainingConfig
    classes: ClassSet
    labelled: Mapping[str, npt.NDArray[np.int64]]
    ignored: Mapping[str, Mapping[int, int]]
    made_anew: frozenset[str]
    asked: TrainingOptions

    @property
    def seed(self) -> int:
        """The seed of every random choice."""
        return self.config.seed

    def with_validation(self, split: Split) -> tuple[Split, list[str]]:
        """The split with validation patients moved out of training, as requested or as the model needs, and why."""
        named = self.asked.get("validation_patients")
        if named is not None and not isinstance(named, int):
            return split, []
        return with_validation(split, named, self.config, self.labelled, self.kind)

    def plan(self, split: Split, hints: Sequence[str] = ()) -> TrainingPlan:
        """The training of one split."""
        found = (*hints, *self._unheeded(), *self.single_class(split), *self.warnings(split))
        return TrainingPlan(
            self.study,
            self.sensor,
            _called(self.asked.get("sensor")),
            split,
            self.kind,
            self.asked.get("hidden"),
            self.config,
            self.classes,
            self.labelled,
            self.ignored,
            found,
        )

    def single_class(self, split: Split, roles: Sequence[str] = ROLES) -> list[str]:
        """Hints about patients of `roles` whose labels are all of one class, or who have none."""
        hints = []
        for role in roles:
            for patient in split.patients_of(role):
                captures = [capture for capture in split.captures_of(role) if split.patients[capture] == patient]
                counts = sum((self.labelled[capture] for capture in captures), np.zeros(1))
                present = [self.classes.names[k] for k in np.flatnonzero(counts)]
                if not present:
                    hints.append(f"patient {patient} ({role}) has no labels of any class")
                elif len(present) == 1:
                    hints.append(f"patient {patient} ({role}) has labels of {present[0]} only")
        return hints

    def warnings(self, split: Split) -> list[str]:
        """The hints about things that may make figures wrong."""
        return [*_doubled(split), *told_anew(self.made_anew & set(split.patients))]

    def _unheeded(self) -> list[str]:
        """A hint about epoch settings that were given for a model without epochs."""
        named = sorted(set(self.asked.get("overrides", {})) & _OF_EPOCHS)
        if self.kind.iterative or not named:
            return []
        return [f"model {self.kind.name} is fitted in one step and ignores {', '.join(named).replace('_', ' ')}"]


def lay_ground(study_path: str | Path, asked: TrainingOptions, track: Track = silent) -> Ground:
    """Open the study, read its labels and determine the settings.

    Raises
    ------
    UsageError
        An option, preset or setting is unknown.
    ModelError
        The model is unknown.
    StudyError, SensorError, TaxonomyError
        The study cannot be used, or no bundle can be made of its sensor and preprocessing.
    """
    require_known(asked)
    kind = model_kind(asked.get("model", "conv2d"))
    config = preset_named(asked.get("preset", "default")).with_overrides(
        {**asked.get("overrides", {}), "seed": asked.get("seed", 0)}
    )
    study = open_study(study_path)
    classes = asked.get("classes", THESIS_CLASSES)
    override = asked.get("sensor")
    sensor = study.sensor(override) if override is not None or study.settings.sensor is not None else None
    if sensor is not None:
        require_portable(sensor, study.preprocessing)
    labelled: dict[str, npt.NDArray[np.int64]] = {}
    ignored: dict[str, Mapping[int, int]] = {}
    for capture in track(study.labelled, "reading labels"):
        found = study.class_map(capture, classes)
        labelled[capture] = np.bincount(found.labels.ravel(), minlength=len(classes) + 1)[1:].astype(np.int64)
        ignored[capture] = found.ignored
    anew = made_anew(study, study.labelled, sensor)
    return Ground(study, sensor, kind, config, classes, labelled, ignored, anew, asked)


def plan_training(
    study_path: str | Path, options: TrainingOptions | None = None, track: Track = silent
) -> TrainingPlan:
    """Plan a training with captures or patients held out, and check everything that can be checked without training.

    For the other protocols see `plan_folds`.

    Parameters
    ----------
    study_path
        The study folder.
    options
        See `TrainingOptions`.
    track
        Receives the progress of the work.

    Raises
    ------
    UsageError
        The protocol is another; a preset or setting is unknown; nothing is left to train on; a capture would both train
        and test.
    ModelError
        The model is unknown.
    StudyError, SensorError, TaxonomyError
        The study cannot be used.
    LeakageError
        A patient would both train and test without `allow_same_patient`.
    """
    asked: TrainingOptions = options or {}
    if asked.get("protocol", "holdout") != "holdout":
        raise UsageError(f"protocol {asked['protocol']!r}", "has several folds", "Plan it with plan_folds.")
    refuse_unheeded("holdout", asked.get("folds"))
    ground = lay_ground(study_path, asked, track)
    test_patients, test_captures, hints = _tested(ground.study, asked)
    named = asked.get("validation_patients")
    split = make_holdout(
        ground.study,
        test_patients,
        test_captures,
        asked.get("train_captures", ()),
        () if named is None or isinstance(named, int) else named,
        ground.seed,
        asked.get("allow_same_patient", False),
        sensor=ground.sensor,
        track=track,
    )
    require_usable(ground.study, split.patients, ground.sensor)
    split, why = ground.with_validation(split)
    plan = ground.plan(split, (*hints, *why))
    tell_hints(plan.hints, ground.warnings(split))
    return plan


def _called(sensor: SensorLike | None) -> str | None:
    return sensor.name if isinstance(sensor, MosaicSensor) else None if sensor is None else Path(sensor).name


def _tested(study: Study, asked: TrainingOptions) -> tuple[Sequence[str], Sequence[str], list[str]]:
    patients, captures = asked.get("test_patients", ()), asked.get("test_captures", ())
    if patients or captures or not study.labelled:
        return patients, captures, []
    last = sorted({study.patient_of(capture) for capture in study.labelled})[-1]
    return [last], [], [f"no test patient or capture was named: the last patient, {last}, is held out"]


def _doubled(split: Split) -> list[str]:
    return [f"duplicate: {one}; remove one of them" for one in split.duplicates]


def tell_hints(hints: Sequence[str], warnings: Collection[str]) -> None:
    """Log the choices made by default, and as warnings what makes figures wrong."""
    for hint in hints:
        logger.log(logging.WARNING if hint in warnings else logging.INFO, hint)


def files_fingerprint(files: Mapping[str, str]) -> str:
    """SHA-256 over the names and hashes of files."""
    return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()
