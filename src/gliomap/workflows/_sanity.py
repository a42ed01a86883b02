"""The sanity instruments of a run: shuffled labels, the oracle, the learning curve over patients."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gliomap import __version__
from gliomap._files import refuse_existing
from gliomap._progress import Track, silent
from gliomap.errors import ModelError, RunError
from gliomap.evaluation import (
    Instrument,
    Metrics,
    SanityPoint,
    SanityRecord,
    SanityScore,
    interval_over_patients,
    metrics,
    tumour_figures,
)
from gliomap.learning import LabelledCube, PatchSource, TissueModel, predict
from gliomap.studies import Folds, PixelParts, SensorLike, Split
from gliomap.taxonomy import ClassSet
from gliomap.tracking import Run, open_run
from gliomap.workflows._fit import fit_plan
from gliomap.workflows._pixels import CachedCube, read_cube, read_pixels, role_pixels
from gliomap.workflows._plan import Ground, lay_ground
from gliomap.workflows._trained_sensor import trained_sensor

__all__ = ["SANITY", "measure_sanity"]

logger = logging.getLogger(__name__)

SANITY = "sanity"
"""The folder of a run with the results of its instruments."""

OWN_PARTS = 5
"""A patient's own pixels are divided into this many parts, one of which tests the oracle."""

SIZES = (1, 2, 3, 5, 8, 12, 18, 27, 40, 60)
"""Numbers of training patients of the learning curve, as far as the study has that many."""


def measure_sanity(
    run_folder: str | Path,
    instrument: Instrument,
    *,
    study: str | Path | None = None,
    sensor: SensorLike | None = None,
    overwrite: bool = False,
    track: Track = silent,
) -> SanityRecord:
    """Train again under an instrument's conditions, test as the run was tested, and write RUN/sanity/NAME.json.

    Parameters
    ----------
    run_folder
        A finished run.
    instrument
        'shuffle-labels', 'oracle' or 'learning-curve'; see `gliomap.evaluation.INSTRUMENTS`.
    study, sensor
        As for `evaluate`.
    overwrite
        Replace an earlier measurement.
    track
        Receives the progress of the work.

    Raises
    ------
    OutputExistsError
        The measurement already exists.
    RunError
        The run is not finished, holds nothing out, or mixes patients, so a learning curve over them is impossible.
    StudyError
        The study is not the one that the run was trained on.
    """
    started = time.monotonic()
    run = open_run(run_folder)
    path = run.path / SANITY / f"{instrument}.json"
    refuse_existing(path, overwrite=overwrite)
    bench = _bench(run, study, sensor, track)
    points = _points(instrument, bench)
    if not points or not any(point.patients for point in points):
        raise RunError(
            run.path, f"leaves nothing to measure {instrument} on", "; ".join(bench.notes) or "Add patients."
        )
    record = SanityRecord(
        gliomap=__version__,
        name=instrument,
        run=run.record.name,
        model=run.record.model.title,
        protocol=bench.folds.protocol,
        split=bench.folds.fingerprint if run.record.folds else bench.folds.first.fingerprint,
        seed=bench.ground.seed,
        chance=1 / bench.trained_classes() if instrument == "shuffle-labels" else None,
        points=points,
        notes=tuple(dict.fromkeys(bench.notes)),
        seconds=round(time.monotonic() - started, 3),
    )
    record.save(path)
    return record


@dataclass(frozen=True, eq=False)
class _Bench:
    """The data that the instruments share."""

    run: Run
    folds: Folds
    ground: Ground
    track: Track
    cache: dict[str, CachedCube] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def tested(self) -> Mapping[str, Split]:
        """The folds that are tested."""
        names = self.run.record.chosen or tuple(self.folds.splits)
        return {name: self.folds.splits[name] for name in names}

    def cubes(self, captures: tuple[str, ...]) -> dict[str, LabelledCube]:
        """Captures with their classes; each is read once."""
        ground = self.ground
        for capture in captures:
            if capture not in self.cache:
                patient = self.folds.patients[capture]
                self.cache[capture] = read_cube(ground.study, capture, patient, ground.sensor, ground.classes)
        return {capture: self.cache[capture].cube for capture in captures}

    def trained_classes(self) -> int:
        """Classes that the run was trained on."""
        present = np.sum([self.ground.labelled[capture] for capture in self.folds.patients], axis=0) > 0
        return max(1, int(np.count_nonzero(present)))


