"""Read the records of this package from their files."""

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
    """Read a file that holds one record.

    Parameters
    ----------
    what
        What the file should be, for example 'evaluation'.
    make, again
        Remedies if the file does not exist, and if it is damaged.

    Raises
    ------
    RunError
        The file does not exist, or this version does not understand it.
    """
    content = read_limited(path, _MAX_BYTES, RunError, missing=make, large=again)
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise RunError(path, f"is not a valid {what}: {field_faults(error)}", again) from error
    except TaxonomyError as error:
        raise RunError(path, f"is not a valid {what}: {error.thing} {error.fault}", again) from error
