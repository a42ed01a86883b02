"""Base class for the fields of files and answers, and a one-line summary of their validation errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

__all__ = ["Fields", "field_faults"]


class Fields(BaseModel):
    """Frozen; unknown fields are rejected, so that a misspelt name is noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def field_faults(error: ValidationError, most: int = 1) -> str:
    """The first `most` faults, each with the location of its field, and the number of further faults."""
    faults = [
        f"{'.'.join(map(str, fault['loc'])) or 'file'}: {_told(error.title, fault['type'], fault['loc'], fault['msg'])}"
        for fault in error.errors()
    ]
    more = f"; and {len(faults) - most} more" if len(faults) > most else ""
    return "; ".join(faults[:most]) + more


def _told(model: str, kind: str, place: Sequence[int | str], message: str) -> str:
    if kind != "extra_forbidden":
        return message.removeprefix("Value error, ")  # pydantic prepends the type that our own check raised
    meant = get_close_matches(str(place[-1]), _keys(model, place[:-1]), n=1, cutoff=0.65)
    return f"unknown key (did you mean {meant[0]}?)" if meant else "unknown key"


def _keys(model: str, place: Sequence[int | str]) -> list[str]:
    """Keys allowed at a location in the data of the model with this name, as far as they can be determined."""
    here = [one for one in _subclasses(Fields) if one.__name__ == model]
    for part in place:
        fields = [one.model_fields[part] for one in here if isinstance(part, str) and part in one.model_fields]
        # A part that is not a field is a key or an index within one, or selects a member of a union.
        here = [inner for field in fields for inner in _models(field.annotation)] if fields else here
    return [key for one in here for key in one.model_fields]


def _subclasses(of: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for one in of.__subclasses__():
        yield one
        yield from _subclasses(one)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a type annotation contains."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