def _points(instrument: Instrument, bench: _Bench) -> tuple[SanityPoint, ...]:
    if instrument == "shuffle-labels":
        return (_shuffled(bench),)
    if instrument == "oracle":
        return (_oracle(bench),)
    return tuple(_learning_curve(bench))


def _bench(run: Run, study: str | Path | None, sensor: SensorLike | None, track: Track) -> _Bench:
    folds = run.folds()
    if not folds.first.test:
        raise RunError(run.path, "holds out no capture", "Train with --test-patient or --test-capture.")
    where = folds.verify(run.study(study), track)
    record = run.record
    camera = trained_sensor(run, where, sensor)
    ground = lay_ground(
        where.root,
        {"model": record.model.name, "hidden": record.model.hidden, "classes": record.classes, "sensor": camera},
        track,
    )
    # Prepared as the run's cubes were, whatever study.toml says now.
    settings = where.settings.model_copy(update={"preprocessing": record.preprocessing})
    ground = replace(ground, study=replace(where, settings=settings), config=record.training)
    return _Bench(run, folds, ground, track)


def _shuffled(bench: _Bench) -> SanityPoint:
    """Train every fold on shuffled labels."""
    found: dict[str, list[_Tested]] = {}
    constant: dict[str, list[_Tested]] = {}
    folds, trained = bench.tested(), 0
    for number, split in enumerate(bench.track(folds.values(), "shuffled labels", len(folds))):
        data = read_pixels(bench.ground.plan(split), cache=bench.cache)
        generator = np.random.default_rng([bench.ground.seed, number])
        shuffled = replace(
            data,
            training=_with_shuffled_labels(data.training, generator),
            validation=None if data.validation is None else _with_shuffled_labels(data.validation, generator),
        )
        # Without the second training on all patients, which would read the true labels again.
        plan = bench.ground.plan(split)
        plan = replace(plan, config=plan.config.with_overrides({"refit": False}))
        model, _ = fit_plan(plan, shuffled)
        trained = len(split.patients_of("train"))
        tested = _test(bench, model, split)
        _add(found, tested)
        _add(constant, _always(int(np.bincount(data.training.labels).argmax()), tested))
    if bench.ground.config.class_weights == "none":
        reached = _point(constant, trained, bench).balanced_accuracy
        if reached is not None:
            bench.notes.append(
                "classes are not weighted, so a model that learned nothing predicts the most frequent class everywhere: that"
                f" alone gives a balanced accuracy of {reached.mean:.3f} on these patients, not all of whom have every class"
            )
    return _point(found, trained, bench)


def _oracle(bench: _Bench) -> SanityPoint:
    """Test every test patient with a model trained on that patient's own pixels."""
    found: dict[str, list[_Tested]] = {}
    first = bench.folds.first
    patients = sorted({patient for split in bench.tested().values() for patient in split.patients_of("test")})
    for patient in bench.track(patients, "oracle", len(patients)):
        captures = tuple(sorted(one for one, whose in first.patients.items() if whose == patient))
        split = replace(
            first,
            protocol="oracle",
            train=captures,
            validation=(),
            test=captures,
            patients=dict.fromkeys(captures, patient),
            pixels=PixelParts(OWN_PARTS, test=(OWN_PARTS - 1,)),
        )
        try:
            data = read_pixels(bench.ground.plan(split), cache=bench.cache)
            model, _ = fit_plan(bench.ground.plan(split), data)
        except ModelError as error:
            bench.notes.append(f"patient {patient} is left out: {error.thing} {error.fault}")
            continue
        _add(found, _test(bench, model, split))
    return _point(found, None, bench)


