"""A training in several folds: each is a run folder inside the whole run's; a finished fold is never trained again."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterable, MutableMapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from gliomap._files import atomic_folder
from gliomap._progress import Track, silent
from gliomap._text import counted
from gliomap.errors import RunError
from gliomap.learning import Observer, PatchSource, no_observer, predict
from gliomap.tracking import (
    FOLDS,
    RECORD,
    RUNNING,
    RUNS,
    SAID_NONE,
    SAID_NOTHING,
    SPLITS,
    Run,
    RunRecord,
    Tracking,
    TrainingTimes,
    finish_folder,
    lock_folder,
    mirrored,
    open_run,
    read_record,
    refuse_run,
    write_record,
)
from gliomap.workflows._claim import agreed_store, differences, taken
from gliomap.workflows._folds_plan import FINAL, FoldsPlan
from gliomap.workflows._pixels import CachedCube, read_pixels, role_pixels
from gliomap.workflows._plan import TrainingPlan
from gliomap.workflows._stopwatch import Stopwatch
from gliomap.workflows._train_one import first_record, run_training

__all__ = ["run_folds"]

logger = logging.getLogger(__name__)

_OF_EACH_FOLD = ("study", "split", "package versions")
"""Differences that a fold trained elsewhere may have: its split was matched by fingerprint and covers the study's files, and
it may come from another machine."""


def run_folds(
    plan: FoldsPlan,
    *,
    out: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    trained: Path | None = None,
    observer: Observer = no_observer,
    track: Track = silent,
    tracking: Tracking = SAID_NOTHING,
) -> Path:
    """Train every fold of a plan and, if the plan has one, the model on all patients.

    During training the folder is called `running_…`. `resume` continues with the first unfinished fold, from that fold's
    checkpoint. `trained` contains run folders of single folds that were trained elsewhere, identified by their splits; they
    are copied and not trained again. If one of them was not to be tracked, the whole run is not tracked either, unless
    `tracking` names a store.

    Parameters
    ----------
    plan
        A plan made by `plan_folds`.
    out, resume, overwrite, observer, track, tracking
        As of `train`.
    trained
        Folder with folds that need no training.

    Raises
    ------
    OutputExistsError
        `out` exists.
    RunError
        There is nothing to resume, another process is training in the folder, or a run in `trained` is not a fold of
        this training.
    ModelError, StudyError, CubeError, CaptureError
        Nothing can be learned from the captures.
    """
    started, begun = time.monotonic(), datetime.now(UTC)
    if out is not None:
        refuse_run(out, overwrite=overwrite, resume=resume)
    cache: dict[str, CachedCube] = {}
    watch = Stopwatch()
    with watch("preparing"):
        record = _record(plan, begun, track, cache)
    given = {} if trained is None else _given(plan, trained, record)
    if not tracking.named and not all(run.record.tracked for run in given.values()):
        tracking = SAID_NONE
    folder = taken(plan.study.root / RUNS, plan.base_name(), out, record, tracking, resume=resume)
    with lock_folder(folder), mirrored(folder, agreed_store(folder, tracking)) as mirror:
        record = read_record(folder)
        try:
            plan.folds.save(folder / SPLITS)
            _gather(given, folder)
            runs_of = _train_all(plan, folder, SAID_NOTHING if record.tracked else SAID_NONE, observer, track, cache)
            done = _outcome(plan, runs_of, cache) | {
                "seconds": round(
                    max(time.monotonic() - started, sum(one.record.seconds for one in runs_of.values())), 3
                ),
                "times": _times(plan.seconds, watch["preparing"], [run.record.times for run in runs_of.values()]),
            }
            write_record(folder, record.model_copy(update=done))
        except BaseException:
            _leave(folder)
            raise
        final = folder.with_name(record.name) if out is None else out
        finish_folder(folder, final, overwrite=overwrite)
        mirror.finish(final)
    logger.info("%s: %s", final, counted(len(plan.plans), "fold"))
    return final


def _outcome(plan: FoldsPlan, runs: dict[str, Run], cache: MutableMapping[str, CachedCube]) -> dict[str, object]:
    """What the whole run's record says about its folds."""
    chosen, kept, notes = _choose(plan, runs, cache)
    return {
        "status": "done",
        "finished_at": datetime.now(UTC),
        "chosen": chosen,
        "kept": kept,
        "notes": notes,
        "stopped": f"{counted(len(plan.plans), 'fold')} trained",
    }


def _record(plan: FoldsPlan, begun: datetime, track: Track, cache: MutableMapping[str, CachedCube]) -> RunRecord:
    data = read_pixels(plan.any, track, cache)
    record = first_record(plan.any, data, begun)
    fingerprint = record.study.model_copy(update={"fingerprint": plan.study_fingerprint()})
    return record.model_copy(
        update={
            "study": fingerprint,
            "protocol": plan.folds.protocol,
            "split_fingerprint": plan.folds.fingerprint,
            "hints": (*plan.hints, *data.doubts),
            "labelled": {},
            "masked": {},
            "ignored_codes": {},
            "folds": tuple(plan.plans),
        }
    )


def _times(loading: float, preparing: float, folds: Iterable[TrainingTimes | None]) -> TrainingTimes:
    """Times over all folds, including those that an earlier process finished."""
    known = [one for one in folds if one is not None]
    return TrainingTimes(
        loading_arguments=round(loading, 3),
        preparing_train_data=round(preparing + sum(one.preparing_train_data for one in known), 3),
        training=round(sum(one.training for one in known), 3),
    )


