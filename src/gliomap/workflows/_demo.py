"""Demo: the whole workflow on a phantom study, from nothing to a tissue map."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gliomap._files import refuse_existing, set_aside, write_json
from gliomap._progress import Track, silent
from gliomap.evaluation import EvaluationRecord, contact_sheet
from gliomap.phantom import make_phantom
from gliomap.sensors import MosaicSensor
from gliomap.studies import open_study
from gliomap.workflows._bundle import make_bundle
from gliomap.workflows._classify import Classification, ClassifyOptions, classify
from gliomap.workflows._evaluate import evaluate
from gliomap.workflows._inputs import StudyCapture
from gliomap.workflows._train import train

__all__ = ["Demo", "demo"]

logger = logging.getLogger(__name__)

RECORD = "demo.json"
STUDY, SHEET, RUN, BUNDLE, RESULT = "study", "patients.png", "run", "bundle", "result"
STEPS = 5


@dataclass(frozen=True, eq=False)
class Demo:
    """The output of a demo.

    Attributes
    ----------
    folder, study, sheet, run, bundle, result
        Paths: of everything, the phantom study and its contact sheet, the run with its evaluation,
        the bundle, the classified frame.
    capture, patient
        The capture and patient that were held out and classified.
    evaluation
        Figures for the held-out patient.
    pictures
        Pictures of the evaluation by file name.
    classification
        The map of the held-out patient's raw frame.
    seconds
        Wall time of each step.
    """

    folder: Path
    study: Path
    sheet: Path
    run: Path
    bundle: Path
    result: Path
    capture: str
    patient: str
    evaluation: EvaluationRecord
    pictures: tuple[Path, ...]
    classification: Classification
    seconds: dict[str, float]


def demo(
    out: str | Path,
    *,
    patients: int = 6,
    seed: int = 0,
    difficulty: str = "moderate",
    sensor: MosaicSensor | None = None,
    settings: Mapping[str, Any] | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    track: Track = silent,
) -> Demo:
    """Make a phantom study, train on all patients but the last, evaluate, bundle, classify a raw frame.

    If the demo fails or is interrupted, its output is removed, and an earlier demo stays.

    Parameters
    ----------
    out
        Folder for all output.
    patients, seed, difficulty, sensor
        Parameters of the phantom; see `gliomap.phantom.make_phantom`.
    settings
        Settings that override the training's defaults; see `gliomap.learning.TrainingConfig`.
    threads
        Threads for training and engine.
    overwrite
        Replace an earlier demo.
    track
        Receives the progress of the work; steps are logged.

    Raises
    ------
    OutputExistsError
        `out` exists.
    UsageError
        `out` exists but is not a demo, so overwriting would delete something else.
    """
    folder = Path(out)
    refuse_existing(folder, overwrite=overwrite, mark=RECORD)
    with set_aside(folder):
        folder.mkdir(parents=True)
        write_json(folder / RECORD, {"status": "running"})
        made = _make(folder, patients, seed, difficulty, sensor, dict(settings or {}), threads, track)
        write_json(folder / RECORD, _record(made))
    return made


def _make(
    folder: Path,
    patients: int,
    seed: int,
    difficulty: str,
    sensor: MosaicSensor | None,
    settings: dict[str, Any],
    threads: int | None,
    track: Track,
) -> Demo:
    seconds: dict[str, float] = {}
    overrides = settings if threads is None else {"threads": threads, **settings}
    with _step(1, f"{patients} synthetic patients, {difficulty}", "phantom", seconds):
        study = make_phantom(
            folder / STUDY, patients=patients, seed=seed, difficulty=difficulty, sensor=sensor, track=track
        )
        contact_sheet(open_study(study), folder / SHEET, track=track)
    opened = open_study(study)
    capture = opened.capture_ids[-1]
    patient = opened.patient_of(capture)
    with _step(2, f"training Conv2DNet on {patients - 1} of them, without {patient}", "train", seconds):
        run = train(
            study,
            out=folder / RUN,
            model="conv2d",
            test_patients=[patient],
            seed=seed,
            overrides=overrides,
            track=track,
        )
    with _step(3, f"evaluating it on {patient}", "evaluate", seconds):
        evaluated = evaluate(run, threads=threads, track=track)
    with _step(4, "writing a bundle and checking its graphs against the network", "bundle", seconds):
        bundle = make_bundle(run, folder / BUNDLE, threads=threads, track=track)
    with _step(5, f"classifying the raw frame of {patient}", "classify", seconds):
        source, options = StudyCapture(study, capture), ClassifyOptions(threads=threads)
        classification = classify(bundle.path, source, out=folder / RESULT, options=options)
    record = evaluated.record
    names = (*record.captures[capture].pictures, *record.pictures)
    return Demo(
        folder=folder,
        study=study,
        sheet=folder / SHEET,
        run=run,
        bundle=bundle.path,
        result=folder / RESULT,
        capture=capture,
        patient=patient,
        evaluation=record,
        pictures=tuple(evaluated.folder / name for name in names),
        classification=classification,
        seconds=seconds,
    )


@contextmanager
def _step(number: int, what: str, name: str, seconds: dict[str, float]) -> Iterator[None]:
    logger.info("%d/%d %s", number, STEPS, what)
    begun = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - begun, 3)


def _record(made: Demo) -> dict[str, Any]:
    return {
        "status": "done",
        "capture": made.capture,
        "patient": made.patient,
        "seconds": made.seconds,
        "bundle": made.classification.result.bundle.identity,
        "pictures": [str(path.relative_to(made.folder)) for path in made.pictures],
    }
