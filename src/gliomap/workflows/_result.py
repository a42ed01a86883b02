"""result.json: the result of a classification and how it was made, for scripts and for the record."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from gliomap._fields import Fields
from gliomap.engine import ClassShare
from gliomap.rendering import DISCLAIMER

__all__ = ["BundleOrigin", "ClassShare", "ClassificationResult", "InputRecord"]


class BundleOrigin(Fields):
    """The bundle that made the map."""

    path: str
    identity: str = Field(description="SHA-256 of its manifest; two bundles with one identity are the same.")
    name: str


class InputRecord(Fields):
    """What was classified."""

    kind: Literal["frame", "cube", "study frame", "study cube"]
    files: dict[str, str] = Field(description="Role (raw, white, dark, cube, study) → path as it was given.")
    capture: str | None = Field(default=None, description="Capture of the study.")
    taken_at: datetime | None = Field(default=None, description="TIFF DateTime of the raw frame: camera's local time.")
    references_taken_at: datetime | None = Field(default=None, description="Time of the oldest reference.")
    reference_age_minutes: float | None = Field(
        default=None, description="How much older the references are than the raw frame; null if unknown."
    )


class ClassificationResult(Fields):
    """Content of result.json.

    Pixels that are not classified say nothing about tissue: a map never says 'no tumour'.
    """

    format: Literal[1] = 1
    notice: str = DISCLAIMER
    gliomap: str = Field(description="Version of GlioMap that classified.")
    created_at: datetime = Field(description="UTC.")
    bundle: BundleOrigin
    backend: str
    precision: str
    sensor: str | None = Field(description="Name of the bundle's sensor; null if it has none.")
    input: InputRecord
    shape: tuple[int, int] = Field(description="(H, W) of the map.")
    classes: tuple[ClassShare, ...]
    classified: int = Field(ge=0, description="Pixels with a class.")
    not_classified: int = Field(ge=0, description="Pixels without a class: 0 in labels.npy.")
    invalid: dict[str, int] = Field(description="Reason → pixels; one pixel can have several reasons.")
    blanked: str | None = Field(description="Why nothing was classified; null if the map is not blank.")
    warnings: tuple[str, ...] = Field(description="What a reader of the map must know.")
    timings_ms: dict[str, float] = Field(description="Stage of the engine → milliseconds.")
    palette: str
    files: dict[str, str] = Field(description="What → file beside this one; empty if nothing was written.")
