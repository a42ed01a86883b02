"""The result of a check: severity, subject, message with figures, and remedy."""

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
        'note': acceptable; 'warning': works, but the user should know; 'error': will not work.
    thing
        The frame, file, capture, patient or class.
    message
        What was found, with figures.
    remedy
        What to do; empty for most notes.
    """

    severity: Severity
    thing: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.thing}: {self.message}. {self.remedy}".rstrip()
