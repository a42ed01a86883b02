"""Where every error ends: one message for the person, one exit code for the script."""

from __future__ import annotations

import errno
import json
import sys
import traceback
from collections.abc import Callable
from types import TracebackType

from gliomap._secrets import without_secrets
from gliomap.errors import GlioMapError, MachineError, UsageError, exit_code, machine_error

__all__ = ["fault_hook", "report", "translate"]

_PATH_FAULTS = {
    errno.ENOENT: ("no such file or folder", "Check the path."),
    errno.EEXIST: ("already exists", "Choose another path, or add --overwrite to replace it."),
    errno.ENOTDIR: ("part of this path is a file, not a folder", "Check the path."),
    errno.EISDIR: ("is a folder, not a file", "Check the path."),
    errno.ENAMETOOLONG: ("the name is too long for this file system", "Choose a shorter one."),
    errno.ELOOP: ("its symbolic links form a loop", "Check the links."),
    errno.EINVAL: ("the file system does not support this name or operation", "Check the path."),
}


def translate(error: BaseException) -> BaseException:
    """Turn an operating-system error into one of ours; return anything else unchanged."""
    if isinstance(error, MemoryError):
        return MachineError("this machine", "out of memory", "Close other programs, or use a smaller batch or frame.")
    if not isinstance(error, OSError):
        return error
    known = machine_error(error)
    if known is not None:
        return known
    path_fault = _PATH_FAULTS.get(error.errno or 0)
    if path_fault is not None:
        return UsageError(error.filename or "a path", *path_fault)
    # Some libraries in C raise OSError without a number when a disk fills up: '17 requested and 0 written'.
    told = error.strerror or " ".join(map(str, error.args)) or type(error).__name__
    return MachineError(
        error.filename or "this machine",
        f"the operating system refused ({told})",
        "Check free space and permissions, then try again.",
    )


def report(error: BaseException, *, as_json: bool, verbose: bool) -> int:
    """Write what went wrong to stderr and return the exit code; secrets are removed, since others read it too.

    Parameters
    ----------
    error
        Whatever ended the work.
    as_json
        Write one line of JSON instead of a sentence.
    verbose
        Write the traceback first.
    """
    if verbose:
        _write(without_secrets("".join(traceback.format_exception(error)).rstrip("\n")))
    known = translate(error)
    code = exit_code(known)
    _write(_as_json(known, code) if as_json else without_secrets(_sentence(known)))
    return code


def fault_hook(
    *, as_json: bool, verbose: bool
) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    """Make the `sys.excepthook` for unforeseen errors; Python itself then exits with code 1."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        del kind, trace
        report(error, as_json=as_json, verbose=verbose)

    return hook


def _sentence(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted: no partial output was left under a final name."
    if isinstance(error, GlioMapError):
        return f"error: {error}"
    place = traceback.extract_tb(error.__traceback__)
    where = f" at {place[-1].filename}:{place[-1].lineno}" if place else ""
    told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"error: gliomap: internal error ({told}{where}). Run again with --verbose and report the traceback."


def _as_json(error: BaseException, code: int) -> str:
    if isinstance(error, GlioMapError):
        content = {"thing": error.thing, "fault": error.fault, "remedy": error.remedy}
    elif isinstance(error, KeyboardInterrupt):
        content = {
            "thing": "gliomap",
            "fault": "interrupted",
            "remedy": "No partial output was left under a final name.",
        }
    else:
        content = {
            "thing": "gliomap",
            "fault": f"internal error ({type(error).__name__}: {error})",
            "remedy": "Run again with --verbose and report the traceback.",
        }
    # Secrets are removed before the text becomes JSON, which may spell them differently and follows them with syntax.
    told = {name: without_secrets(text) for name, text in content.items()}
    return json.dumps({"error": {"kind": type(error).__name__, **told, "exit_code": code}}, ensure_ascii=False)


def _write(text: str) -> None:
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:
        return  # nobody is reading, or the log's disk is full; the exit code still reports the error