def _given(plan: FoldsPlan, trained: Path, record: RunRecord) -> dict[str, Run]:
    """Folds that were trained elsewhere; `record` is that of the whole run."""
    found: dict[str, Run] = {}
    names = {one.split.fingerprint: name for name, one in plan.trainings.items()}
    for path in sorted(trained.rglob(RECORD)):
        run = open_run(path.parent)
        name = names.get(run.record.split_fingerprint)
        if name is None:
            raise RunError(
                run.path, "is not a fold of this training", "Use the options with which the folds were trained."
            )
        wanted = record.model_copy(update={"training": plan.trainings[name].config})
        differing = [what for what in differences(run.record, wanted) if what not in _OF_EACH_FOLD]
        if differing:
            raise RunError(
                run.path,
                f"differs from this training in {', '.join(differing)}",
                "Use the options with which the folds were trained.",
            )
        found.setdefault(name, run)
    return found


def _gather(given: dict[str, Run], folder: Path) -> None:
    """Copy folds that were trained elsewhere to where `_train_all` finds them finished."""
    for name, run in given.items():
        place = folder / FOLDS / name
        if not place.exists():
            with atomic_folder(place) as temporary:
                shutil.copytree(run.path, temporary, dirs_exist_ok=True)


def _train_all(
    plan: FoldsPlan,
    folder: Path,
    tracking: Tracking,
    observer: Observer,
    track: Track,
    cache: MutableMapping[str, CachedCube],
) -> dict[str, Run]:
    plans = plan.trainings
    trained = {}
    for name in track(plans, "training folds", len(plans)):
        place = folder / FOLDS / name
        if place.exists():
            trained[name] = _finished(place, plans[name])
            continue
        running = place.with_name(RUNNING + name)
        if running.exists() and not (running / RECORD).exists():
            # The process ended after creating the folder but before writing its first record.
            shutil.rmtree(running)
        run_training(
            plans[name],
            out=place,
            resume=running.exists(),
            observer=observer,
            track=track,
            cache=cache,
            tracking=tracking,
        )
        trained[name] = open_run(place)
    return trained


def _finished(place: Path, plan: TrainingPlan) -> Run:
    run = open_run(place)
    if run.record.split_fingerprint != plan.split.fingerprint:
        raise RunError(place, "has another split than this training", "Delete it, or train without --resume.")
    return run


def _choose(
    plan: FoldsPlan, trained: dict[str, Run], cache: MutableMapping[str, CachedCube]
) -> tuple[tuple[str, ...], str | None, tuple[str, ...]]:
    """The folds that are tested, the model that is kept, and notes about them."""
    protocol = plan.folds.protocol
    if protocol == "double-cv":
        return _choose_double(plan, trained, cache)
    if protocol == "pooled":
        return ("pooled",), "pooled", ()
    return tuple(plan.plans), None if plan.final is None else FINAL, ()


def _choose_double(
    plan: FoldsPlan, trained: dict[str, Run], cache: MutableMapping[str, CachedCube]
) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """The thesis's choice: from each outer fold the inner model that validated best; of those, the best on its test.

    It mixes patients twice: both the pixels that choose and the pixels that test lie beside pixels that train.
    """
    outers = sorted({name.split("-inner-")[0] for name in plan.plans})
    best = {
        outer: max(
            (name for name in plan.plans if name.startswith(f"{outer}-inner-")), key=lambda n: _validated(trained[n])
        )
        for outer in outers
    }
    scores = {name: _tested(plan.plans[name], trained[name], cache) for name in best.values()}
    kept = max(scores, key=lambda name: scores[name])
    note = (
        f"{kept} is kept because it was right on {scores[kept]:.1%} of its own test pixels, the highest share of"
        f" {len(scores)} outer folds: it was chosen by its test, and by pixels of patients it was trained on"
    )
    return tuple(best.values()), kept, (note,)


def _validated(run: Run) -> float:
    """Accuracy on the validation pixels, at the epoch whose weights were kept."""
    history = run.history()
    found = next(epoch for epoch in history.epochs if epoch.epoch == history.best_epoch)
    return -1.0 if found.validation_accuracy is None else found.validation_accuracy


def _tested(plan: TrainingPlan, run: Run, cache: MutableMapping[str, CachedCube]) -> float:
    """Accuracy on the fold's test pixels."""
    cubes = {capture: cache[capture].cube for capture in plan.split.test}
    chosen = role_pixels(plan.split, cubes, "test")
    source = PatchSource(
        [cubes[one] for one in plan.split.test],
        plan.kind.window,
        pixels=[chosen[one] for one in plan.split.test],
    )
    labels = predict(run.model(), source).argmax(axis=1) + 1
    return float(np.mean(labels == source.labels))


def _leave(folder: Path) -> None:
    """Keep what can be resumed; remove a folder in which nothing has been trained yet."""
    if any((folder / FOLDS).glob("*")):
        logger.warning("stopped; finished folds are kept in %s: repeat the command with --resume", folder)
    else:
        logger.warning("stopped before anything was trained; nothing was kept")
        shutil.rmtree(folder, ignore_errors=True)
