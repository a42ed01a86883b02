"""Evaluate: a run is tested on the captures that it held out."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gliomap import __version__
from gliomap._files import atomic_file, atomic_folder, refuse_existing
from gliomap._progress import Track, silent
from gliomap.engine import Engine
from gliomap.errors import RunError, SensorError
from gliomap.evaluation import (
    CaptureRecord,
    EvaluationRecord,
    Interval,
    Judged,
    Metrics,
    confusion_figure,
    interval_over_patients,
    judge,
    learning_curves,
    next_version,
    picture_name,
    picture_of,
    picture_stem,
    pooled_metrics,
    summary_line,
    tumour_indices,
)
from gliomap.rendering import map_picture, overlay_picture, save_png
from gliomap.sensors import MosaicSensor, get_sensor
from gliomap.studies import SensorLike, Split, Study, class_map
from gliomap.taxonomy import ClassSet
from gliomap.workflows._runs import Run, open_run

__all__ = ["EVALUATION", "METRICS", "Evaluated", "evaluate"]

logger = logging.getLogger(__name__)

EVALUATION, METRICS, PREDICTIONS = "evaluation", "metrics.json", "predictions"


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What an evaluation left behind.

    Attributes
    ----------
    folder
        RUN/evaluation.
    record
        The content of its metrics.json; `record_tables` makes tables of it.
    """

    folder: Path
    record: EvaluationRecord


@dataclass(frozen=True, eq=False)
class _Test:
    """What is tested, on what, and how its pictures are named."""

    run: Run
    split: Split
    study: Study
    sensor: MosaicSensor | None
    engine: Engine
    palette: str
    version: int

    @property
    def classes(self) -> ClassSet:
        return self.run.record.classes

    @property
    def title(self) -> str:
        return self.run.record.model.title

    @property
    def overlapping(self) -> tuple[str, ...]:
        """Patients of the test who also train or validate."""
        known = {*self.split.patients_of("train"), *self.split.patients_of("validation")}
        return tuple(patient for patient in self.split.patients_of("test") if patient in known)

    def stem(self, tested: str) -> str:
        return picture_stem(self.title, tested, self.split.protocol)


def evaluate(
    run_folder: str | Path,
    *,
    study: str | Path | None = None,
    sensor: SensorLike | None = None,
    palette: str = "classic",
    threads: int | None = None,
    overwrite: bool = False,
    track: Track = silent,
) -> Evaluated:
    """Test a run on its test captures and write RUN/evaluation.

    The graph that is tested is the one that a bundle of this run ships. Before anything is tested, the
    study is compared with the split's fingerprint.

    The folder holds metrics.json (see `EvaluationRecord`); predictions/CAPTURE.npz with `rows`,
    `columns`, `true`, `predicted` (classes; 0 = not classified) and `probabilities` (N×C) of the labelled
    pixels in column-major order; and pictures, named as the thesis named them: per capture the map
    beside ground truth and synthetic RGB, and the overlay; the confusion matrix; learning curves where
    training had epochs.

    Parameters
    ----------
    run_folder
        A finished run.
    study
        Where the study is now; by default where the run found it.
    sensor
        For a run of a sensor that neither study.toml names nor the registry has under its name.
    palette
        'classic' or 'safe'.
    threads
        For the engine.
    overwrite
        Replace an earlier evaluation. Its pictures stay; the new ones take the next version number.
    track
        Told how the work advances.

    Raises
    ------
    OutputExistsError
        The run was evaluated already.
    RunError
        The run is not finished, damaged, or holds nothing out.
    StudyError, LeakageError
        The study is not what the run was trained on; a patient stands on both sides.
    ExportMismatchError
        The exported graph does not compute what the model computes.
    """
    run = open_run(run_folder)
    folder = run.path / EVALUATION
    refuse_existing(folder, overwrite=overwrite)
    split = run.split()
    if not split.test:
        raise RunError(run.path, "holds no capture out", "Train with --test-patient or --test-capture.")
    where = run.study(study)
    split.verify(where, track)
    camera = _sensor(run, where, sensor)
    engine = _engine(run, threads, track)
    with atomic_folder(folder, overwrite=overwrite) as fresh:
        kept = _carry_pictures(folder, fresh)
        test = _Test(run, split, where, camera, engine, palette, 1)
        stems = [test.stem(tested) for tested in (*split.test, _together(split.test))]
        test = replace(test, version=next_version(fresh, stems))
        judged, pictures = [], {}
        for capture in track(split.test, "Testing captures", len(split.test)):
            result, pictures[capture] = _test_capture(test, capture, fresh)
            judged.append(result)
        record = _record(test, judged, pictures, _figures(test, judged, fresh))
        record.save(fresh / METRICS)
    if kept:
        logger.info("%d pictures of earlier evaluations stay in %s", kept, folder)
    return Evaluated(folder, record)


def _sensor(run: Run, study: Study, asked: SensorLike | None) -> MosaicSensor | None:
    """The sensor that the run was trained for; None where it had none.

    Raises
    ------
    SensorError
        The one that is found is another.
    """
    trained = run.record.sensor
    if trained is None:
        return None
    found = study.sensor(asked) if asked is not None or study.settings.sensor is not None else get_sensor(trained.name)
    if found.fingerprint() != trained.fingerprint:
        raise SensorError(
            f"sensor {found.name!r}",
            f"is not the {trained.name!r} that the run was trained for: its calibration differs",
            "Name that one's description with --sensor.",
        )
    return found