def _learning_curve(bench: _Bench) -> Iterator[SanityPoint]:
    """Train every fold with fewer and fewer of its training patients."""
    if bench.folds.first.pixels is not None:
        raise RunError(
            bench.run.path,
            f"was trained with {bench.folds.protocol}, which mixes patients",
            "A learning curve over patients needs holdout, lopo or kfold-patient.",
        )
    tested = bench.tested()
    most = min(len(_learners(split)) for split in tested.values())
    sizes = [*(size for size in SIZES if size < most), most]
    for size in bench.track(sizes, "learning curve", len(sizes)):
        found: dict[str, list[_Tested]] = {}
        for number, split in enumerate(tested.values()):
            generator = np.random.default_rng([bench.ground.seed, size, number])
            drawn = set(generator.choice(_learners(split), size, replace=False).tolist())
            fewer = replace(
                split,
                train=tuple(sorted(one for one in (*split.train, *split.validation) if split.patients[one] in drawn)),
                validation=(),
            )
            plan = bench.ground.plan(bench.ground.with_validation(fewer)[0])
            try:
                model, _ = fit_plan(plan, read_pixels(plan, cache=bench.cache))
            except ModelError as error:
                bench.notes.append(f"{size} training patients, {', '.join(sorted(drawn))}: {error.thing} {error.fault}")
                continue
            if plan.split.validation and not (plan.kind.iterative and plan.config.refit):
                bench.notes.append("the training patients include those who calibrated or decided when to stop")
            _add(found, _test(bench, model, split))
        yield _point(found, size, bench)


@dataclass(frozen=True, eq=False)
class _Tested:
    """The test pixels of one patient."""

    patient: str
    true: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float32]


def _test(bench: _Bench, model: TissueModel, split: Split) -> list[_Tested]:
    cubes = bench.cubes(tuple(sorted(split.patients)) if split.pixels is not None else split.test)
    chosen = role_pixels(split, cubes, "test")
    result = []
    for capture in split.test:
        source = PatchSource([cubes[capture]], model.window, pixels=[chosen[capture]])
        if len(source):
            result.append(_Tested(split.patients[capture], source.labels, predict(model, source)))
    return result


def _always(label: int, tested: list[_Tested]) -> list[_Tested]:
    """The same pixels, all predicted as one class."""
    return [
        replace(one, probabilities=np.eye(one.probabilities.shape[1], dtype=np.float32)[[label - 1] * one.true.size])
        for one in tested
    ]


def _add(found: dict[str, list[_Tested]], tested: list[_Tested]) -> None:
    for one in tested:
        found.setdefault(one.patient, []).append(one)


def _point(found: Mapping[str, list[_Tested]], trained: int | None, bench: _Bench) -> SanityPoint:
    classes = bench.ground.classes
    scores = {}
    for patient, parts in sorted(found.items()):
        probabilities = np.concatenate([one.probabilities for one in parts])
        true = np.concatenate([one.true for one in parts])
        predicted = (probabilities.argmax(axis=1) + 1).astype(np.uint8)
        scores[patient] = _score(metrics(true, predicted, len(classes), probabilities), classes)
    return SanityPoint(
        training_patients=trained,
        patients=scores,
        overall_accuracy=interval_over_patients([one.overall_accuracy for one in scores.values()]),
        balanced_accuracy=interval_over_patients([one.balanced_accuracy for one in scores.values()]),
        tumour_sensitivity=interval_over_patients([one.tumour_sensitivity for one in scores.values()]),
    )


def _score(found: Metrics, classes: ClassSet) -> SanityScore:
    return SanityScore(
        overall_accuracy=found.overall_accuracy,
        balanced_accuracy=found.balanced_accuracy,
        tumour_sensitivity=tumour_figures(found, classes).sensitivity,
    )


def _learners(split: Split) -> list[str]:
    """The patients that may be learned from."""
    return sorted({*split.patients_of("train"), *split.patients_of("validation")})


def _with_shuffled_labels(source: PatchSource, generator: np.random.Generator) -> PatchSource:
    shuffled = copy.copy(source)
    shuffled.labels = generator.permutation(source.labels)
    return shuffled
