"""What is wrong with the fields of a file, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["field_faults"]


def field_faults(error: ValidationError, most: int = 1) -> str:
    """The first `most` faults, each with the place of its field, and how many more there are."""
    # pydantic names the type of what a check of ours raised.
    faults = [
        f"{'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors()
    ]
    more = f"; and {len(faults) - most} more" if len(faults) > most else ""
    return "; ".join(faults[:most]) + more
