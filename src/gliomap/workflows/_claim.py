"""The folder of an unfinished training: created, or found again."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from gliomap.errors import OutputExistsError, RunError
from gliomap.tracking import RECORD, RUNNING, RunRecord, Store, Tracking, read_record, write_record

__all__ = ["agreed_store", "differences", "taken"]

logger = logging.getLogger(__name__)


def taken(
    runs: Path, base: str, out: Path | None, record: RunRecord, tracking: Tracking, *, resume: bool = False
) -> Path:
    """The running folder of a training that starts or resumes: beside `out`, or in `runs`.

    Raises
    ------
    OutputExistsError
        An unfinished training for `out` exists.
    RunError
        There is no training to resume; the message says how the unfinished ones differ.
    """
    if resume:
        return _unfinished(runs, base, out, record)
    return _claimed(runs, base, out, record.model_copy(update={"tracked": tracking.remembered(True)}))


def agreed_store(folder: Path, tracking: Tracking) -> Store | None:
    """Where the training in a running folder is mirrored; a store or 'none' named now overrides the record.

    Only the process that holds the folder may call this.
    """
    record = read_record(folder)
    tracked = tracking.remembered(record.tracked)
    if tracked != record.tracked:
        write_record(folder, record.model_copy(update={"tracked": tracked}))
    return tracking.store if tracked else None


def _claimed(runs: Path, base: str, out: Path | None, record: RunRecord) -> Path:
    """A new running folder with its record; in `runs` it gets the next free number."""
    if out is not None:
        folder = out.with_name(RUNNING + out.name)
        try:
            folder.mkdir(parents=True)
        except FileExistsError as error:
            raise OutputExistsError(
                folder,
                "is an unfinished training",
                "Add --resume to continue it, delete it, or choose another -o.",
            ) from error
        _begin(folder, record.model_copy(update={"name": out.name}))
        return folder
    number = 1
    while True:
        name = f"{base}_{number}"
        folder = runs / f"{RUNNING}{name}"
        if not (runs / name).exists():
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                logger.info("%s is an unfinished training; --resume continues it", folder)
            else:
                if not (runs / name).exists():
                    break
                folder.rmdir()  # another training with that name has just ended
        number += 1
    _begin(folder, record.model_copy(update={"name": name, "version": number}))
    return folder


def _begin(folder: Path, record: RunRecord) -> None:
    """Write the first record; on failure delete the folder, which could be neither resumed nor used without one."""
    try:
        write_record(folder, record)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _unfinished(runs: Path, base: str, out: Path | None, record: RunRecord) -> Path:
    """The running folder of exactly this training."""
    found = [out.with_name(RUNNING + out.name)] if out is not None else sorted(runs.glob(f"{RUNNING}{base}_*"))
    others = []
    for folder in found:
        if not (folder / RECORD).exists():
            continue
        differing = differences(read_record(folder), record)
        if not differing:
            return folder
        others.append(f"{folder.name} differs in {', '.join(differing)}")
    raise RunError(
        runs if out is None else out,
        f"has no unfinished training with these options to resume ({'; '.join(others) or 'none is unfinished'})",
        "Omit --resume to train from the start.",
    )


def differences(old: RunRecord, new: RunRecord) -> list[str]:
    """The aspects in which two records describe different trainings."""
    pairs = {
        "study": (old.study.fingerprint, new.study.fingerprint),
        "split": (old.split_fingerprint, new.split_fingerprint),
        "sensor": (_camera(old), _camera(new)),
        "preprocessing": (old.preprocessing, new.preprocessing),
        "model": (old.model, new.model),
        "classes": (old.classes, new.classes),
        "settings": (old.training, new.training),
        "package versions": (old.environment.packages, new.environment.packages),
    }
    return [name for name, (one, other) in pairs.items() if one != other]


def _camera(record: RunRecord) -> tuple[str, str] | None:
    """Name and fingerprint of the camera, whether the study or the command named it."""
    return None if record.sensor is None else (record.sensor.name, record.sensor.fingerprint)
