"""Train: turns a study folder into a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from gliomap._progress import Track, silent
from gliomap.errors import UsageError
from gliomap.learning import Observer, no_observer
from gliomap.tracking import SAID_NOTHING, Tracking
from gliomap.workflows._folds_plan import FoldsPlan, plan_protocol
from gliomap.workflows._options import TrainingOptions
from gliomap.workflows._plan import TrainingPlan
from gliomap.workflows._train_folds import run_folds
from gliomap.workflows._train_one import run_training

__all__ = ["run_plan", "train"]


def train(
    study_path: str | Path,
    *,
    out: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    observer: Observer = no_observer,
    track: Track = silent,
    tracking: Tracking = SAID_NOTHING,
    **options: Unpack[TrainingOptions],
) -> Path:
    """Train a model on a study, with any protocol, and return the run folder.

    Parameters
    ----------
    study_path
        The study folder.
    out
        The run folder to create; by default STUDY/runs/MODEL_PROTOCOL_TESTED_N with the next free N.
    resume
        Continue an unfinished training with exactly these options instead of starting again.
    overwrite
        Replace a finished run at `out` once this one has succeeded.
    observer
        Called after each epoch of every first training, but not of a second one on all patients.
    track
        Receives the progress of the work.
    tracking
        Where the run is mirrored during training, and whether it remembers that; nowhere by default.
    **options
        See `TrainingOptions`.

    Raises
    ------
    GlioMapError
        As `plan_protocol`, `run_training` and `run_folds`.
    """
    plan = plan_protocol(study_path, options, track)
    return run_plan(
        plan, out=out, resume=resume, overwrite=overwrite, observer=observer, track=track, tracking=tracking
    )


def run_plan(
    plan: TrainingPlan | FoldsPlan,
    *,
    out: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    trained: Path | None = None,
    observer: Observer = no_observer,
    track: Track = silent,
    tracking: Tracking = SAID_NOTHING,
) -> Path:
    """Carry out a plan of either kind; parameters as of `train`, `trained` as of `run_folds`.

    Raises
    ------
    GlioMapError
        As `run_training` and `run_folds`.
    UsageError
        `trained` was given for a training with a single fold.
    """
    if isinstance(plan, FoldsPlan):
        return run_folds(
            plan,
            out=out,
            resume=resume,
            overwrite=overwrite,
            trained=trained,
            observer=observer,
            track=track,
            tracking=tracking,
        )
    if trained is not None:
        raise UsageError("--folds-from", "needs a training with several folds", "Omit it.")
    return run_training(
        plan, out=out, resume=resume, overwrite=overwrite, observer=observer, track=track, tracking=tracking
    )
