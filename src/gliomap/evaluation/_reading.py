"""The records of this room, read from the files that they were written to."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from gliomap._fields import field_faults
from gliomap._files import read_limited
from gliomap.errors import RunError, TaxonomyError

__all__ = ["read_record"]

_MAX_BYTES = 64 << 20

Record = TypeVar("Record", bound=BaseModel)


def read_record(path: Path, kind: type[Record], what: str, *, make: str, again: str) -> Record:
    """Read a file of one record.

    Parameters
    ----------
    what
        What the file should be, 'evaluation'.
    make, again
        Remedies: where there is no such file, and where it is damaged.

    Raises
    ------
    RunError
        No such file, or one that this version does not understand.
    """
    content = read_limited(path, _MAX_BYTES, RunError, missing=make, large=again)
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise RunError(path, f"is no {what}: {field_faults(error)}", again) from error
    except TaxonomyError as error:
        raise RunError(path, f"is no {what}: {error.thing} {error.fault}", again) from error
