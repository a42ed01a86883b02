"""JSON answers of the service."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from gliomap._fields import Fields
from gliomap.engine import ClassShare
from gliomap.rendering import DISCLAIMER

__all__ = ["ClassifyAnswer", "Health", "ModelAnswer", "ReferencesAnswer", "ServedBy", "StreamReply"]


class Health(Fields):
    """Whether the service is alive and accepts frames."""

    status: str = Field(examples=["ready"])


class ServedBy(Fields):
    """The model that made a map."""

    name: str = Field(examples=["Conv2DNet_ID0006_noCV"])
    version: str = Field(description="Version in a registry; empty without one.", examples=[""])
    bundle: str = Field(description="SHA-256 of its manifest: the bundle's identity.")


class ReferencesAnswer(Fields):
    """References stored for one operation."""

    id: str = Field(examples=["or-1"])
    received_at: datetime = Field(description="When they arrived, UTC.")
    taken_at: datetime | None = Field(
        description="When the oldest of them was taken, by the camera's clock; null if unknown."
    )
    sha256: dict[str, str] = Field(description="Role (white, dark, white_dark) → hash of the bytes as received.")
    warnings: tuple[str, ...] = Field(description="What the checks noticed.")


class ClassifyAnswer(Fields):
    """A tissue map in numbers. Pixels that are not classified say nothing about the tissue."""

    request_id: str
    notice: str = DISCLAIMER
    gliomap: str = Field(description="GlioMap version that classified.")
    model: ServedBy
    references: str | None = Field(description="Their id; null if they came with the frame.")
    shape: tuple[int, int] = Field(description="(H, W) of the map.")
    classes: tuple[ClassShare, ...]
    classified: int = Field(ge=0, description="Pixels with a class.")
    not_classified: int = Field(ge=0, description="Pixels without one: 0 in the labels.")
    invalid: dict[str, int] = Field(description="Reason → pixels; one pixel can have several reasons.")
    blanked: str | None = Field(description="Why nothing was classified; null if the map is not blank.")
    warnings: tuple[str, ...] = Field(description="What a reader of the map must know.")
    timings_ms: dict[str, float] = Field(description="Stage → milliseconds; stages as in docs/reference/service.md.")
    labels_png: str | None = Field(
        default=None, description="Base64 of a palette PNG whose indices are the labels; only in JSON answers."
    )


class StreamReply(Fields):
    """Head of each message of a stream; the map's bytes follow."""

    sequence: int = Field(ge=1, description="Number of the frame among those received, from 1.")
    dropped: int = Field(ge=0, description="Frames dropped for newer ones since the last reply.")
    dropped_total: int = Field(ge=0)
    shape: tuple[int, int] | None = None
    encoding: str = Field(description="What follows: 'labels' (uint8, row by row), 'png', or 'none'.")
    classified: int = Field(default=0, ge=0)
    pixels: dict[str, int] = Field(default={}, description="Class → pixels; 0 means 'not found', not 'absent'.")
    blanked: str | None = None
    warnings: tuple[str, ...] = Field(default=(), description="What a reader of the map must know, including shadows.")
    timings_ms: dict[str, float] = Field(default={})
    case: str | None = Field(default=None, description="Id in the archive.")
    problem: dict[str, Any] | None = Field(default=None, description="Why this frame has no map (RFC 9457).")


class ModelAnswer(Fields):
    """The served model."""

    name: str
    version: str
    bundle: str
    since: datetime
    backend: str
    manifest: dict[str, Any] = Field(description="As in the bundle; see docs/reference/files.md.")
    card: str = Field(description="The model card, Markdown.")
