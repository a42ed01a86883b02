"""Evaluate: tests a run on the captures that it held out."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gliomap._files import atomic_folder, refuse_existing
from gliomap._progress import Track, silent
from gliomap.errors import RunError
from gliomap.evaluation import EvaluationRecord, FoldRecord, Judged, next_version, picture_stem, summarise
from gliomap.learning import LabelledCube
from gliomap.studies import Folds, SensorLike, Study
from gliomap.tracking import EVALUATION, METRICS, SUMMARY, Run, Store, mirrored, open_run, whole_run
from gliomap.workflows._evaluation_record import CaptureFinding, evaluation_record, fold_record, merged
from gliomap.workflows._fold_test import FoldTest, graph_engine
from gliomap.workflows._pixels import read_cube
from gliomap.workflows._stopwatch import Stopwatch
from gliomap.workflows._test_pictures import draw_capture, draw_confusion, draw_curves, save_predictions, together
from gliomap.workflows._trained_sensor import trained_sensor

__all__ = ["Evaluated", "evaluate"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Evaluated:
    """The output of an evaluation.

    Attributes
    ----------
    folder
        RUN/evaluation. It holds metrics.json (see `EvaluationRecord`) and summary.json, its few figures for tables of
        runs; predictions/CAPTURE.npz with `rows`, `columns`, `true`, `predicted` (classes; 0 = not classified) and
        `probabilities` (N×C) of the labelled pixels in column-major order; maps/CAPTURE.npz with `labels`,
        `confidence`, `truth` and `rgb` of the whole frame; and pictures, named as in the thesis: per capture the map
        beside ground truth and synthetic RGB, and the overlay; the confusion matrix; learning curves if training had
        epochs.
    record
        The content of metrics.json; `record_tables` turns it into tables.
    """

    folder: Path
    record: EvaluationRecord


def evaluate(
    run_folder: str | Path,
    *,
    study: str | Path | None = None,
    sensor: SensorLike | None = None,
    palette: str = "classic",
    threads: int | None = None,
    overwrite: bool = False,
    track: Track = silent,
    store: Store | None = None,
) -> Evaluated:
    """Test a run on its test captures, fold by fold, and write RUN/evaluation.

    Each fold tests what it held out. Over all folds of 'lopo', 'kfold-patient' and 'double-cv', each labelled pixel is
    therefore tested once, by a model that was not trained on it. The tested graph is the one that a bundle of this run
    ships. Before anything is tested, the study is compared with the split's fingerprint.

    Parameters
    ----------
    run_folder
        A finished run.
    study
        The study's folder, if it was moved; by default where the run found it.
    sensor
        The run's sensor, if study.toml does not name it and the registry does not have it under its name.
    palette
        'classic' or 'safe'.
    threads
        Threads for the engine.
    overwrite
        Replace an earlier evaluation. Its pictures are kept; the new ones take the next version number.
    track
        Receives the progress of the work.
    store
        Where the run and its evaluation are mirrored; nowhere by default.

    Raises
    ------
    OutputExistsError
        The run was already evaluated.
    RunError
        The run is unfinished or damaged, or holds nothing out.
    StudyError, LeakageError
        The study is not the one that the run was trained on; a patient is in both training and test.
    ExportMismatchError
        The exported graph does not compute what the model computes.
    """
    run = open_run(run_folder)
    folder = run.path / EVALUATION
    refuse_existing(folder, overwrite=overwrite)
    folds = run.folds()
    if not folds.first.test:
        raise RunError(run.path, "holds out no capture", "Train with --test-patient or --test-capture.")
    where = folds.verify(run.study(study), track)
    tests = _Tests(run, folds, where, sensor, threads, track)
    with mirrored(whole_run(run.path), store) as mirror:
        with atomic_folder(folder, overwrite=overwrite) as fresh:
            kept = _carry_pictures(folder, fresh)
            record = _test_all(tests, fresh, palette)
            record.save(fresh / METRICS)
            summarise(record).save(fresh / SUMMARY)
        mirror.finish(whole_run(run.path))
    if kept:
        logger.info("%d pictures of earlier evaluations were kept in %s", kept, folder)
    return Evaluated(folder, record)


@dataclass(frozen=True, eq=False)
class _Tests:
    """The folds of a run that are tested."""

    run: Run
    folds: Folds
    study: Study
    sensor: SensorLike | None
    threads: int | None
    track: Track

    @property
    def captures(self) -> tuple[str, ...]:
        """All captures that any fold tests, sorted."""
        return tuple(sorted({capture for split in self.folds.splits.values() for capture in split.test}))

    def __iter__(self) -> Iterator[FoldTest]:
        """Yield one fold at a time, because a network's engine takes some memory."""
        camera = trained_sensor(self.run, self.study, self.sensor)
        cubes: dict[str, LabelledCube] = {}
        if self.folds.first.pixels is not None:
            wanted = self.track(self.captures, "Reading captures", len(self.captures))
            record = self.run.record
            cubes = {
                capture: read_cube(
                    self.study, capture, self.folds.patients[capture], camera, record.classes, record.preprocessing
                ).cube
                for capture in wanted
            }
        for name, run in self.run.tested().items():
            split = self.folds.splits[name] if name else self.folds.first
            engine = graph_engine(run, self.threads, self.track)
            yield FoldTest(name, run, split, self.study, camera, engine, cubes, Stopwatch())


def _test_all(tests: _Tests, folder: Path, palette: str) -> EvaluationRecord:
    """Test every fold, and write predictions, maps and pictures."""
    run, classes = tests.run, tests.run.record.classes
    stems = [
        picture_stem(run.record.model.title, one, run.record.protocol)
        for one in (*tests.captures, *run.record.chosen, together(tests.captures))
    ]
    version = next_version(folder, stems)
    findings: dict[str, CaptureFinding] = {}
    records: list[FoldRecord] = []
    curves: list[str] = []
    count = len(run.tested())
    for fold in tests.track(tests, "Testing folds", count) if count > 1 else tests:
        mine: list[Judged] = []
        within = fold.split.test if count > 1 else tests.track(fold.split.test, "Testing captures")
        for capture in within:
            tested = fold.test(capture)
            mine.append(tested.judged)
            findings[capture] = findings.get(capture, CaptureFinding()).with_test(tested)
            # If several folds test a capture, the kept model's map is drawn.
            if not findings[capture].pictures or fold.name == run.record.kept:
                with fold.watch("drawing"):
                    pictures = draw_capture(fold, tested, folder, palette=palette, version=version)
                findings[capture] = replace(findings[capture], pictures=pictures)
        records.append(fold_record(fold, mine))
        curves += draw_curves(fold, fold.name or together(tests.captures), folder, version)
    captures = {capture: merged(finding.judged, classes) for capture, finding in sorted(findings.items())}
    for judged in captures.values():
        save_predictions(folder, judged)
    record = evaluation_record(tests.run, tests.folds, records, captures, findings, version)
    confusion = draw_confusion(run, tests.captures, record.pooled, folder, version)
    return record.model_copy(update={"pictures": (confusion, *curves)})


def _carry_pictures(old: Path, fresh: Path) -> int:
    """Copy the pictures of earlier evaluations into the new folder; return their number."""
    pictures = sorted(old.glob("*_version_*.png")) if old.is_dir() else []
    for picture in pictures:
        shutil.copyfile(picture, fresh / picture.name)
    return len(pictures)
