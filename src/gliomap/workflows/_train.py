"""Train: a study folder becomes a run folder."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Unpack

from gliomap._files import refuse_existing
from gliomap._progress import Track, silent
from gliomap.errors import OutputExistsError, RunError
from gliomap.learning import (
    History,
    Observer,
    TissueModel,
    build_model,
    no_observer,
    save_model,
)
from gliomap.workflows._pixels import TrainingPixels, read_pixels
from gliomap.workflows._plan import TrainingOptions, TrainingPlan, plan_training
from gliomap.workflows._runs import (
    CHECKPOINT,
    MODEL,
    RECORD,
    REFIT_CHECKPOINT,
    ROLES,
    RUNNING,
    RUNS,
    SPLIT,
    ModelRecord,
    RunRecord,
    SensorRecord,
    StudyRecord,
    environment,
    finish_folder,
    lock_folder,
    read_record,
    write_history,
    write_record,
)

__all__ = ["run_training", "train"]

logger = logging.getLogger(__name__)


def train(
    study_path: str | Path,
    *,
    out: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    observer: Observer = no_observer,
    track: Track = silent,
    **options: Unpack[TrainingOptions],
) -> Path:
    """Train a model on a study and return the run folder.

    Parameters
    ----------
    study_path
        The study folder.
    out
        The run folder to make; by default STUDY/runs/MODEL_PROTOCOL_TESTED_N with the next free N.
    resume
        Go on with an unfinished training of exactly these options instead of starting anew.
    overwrite
        Replace a finished run at `out`, once this one has ended well.
    observer
        Called after each epoch of the first training, not of a second one on all patients.
    track
        Told how the work advances.
    **options
        See `TrainingOptions`.

    Raises
    ------
    GlioMapError
        As `plan_training` and `run_training`.
    """
    plan = plan_training(study_path, options, track)
    return run_training(plan, out=out, resume=resume, overwrite=overwrite, observer=observer, track=track)


def run_training(
    plan: TrainingPlan,
    *,
    out: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    observer: Observer = no_observer,
    track: Track = silent,
) -> Path:
    """Carry out a plan; parameters as of `train`.

    While it trains, the folder is called `running_…`. When the process is interrupted or killed, that
    folder stays if it holds a checkpoint, and `resume` goes on from there to the same result.

    Raises
    ------
    OutputExistsError
        `out` is there.
    RunError
        Nothing to resume, or the folder is being trained by another process.
    ModelError, StudyError, CubeError, CaptureError
        Captures that nothing can be learned from.
    """
    started, begun = time.monotonic(), datetime.now(UTC)
    if out is not None:
        refuse_existing(out, overwrite=overwrite)
    data = read_pixels(plan, track)
    model = _untrained(plan, data)
    record = _record(plan, data, begun)
    folder = _resumed(plan, out, record) if resume else _claimed(plan, out, record)
    record = read_record(folder)
    with lock_folder(folder):
        try:
            plan.split.save(folder / SPLIT)
            model, history = _fit(plan, data, model, folder, observer, track)
            _write_result(folder, model, history, record, time.monotonic() - started)
        except BaseException:
            _leave(folder)
            raise
        final = folder.with_name(record.name) if out is None else out
        finish_folder(folder, final, overwrite=overwrite)
    for note in history.notes:
        logger.warning(note)
    logger.info("%s after %d epochs: %s", final, len(history.epochs), history.stopped)
    return final


def _untrained(plan: TrainingPlan, data: TrainingPixels) -> TissueModel:
    return build_model(
        plan.kind.name, data.training.n_bands, len(plan.classes), seed=plan.config.seed, hidden=plan.hidden
    )


def _fit(
    plan: TrainingPlan, data: TrainingPixels, model: TissueModel, folder: Path, observer: Observer, track: Track
) -> tuple[TissueModel, History]:
    """Train; where validation patients chose the number of epochs, train afresh for that many on all patients."""
    history = model.fit(
        data.training,
        data.validation,
        plan.config,
        checkpoint=folder / CHECKPOINT,
        observer=observer,
        track=track,
    )
    config = plan.config
    if not plan.kind.iterative or not config.refit or config.patience is None or data.validation is None:
        return model, history
    patients = {*plan.split.patients_of("train"), *plan.split.patients_of("validation")}
    stopped = f"{history.stopped}; trained afresh on all {len(patients)} patients for {history.best_epoch} epochs"
    logger.info(stopped)
    model = _untrained(plan, data)
    again = model.fit(
        data.everything(),
        None,
        config.with_overrides({"epochs": history.best_epoch, "patience": None}),
        checkpoint=folder / REFIT_CHECKPOINT,
        track=track,
    )
    return model, replace(history, refit=again.epochs, notes=again.notes, stopped=stopped)


def _record(plan: TrainingPlan, data: TrainingPixels, begun: datetime) -> RunRecord:
    sensor = plan.sensor
    return RunRecord(
        name="",
        version=1,
        protocol=plan.split.protocol,
        started_at=begun,
        study=StudyRecord(
            name=plan.study.name, path=str(plan.study.root.resolve()), fingerprint=plan.study_fingerprint()
        ),
        sensor=None if sensor is None else SensorRecord(name=sensor.name, fingerprint=sensor.fingerprint()),
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
        hints=plan.hints,
        labelled={**{role: dict(counts) for role, counts in data.used.items()}, "test": plan.counts("test")},
        masked=dict(data.masked),
        ignored_codes={role: codes for role in ROLES if (codes := plan.ignored_codes(role))},
        environment=environment(),
    )


def _claimed(plan: TrainingPlan, out: Path | None, record: RunRecord) -> Path:
    """A new running folder with its record."""
    if out is not None:
        folder = out.with_name(RUNNING + out.name)
        if folder.exists():
            raise OutputExistsError(
                folder,
                "is an unfinished training",
                "Add --resume to go on with it, or delete it, or choose another -o.",
            )
        folder.mkdir(parents=True)
        _begin(folder, record.model_copy(update={"name": out.name}))
        return folder
    runs, base, number = plan.study.root / RUNS, plan.base_name(), 1
    while True:
        name = f"{base}_{number}"
        folder = runs / f"{RUNNING}{name}"
        if not (runs / name).exists():
            try:
                folder.mkdir(parents=True)
                break
            except FileExistsError:
                logger.info("%s is an unfinished training; --resume goes on with it", folder)
        number += 1
    _begin(folder, record.model_copy(update={"name": name, "version": number}))
    return folder


def _begin(folder: Path, record: RunRecord) -> None:
    """Write the first record; a folder without one could neither be resumed nor used, so it goes."""
    try:
        write_record(folder, record)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _resumed(plan: TrainingPlan, out: Path | None, record: RunRecord) -> Path:
    """The unfinished folder of exactly this training."""
    runs = plan.study.root / RUNS
    found = (
        [out.with_name(RUNNING + out.name)] if out is not None else sorted(runs.glob(f"{RUNNING}{plan.base_name()}_*"))
    )
    others = []
    for folder in found:
        if not (folder / RECORD).exists():
            continue
        differing = _differing(read_record(folder), record)
        if not differing:
            return folder
        others.append(f"{folder.name} differs in {', '.join(differing)}")
    raise RunError(
        runs if out is None else out,
        f"there is no unfinished training of these options to resume ({'; '.join(others) or 'none is unfinished'})",
        "Leave out --resume to train from the start.",
    )


def _differing(old: RunRecord, new: RunRecord) -> list[str]:
    """What makes two records those of different trainings."""
    pairs = {
        "study": (old.study.fingerprint, new.study.fingerprint),
        "split": (old.split_fingerprint, new.split_fingerprint),
        "sensor": (old.sensor, new.sensor),
        "preprocessing": (old.preprocessing, new.preprocessing),
        "model": (old.model, new.model),
        "classes": (old.classes, new.classes),
        "settings": (old.training, new.training),
        "package versions": (old.environment.packages, new.environment.packages),
    }
    return [name for name, (one, other) in pairs.items() if one != other]


def _write_result(folder: Path, model: TissueModel, history: History, record: RunRecord, seconds: float) -> None:
    save_model(model, folder / MODEL)
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
        }
    )
    write_record(folder, done)


def _leave(folder: Path) -> None:
    """Keep an interrupted training that can go on; remove one that has nothing to go on from."""
    if (folder / CHECKPOINT).exists():
        logger.warning("stopped; what was trained so far is in %s: give the same command with --resume", folder)
    else:
        logger.warning("stopped before the first checkpoint; nothing was kept")
        shutil.rmtree(folder, ignore_errors=True)
