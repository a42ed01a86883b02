"""One training: turns a plan into a run folder."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import MutableMapping
from datetime import UTC, datetime
from pathlib import Path

from gliomap._progress import Track, silent
from gliomap.learning import History, Observer, no_observer, save_model
from gliomap.studies import ROLES
from gliomap.tracking import (
    CHECKPOINT,
    MODEL,
    RUNS,
    SAID_NOTHING,
    SPLIT,
    ModelRecord,
    RunRecord,
    SensorRecord,
    StudyRecord,
    Tracking,
    TrainingTimes,
    environment,
    finish_folder,
    journal,
    lock_folder,
    mirrored,
    read_record,
    refuse_run,
    write_history,
    write_record,
)
from gliomap.workflows._claim import agreed_store, taken
from gliomap.workflows._fit import fit_plan, untrained
from gliomap.workflows._pixels import CachedCube, TrainingPixels, read_pixels
from gliomap.workflows._plan import TrainingPlan
from gliomap.workflows._stopwatch import Stopwatch

__all__ = ["first_record", "run_training"]

logger = logging.getLogger(__name__)


def run_training(
    plan: TrainingPlan,
    *,
    out: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    observer: Observer = no_observer,
    track: Track = silent,
    cache: MutableMapping[str, CachedCube] | None = None,
    tracking: Tracking = SAID_NOTHING,
) -> Path:
    """Carry out the plan of a single fold; parameters as of `train`, `cache` as of `read_pixels`.

    During training the folder is called `running_…`. If the process is interrupted or killed, that folder is kept if it
    holds a checkpoint, and `resume` continues from there to the same result.

    Raises
    ------
    OutputExistsError
        `out` exists.
    RunError
        There is nothing to resume, or another process is training in the folder.
    ModelError, StudyError, CubeError, CaptureError
        Nothing can be learned from the captures.
    """
    started, begun = time.monotonic(), datetime.now(UTC)
    if out is not None:
        refuse_run(out, overwrite=overwrite, resume=resume)
    watch = Stopwatch()
    with watch("preparing"):
        data = read_pixels(plan, track, cache)
    # A model that cannot be built is refused before a folder is created.
    untrained(plan, data)
    record = first_record(plan, data, begun)
    name, runs = plan.base_name(), plan.study.root / RUNS
    folder = taken(runs, name, out, record, tracking, resume=resume)
    with lock_folder(folder), mirrored(folder, agreed_store(folder, tracking)) as mirror:
        record = read_record(folder)
        try:
            plan.split.save(folder / SPLIT)
            with watch("training"), journal(folder, observer) as writing:
                model, history = fit_plan(plan, data, folder=folder, observer=writing, track=track)
                save_model(model, folder / MODEL)
            # In a resumed training, earlier processes trained some of the epochs.
            epochs = sum(one.seconds for one in (*history.epochs, *history.refit))
            times = TrainingTimes(
                loading_arguments=None if plan.seconds is None else round(plan.seconds, 3),
                preparing_train_data=watch["preparing"],
                training=round(max(watch["training"], epochs), 3),
            )
            seconds = max(time.monotonic() - started, watch["preparing"] + epochs)
            _write_result(folder, history, record, seconds, times)
        except BaseException:
            _leave(folder)
            raise
        final = folder.with_name(record.name) if out is None else out
        finish_folder(folder, final, overwrite=overwrite)
        mirror.finish(final)
    for note in history.notes:
        logger.warning(note)
    logger.info("%s: %s", final, history.stopped)
    return final


def first_record(plan: TrainingPlan, data: TrainingPixels, begun: datetime) -> RunRecord:
    """The record at the start of training, still without a name."""
    sensor = plan.sensor
    return RunRecord(
        name="",
        version=1,
        protocol=plan.split.protocol,
        started_at=begun,
        study=StudyRecord(
            name=plan.study.name,
            path=str(plan.study.root.resolve()),
            fingerprint=plan.study_fingerprint(),
            synthetic=bool(plan.study.settings.synthetic),
        ),
        sensor=None
        if sensor is None
        else SensorRecord(name=sensor.name, fingerprint=sensor.fingerprint(), given=plan.sensor_given),
        preprocessing=plan.study.preprocessing,
        wavelengths_nm=data.wavelengths_nm,
        model=ModelRecord(
            name=plan.kind.name,
            title=plan.kind.title,
            window=plan.kind.window,
            n_bands=data.training.n_bands,
            hidden=plan.hidden,
        ),
        classes=plan.classes,
        training=plan.config,
        split_fingerprint=plan.split.fingerprint,
        hints=(*plan.hints, *data.doubts),
        labelled={"test": plan.counts("test"), **{role: dict(counts) for role, counts in data.used.items()}},
        masked=dict(data.masked),
        ignored_codes={role: codes for role in ROLES if (codes := plan.ignored_codes(role))},
        environment=environment(),
    )


def _write_result(folder: Path, history: History, record: RunRecord, seconds: float, times: TrainingTimes) -> None:
    write_history(folder, history)
    done = record.model_copy(
        update={
            "status": "done",
            "finished_at": datetime.now(UTC),
            "notes": history.notes,
            "epochs": len(history.epochs),
            "best_epoch": history.best_epoch,
            "stopped": history.stopped,
            "seconds": round(seconds, 3),
            "times": times,
        }
    )
    write_record(folder, done)


def _leave(folder: Path) -> None:
    """Keep an interrupted training that can be resumed; remove one without a checkpoint."""
    if (folder / CHECKPOINT).exists():
        logger.warning("stopped; the training so far is kept in %s: repeat the command with --resume", folder)
    else:
        logger.warning("stopped before the first checkpoint; nothing was kept")
        shutil.rmtree(folder, ignore_errors=True)
