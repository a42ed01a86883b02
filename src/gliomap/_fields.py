"""Fields of files and answers: what holds for all of them, and what is wrong with some, in one line."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError

__all__ = ["Fields", "field_faults"]


class Fields(BaseModel):
    """Frozen; unknown ones are refused, so that a slip of the pen is noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def field_faults(error: ValidationError, most: int = 1) -> str:
    """The first `most` faults, each with the place of its field, and how many more there are."""
    # pydantic names the type of what a check of ours raised.
    faults = [
        f"{'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors()
    ]
    more = f"; and {len(faults) - most} more" if len(faults) > most else ""
    return "; ".join(faults[:most]) + more
