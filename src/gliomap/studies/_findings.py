"""Result of a study check, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gliomap.captures import Finding, Severity

__all__ = ["CaptureRow", "Finding", "Severity", "StudyCheck"]


Image = Literal["cube", "frames", "none"]


@dataclass(frozen=True)
class CaptureRow:
    """One capture in the table of a check.

    Attributes
    ----------
    capture, patient
        Identifiers.
    image
        Source of its cube: 'cube' (prepared, as study.toml states), 'frames', or 'none'.
    cube_shape
        (H, W, B) of the cube aligned with its map; None if there is no usable cube.
    map_shape
        (H, W) of its ground-truth map; None if there is no readable map.
    labelled
        Class name → number of labelled pixels, in class order.
    ignored
        Number of labelled pixels with known codes outside the classes.
    unknown
        Number of labelled pixels with unknown codes.
    masked
        Number of invalid pixels of the cube.
    dataset_rows
        Number of rows of its labelled spectra; None without a readable file.
    """

    capture: str
    patient: str
    image: Image
    cube_shape: tuple[int, int, int] | None
    map_shape: tuple[int, int] | None
    labelled: Mapping[str, int]
    ignored: int
    unknown: int
    masked: int
    dataset_rows: int | None

    @property
    def total(self) -> int:
        """Pixels that belong to a class."""
        return sum(self.labelled.values())


@dataclass(frozen=True)
class StudyCheck:
    """The outcome of a check.

    Attributes
    ----------
    study
        Name of the study.
    classes
        Names of the classes, in index order.
    findings
        Errors first, then warnings, then notes.
    rows
        One per capture, sorted.
    """

    study: str
    classes: tuple[str, ...]
    findings: tuple[Finding, ...]
    rows: tuple[CaptureRow, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.of("error")

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """Findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "study": self.study,
            "ok": self.ok,
            "classes": list(self.classes),
            "findings": [asdict(finding) for finding in self.findings],
            "captures": [{**asdict(row), "labelled": dict(row.labelled), "total": row.total} for row in self.rows],
        }
