"""The exception family: every message names the thing, the fault and the remedy.

Each class is mapped once, in `EXIT_CODES` to the exit code of the command line and in `HTTP_STATUS` to the status
of the service. Anything that is not a `GlioMapError` is our own fault and ends with exit code 1 or status 500.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping

__all__ = [
    "EXIT_CODES",
    "HTTP_STATUS",
    "ArchiveError",
    "ArchiveFullError",
    "AzureError",
    "BundleError",
    "CaptureError",
    "CubeError",
    "ExportMismatchError",
    "GlioMapError",
    "LeakageError",
    "MachineError",
    "MissingExtraError",
    "ModelError",
    "OutputExistsError",
    "ReferenceFrameError",
    "RequestError",
    "RunError",
    "SensorError",
    "StudyError",
    "TaxonomyError",
    "TrackingError",
    "UsageError",
    "exit_code",
    "http_status",
    "machine_error",
]


class GlioMapError(Exception):
    """Base of every error that GlioMap raises on purpose.

    Parameters
    ----------
    thing
        What is at fault: a file, a capture, a field, a flag.
    fault
        What is wrong with it, with numbers where there are any.
    remedy
        What the reader can do about it.
    """

    def __init__(self, thing: object, fault: str, remedy: str) -> None:
        self.thing = str(thing)
        self.fault = fault
        self.remedy = remedy
        super().__init__(f"{self.thing}: {fault}. {remedy}")


class UsageError(GlioMapError):
    """The command or call contradicts itself or lacks something."""


class OutputExistsError(UsageError):
    """The output is already there and overwriting was not asked for."""


class SensorError(GlioMapError):
    """A sensor description cannot be read or contradicts itself."""


class CaptureError(GlioMapError):
    """A frame cannot be read or does not belong to its sensor."""


class ReferenceFrameError(CaptureError):
    """A white or dark reference is unusable: swapped, saturated, empty, of another exposure."""


class CubeError(GlioMapError):
    """A hyperspectral cube cannot be used: wrong shape, NaN, wrong bands."""


class TaxonomyError(GlioMapError):
    """A tissue code, class or class set is unknown."""


class StudyError(GlioMapError):
    """A study folder or one of its files is missing, unreadable or inconsistent."""


class LeakageError(GlioMapError):
    """One patient stands on both sides of a split that promises otherwise."""


class ModelError(GlioMapError):
    """A model or its weights cannot be built, trained or loaded."""


class RunError(GlioMapError):
    """A run folder is missing something, unfinished or damaged."""


class TrackingError(GlioMapError):
    """A tracking store or model registry does not answer, refuses, or lacks something."""


class BundleError(GlioMapError):
    """A bundle is damaged, incomplete, too new, or of another sensor."""


class ArchiveError(GlioMapError):
    """An archive, one of its cases or its index is missing, damaged or in use."""


class AzureError(GlioMapError):
    """Azure refuses (the sign-in, a permission, a name that is not there or taken), fails, or is not reached."""


class RequestError(GlioMapError):
    """A request to the service cannot be answered: unknown references, wrong key, too large, too many at once.

    Parameters
    ----------
    status
        HTTP status of the answer, 400…599.
    headers
        Headers of the answer, such as Retry-After.
    """

    def __init__(
        self, thing: object, fault: str, remedy: str, *, status: int, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(thing, fault, remedy)
        self.status = status
        self.headers = dict(headers or {})


class ExportMismatchError(BundleError):
    """An exported graph does not compute what the model computes."""


class MachineError(GlioMapError):
    """The machine is at fault: disk full, no permission, no network."""


class ArchiveFullError(MachineError):
    """The disk of an archive is nearly full: new work is refused before any is lost."""


class MissingExtraError(MachineError):
    """A part of GlioMap is needed that this installation left out."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            what,
            f"needs the '{extra}' part of GlioMap, which is not installed here",
            f'Install it with: pip install "gliomap[{extra}]"',
        )


EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (MachineError, 3),
    (ExportMismatchError, 1),
    (GlioMapError, 2),
    (KeyboardInterrupt, 130),
)
"""First match wins; anything else is exit code 1."""

HTTP_STATUS: tuple[tuple[type[BaseException], int], ...] = (
    (MachineError, 507),
    (ExportMismatchError, 500),
    (UsageError, 400),
    (GlioMapError, 422),
)
"""First match wins; a `RequestError` carries its own, anything else is our own fault, 500."""

_ENVIRONMENT_ERRNOS = {
    errno.ENOSPC: ("the disk is full", "Free some space or write elsewhere with -o."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space or write elsewhere with -o."),
    errno.EACCES: ("no permission", "Check the owner and mode of this path, or name another."),
    errno.EPERM: ("not permitted", "Check the owner and mode of this path, or name another."),
    errno.EROFS: ("the file system is read-only", "Write elsewhere with -o."),
    errno.EIO: ("the disk reports an input/output error", "Check the disk and its cable."),
    errno.EMFILE: ("too many open files", "Raise the limit with: ulimit -n 4096"),
    errno.ENOMEM: ("out of memory", "Close other programs or use a smaller batch."),
    errno.EFBIG: ("the file is larger than the limit allows", "Raise the limit or write elsewhere with -o."),
}


def machine_error(error: OSError) -> MachineError | None:
    """Translate an operating-system error which is the machine's fault; None if it is not one."""
    known = _ENVIRONMENT_ERRNOS.get(error.errno or 0)
    if known is None:
        return None
    fault, remedy = known
    return MachineError(error.filename or "this machine", fault, remedy)


def exit_code(error: BaseException) -> int:
    """Exit code of the command line for `error` (0 is never returned)."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


def http_status(error: BaseException) -> int:
    """HTTP status with which the service answers `error`."""
    if isinstance(error, RequestError):
        return error.status
    return next((status for kind, status in HTTP_STATUS if isinstance(error, kind)), 500)
