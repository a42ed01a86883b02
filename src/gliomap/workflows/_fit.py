"""Fits a model to the pixels of a plan."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from gliomap._progress import Track, silent
from gliomap._text import counted
from gliomap.learning import History, Observer, TissueModel, build_model, no_observer
from gliomap.tracking import CHECKPOINT, REFIT_CHECKPOINT
from gliomap.workflows._pixels import TrainingPixels
from gliomap.workflows._plan import TrainingPlan

__all__ = ["fit_plan", "untrained"]

logger = logging.getLogger(__name__)


def fit_plan(
    plan: TrainingPlan,
    data: TrainingPixels,
    *,
    folder: Path | None = None,
    observer: Observer = no_observer,
    track: Track = silent,
) -> tuple[TissueModel, History]:
    """Train; if validation patients chose the number of epochs, train again from scratch for that many on all patients.

    Parameters
    ----------
    folder
        Folder for checkpoints; without it none are written.

    Raises
    ------
    ModelError
        Nothing can be learned from the pixels.
    """
    model = untrained(plan, data)
    history = model.fit(
        data.training,
        data.validation,
        plan.config,
        checkpoint=None if folder is None else folder / CHECKPOINT,
        observer=observer,
        track=track,
    )
    config = plan.config
    if not plan.kind.iterative or not config.refit or config.patience is None or data.validation is None:
        return model, history
    patients = {*plan.split.patients_of("train"), *plan.split.patients_of("validation")}
    stopped = f"{history.stopped}; retrained on all {len(patients)} patients for {counted(history.best_epoch, 'epoch')}"
    logger.info("retraining on all %d patients for %s", len(patients), counted(history.best_epoch, "epoch"))
    model = untrained(plan, data)
    again = model.fit(
        data.everything(),
        None,
        config.with_overrides({"epochs": history.best_epoch, "patience": None}),
        checkpoint=None if folder is None else folder / REFIT_CHECKPOINT,
        track=track,
    )
    return model, replace(history, refit=again.epochs, notes=again.notes, stopped=stopped)


def untrained(plan: TrainingPlan, data: TrainingPixels) -> TissueModel:
    """The plan's model before training.

    Raises
    ------
    UsageError, ModelError, MissingExtraError
        As `build_model`.
    """
    return build_model(
        plan.kind.name, data.training.n_bands, len(plan.classes), seed=plan.config.seed, hidden=plan.hidden
    )
