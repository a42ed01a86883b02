"""A run folder while it is trained: held by one process, and given its final name at the end."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gliomap._files import put_in_place, refuse_existing
from gliomap.errors import OutputExistsError, RunError
from gliomap.tracking._names import CHECKPOINT, LOCK, RECORD, REFIT_CHECKPOINT

__all__ = ["alone_in", "finish_folder", "is_held", "lock_folder"]

logger = logging.getLogger(__name__)


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold a running folder for this process; the system lets go of it when the process ends, however it ends.

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
    """Lock a file for this process alone, or raise `BlockingIOError` where another one has done so."""
    import fcntl

    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            # Refused beside a training; not beside somebody who asks `is_held`, and lets go in a moment.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def is_held(folder: Path) -> bool:
    """Whether a process trains in a running folder; where that cannot be found out, it is taken for granted."""
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
        # Shared: that needs no right to write, and two who ask at once do not take each other for a training.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process is in here with this folder; the system lets go of it when the process ends.

    Where folders cannot be locked, as on some network drives, nobody is waited for.
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
    """Give a running folder its final name; what only training needed goes.

    Parameters
    ----------
    running, final
        Its name now, and the one that it gets.
    overwrite
        Replace an earlier run.

    Raises
    ------
    OutputExistsError
        `final` is there.
    UsageError
        `final` is no run.
    """
    if final.exists() and not overwrite:
        raise OutputExistsError(final, f"appeared during training; the result is in {running}", "Rename it by hand.")
    refuse_existing(final, overwrite=overwrite, mark=RECORD)
    put_in_place(running, final)
    # Not before: a folder without its lock would be taken by a --resume, and cleared away if that is stopped.
    for name in (CHECKPOINT, REFIT_CHECKPOINT, LOCK):
        (final / name).unlink(missing_ok=True)
