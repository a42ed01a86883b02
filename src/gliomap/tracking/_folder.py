"""A run folder during training: held by one process, and renamed at the end; and folders that are not runs."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gliomap._files import put_in_place, refuse_existing
from gliomap._text import command_line
from gliomap.errors import OutputExistsError, RunError
from gliomap.tracking._names import CHECKPOINT, FOLDS, LOCK, RECORD, REFIT_CHECKPOINT, RUNNING

__all__ = [
    "alone_in",
    "finish_folder",
    "is_held",
    "is_trained_now",
    "lock_folder",
    "no_run",
    "refuse_run",
    "unfinished_folder",
]

logger = logging.getLogger(__name__)

UNFINISHED = "Repeat the training command with --resume, or wait until the training ends."
"""The remedy for a run that is not finished."""


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold a running folder for this process; the system releases it when the process ends, however it ends.

    Raises
    ------
    RunError
        Another process is training there.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if sys.platform != "win32":
            try:
                _take(descriptor)
            except BlockingIOError as error:
                raise RunError(folder, "is being trained by another process", "Wait until that one ends.") from error
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> None:
    """Lock a file for this process alone, or raise `BlockingIOError` if another process holds it."""
    import fcntl

    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            # This raises if a training holds the lock, but not if `is_held` does, which releases it in a moment.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def is_held(folder: Path) -> bool:
    """Whether a process trains in a running folder; True if that cannot be determined."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True
    try:
        # Shared: this needs no write permission, and two processes asking at once do not mistake each other for a training.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def is_trained_now(folder: Path) -> bool:
    """Whether a process holds a running folder, or the run that it is a fold of."""
    return is_held(folder) or (folder.parent.name == FOLDS and is_held(folder.parent.parent))


def unfinished_folder(folder: Path) -> Path | None:
    """The folder of an unfinished run that will be called `folder` when it is finished; None if there is none."""
    if folder.name in ("", ".."):
        return None
    running = folder.with_name(RUNNING + folder.name)
    return running if (running / RECORD).is_file() else None


def no_run(folder: Path, remedy: str = "Give a run folder made by `gliomap train`.") -> RunError:
    """The error for a folder that should be a run but has no run.json."""
    running = unfinished_folder(folder)
    if folder.is_dir():
        return RunError(folder, f"holds no {RECORD}", remedy)
    if folder.is_file():
        around = folder.parent
        return RunError(folder, "is a file", f"Give its folder: {around}." if (around / RECORD).is_file() else remedy)
    if running is not None:
        return RunError(folder, f"is not finished; until then it is called {running.name}", UNFINISHED)
    return RunError(folder, "does not exist", remedy)


def refuse_run(out: Path, *, overwrite: bool, resume: bool) -> None:
    """Raise if a training may not become the run `out`.

    Parameters
    ----------
    out
        The run's folder.
    overwrite
        Replace an earlier run.
    resume
        Whether the training continues an interrupted one.

    Raises
    ------
    OutputExistsError
        `out` exists, and `overwrite` is False.
    UsageError
        `out` is something other than a run.
    """
    if resume and not overwrite and (out / RECORD).is_file() and unfinished_folder(out) is None:
        raise OutputExistsError(
            out,
            "is finished, so there is nothing to resume",
            f"See it with `{command_line('runs', 'show', out)}`; to train it again, give --overwrite instead of --resume.",
        )
    refuse_existing(out, overwrite=overwrite, mark=RECORD)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process holds this folder; the system releases it when the process ends.

    If folders cannot be locked, as on some network drives, this does not wait.
    """
    with ExitStack() as left:
        if sys.platform != "win32":
            import fcntl

            try:
                descriptor = os.open(folder, os.O_RDONLY)
                left.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError as error:
                logger.debug("%s cannot be locked: %s", folder, error)
        yield


def finish_folder(running: Path, final: Path, *, overwrite: bool) -> None:
    """Give a running folder its final name, and delete what only training needed.

    Parameters
    ----------
    running, final
        Its present and its final path.
    overwrite
        Replace an earlier run.

    Raises
    ------
    OutputExistsError
        `final` exists.
    UsageError
        `final` is not a run.
    """
    if final.exists() and not overwrite:
        raise OutputExistsError(final, f"appeared during training; the result is in {running}", "Rename it by hand.")
    refuse_existing(final, overwrite=overwrite, mark=RECORD)
    put_in_place(running, final)
    # Not earlier: --resume would take a folder without its lock, and would delete it if it is stopped.
    for name in (CHECKPOINT, REFIT_CHECKPOINT, LOCK):
        (final / name).unlink(missing_ok=True)