def _engine(run: Run, threads: int | None, track: Track) -> Engine:
    """The run's model as the graph that its bundles ship, checked against the model itself.

    Cubes are tested, so the frame graph, which alone needs the sensor, is left out.
    """
    from gliomap.learning.export import BundleInfo, checked_bundle

    record = run.record
    info = BundleInfo(record.name, record.classes, record.preprocessing, wavelengths_nm=record.wavelengths_nm)
    return Engine(checked_bundle(run.model(), info, threads=threads, track=track), threads=threads)


def _test_capture(test: _Test, capture: str, folder: Path) -> tuple[Judged, tuple[str, ...]]:
    """Classify one capture, compare, and write its predictions and pictures."""
    cube = test.study.cube(capture, test.sensor, test.run.record.preprocessing)
    truth = class_map(test.study.codes(capture), test.classes).labels
    tissue = test.engine.classify_cube(cube)
    judged = judge(capture, test.split.patients[capture], truth, tissue)
    with atomic_file(folder / PREDICTIONS / f"{capture}.npz") as temporary:
        np.savez_compressed(
            temporary,
            rows=judged.rows,
            columns=judged.columns,
            true=judged.true,
            predicted=judged.predicted,
            probabilities=judged.probabilities,
        )
    rgb = picture_of(test.study, capture, test.sensor)
    title = f"{test.title} · {capture}"
    subtitle = f"{summary_line(judged.metrics, test.classes)} · {_trained_on(test, judged.patient)}"
    stem = test.stem(capture)
    pictures = {
        picture_name(stem, test.version): map_picture(
            tissue, rgb, truth=truth, palette=test.palette, title=title, subtitle=subtitle
        ),
        picture_name(stem, test.version, "overlay"): overlay_picture(
            tissue, rgb, palette=test.palette, by_confidence=True, title=title, subtitle=subtitle
        ),
    }
    for name, picture in pictures.items():
        save_png(picture, folder / name)
    return judged, tuple(pictures)


def _trained_on(test: _Test, patient: str) -> str:
    learned = {*test.split.patients_of("train")}
    if test.run.history().refit:
        learned |= {*test.split.patients_of("validation")}
    told = f"trained on {_patients(len(learned))}"
    if patient in test.overlapping:
        return f"{told}, {patient} among them: these figures overstate"
    return f"{told}, without {patient}"


def _figures(test: _Test, judged: Sequence[Judged], folder: Path) -> tuple[str, ...]:
    """Confusion matrix and learning curves of the run; names of the files."""
    together = _together(test.split.test)
    stem, title = test.stem(together), f"{test.title} · {together.replace('-', ' ')}"
    pooled = pooled_metrics(judged, len(test.classes))
    names = [picture_name(stem, test.version, "confusion")]
    confusion_figure(pooled, test.classes, folder / names[0], title=title)
    history = test.run.history()
    if len(history.epochs) > 1:
        names.append(picture_name(stem, test.version, "curves"))
        who = ", ".join(
            f"{_patients(len(patients))} {doing}"
            for doing, patients in (
                ("trained", test.split.patients_of("train")),
                ("validated", test.split.patients_of("validation")),
            )
            if patients
        )
        subtitle = f"{who} · {history.stopped}"
        learning_curves(history, folder / names[1], title=f"{test.title} · learning curves", subtitle=subtitle)
    return tuple(names)


def _record(
    test: _Test,
    judged: Sequence[Judged],
    pictures: Mapping[str, tuple[str, ...]],
    figures: tuple[str, ...],
) -> EvaluationRecord:
    count = len(test.classes)
    patients = {
        patient: pooled_metrics([one for one in judged if one.patient == patient], count)
        for patient in test.split.patients_of("test")
    }
    return EvaluationRecord(
        gliomap=__version__,
        run=test.run.record.name,
        model=test.title,
        graph=hashlib.sha256(test.engine.bundle.cube_graph).hexdigest(),
        protocol=test.split.protocol,
        split=test.split.fingerprint,
        same_patient=test.overlapping,
        classes=test.classes,
        version=test.version,
        pooled=pooled_metrics(judged, count),
        patients=patients,
        intervals=_intervals(list(patients.values()), test.classes),
        captures={
            one.capture: CaptureRecord(
                patient=one.patient,
                metrics=one.metrics,
                false_tumour=one.false_tumour,
                predictions=f"{PREDICTIONS}/{one.capture}.npz",
                pictures=pictures[one.capture],
            )
            for one in judged
        },
        pictures=figures,
    )


def _intervals(patients: Sequence[Metrics], classes: ClassSet) -> dict[str, Interval | None]:
    """Metric → mean and interval over patients, for the figures that matter most."""
    values = {
        "overall accuracy": [found.overall_accuracy for found in patients],
        "balanced accuracy": [found.balanced_accuracy for found in patients],
        "macro F1": [found.macro_f1 for found in patients],
        "MCC": [found.mcc for found in patients],
    }
    for index in tumour_indices(classes):
        values[f"{classes.names[index - 1]} sensitivity"] = [found.classes[index - 1].sensitivity for found in patients]
    return {name: interval_over_patients(found) for name, found in values.items()}


def _carry_pictures(old: Path, fresh: Path) -> int:
    """Copy the pictures of earlier evaluations into the new folder; how many."""
    pictures = sorted(old.glob("*_version_*.png")) if old.is_dir() else []
    for picture in pictures:
        shutil.copyfile(picture, fresh / picture.name)
    return len(pictures)


def _patients(count: int) -> str:
    return f"{count} patient{'s' if count != 1 else ''}"


def _together(captures: Sequence[str]) -> str:
    """One word for all captures of a test."""
    return captures[0] if len(captures) == 1 else f"{len(captures)}-captures"
