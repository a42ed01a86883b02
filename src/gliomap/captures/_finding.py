"""What a check says: how grave, about what, with numbers and a remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Severity"]

Severity = Literal["note", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found.

    Attributes
    ----------
    severity
        'note' is as it may be; 'warning' works but should be known; 'error' will not work.
    thing
        The frame, file, capture, patient or class.
    message
        What about it, with numbers.
    remedy
        What to do; empty for most notes.
    """

    severity: Severity
    thing: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.thing}: {self.message}. {self.remedy}".rstrip()
