"""The exception family: every message names the thing, the fault and the remedy.

`EXIT_CODES` maps each class to the exit code of the command line, and `HTTP_STATUS` to the status of the service.
Any exception that is not a `GlioMapError` is a bug in GlioMap and ends with exit code 1 or status 500.
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
    """Base class of every error that GlioMap raises deliberately.

    Parameters
    ----------
    thing
        What the error concerns: a file, a capture, a field, a flag.
    fault
        What is wrong with it, with figures where available.
    remedy
        What the reader can do about it.
    """

    def __init__(self, thing: object, fault: str, remedy: str) -> None:
        self.thing = str(thing)
        self.fault = fault
        self.remedy = remedy
        super().__init__(f"{self.thing}: {fault}. {remedy}")


class UsageError(GlioMapError):
    """The command or call is contradictory or incomplete."""


class OutputExistsError(UsageError):
    """The output already exists and overwriting was not requested."""


class SensorError(GlioMapError):
    """A sensor description cannot be read or is contradictory."""


class CaptureError(GlioMapError):
    """A frame cannot be read or does not belong to its sensor."""


class ReferenceFrameError(CaptureError):
    """A white or dark reference is unusable: swapped, saturated, empty, or of another exposure."""


class CubeError(GlioMapError):
    """A hyperspectral cube cannot be used: wrong shape, NaN, or wrong bands."""


class TaxonomyError(GlioMapError):
    """A tissue code, class or class set is unknown."""


class StudyError(GlioMapError):
    """A study folder or one of its files is missing, unreadable or inconsistent."""


class LeakageError(GlioMapError):
    """A patient appears on both sides of a split that must keep patients apart."""


class ModelError(GlioMapError):
    """A model or its weights cannot be built, trained or loaded."""


class RunError(GlioMapError):
    """A run folder is incomplete, unfinished or damaged."""


class TrackingError(GlioMapError):
    """A tracking store or model registry does not respond, refuses the request, or lacks what was requested."""


class BundleError(GlioMapError):
    """A bundle is damaged, incomplete, too new, or made for another sensor."""


class ArchiveError(GlioMapError):
    """An archive, one of its cases or its index is missing, damaged or in use."""


class AzureError(GlioMapError):
    """Azure refuses a request (sign-in, permission, missing or taken name), fails, or cannot be reached."""


class RequestError(GlioMapError):
    """A request to the service cannot be answered: unknown references, wrong key, too large, or too many at once.

    Parameters
    ----------
    status
        HTTP status of the response, 400…599.
    headers
        Headers of the response, such as Retry-After.
    """

    def __init__(
        self, thing: object, fault: str, remedy: str, *, status: int, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(thing, fault, remedy)
        self.status = status
        self.headers = dict(headers or {})


class ExportMismatchError(BundleError):
    """An exported graph does not reproduce the model's results."""


class MachineError(GlioMapError):
    """The machine is at fault: disk full, no permission, no network."""


class ArchiveFullError(MachineError):
    """The disk of an archive is nearly full: new work is refused before anything is lost."""


class MissingExtraError(MachineError):
    """The operation needs a part of GlioMap that is not installed."""

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
"""First match wins; a `RequestError` carries its own status, anything else is a bug in GlioMap, 500."""

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
    """Translate an operating-system error that is the machine's fault; return None for any other."""
    known = _ENVIRONMENT_ERRNOS.get(error.errno or 0)
    if known is None:
        return None
    fault, remedy = known
    return MachineError(error.filename or "this machine", fault, remedy)


def exit_code(error: BaseException) -> int:
    """Exit code of the command line for `error` (0 is never returned)."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


def http_status(error: BaseException) -> int:
    """HTTP status that the service returns for `error`."""
    if isinstance(error, RequestError):
        return error.status
    return next((status for kind, status in HTTP_STATUS if isinstance(error, kind)), 500)
