"""study.toml: settings that have no place in the thesis's layout."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import Field, ValidationError, field_validator, model_validator

from gliomap._fields import Fields, field_faults
from gliomap._files import read_limited, write_text
from gliomap.captures import LONGEST_MS, SHORTEST_MS
from gliomap.errors import StudyError, UsageError
from gliomap.preprocessing import PreprocessingConfig
from gliomap.studies._layout import SETTINGS_FILE, check_capture_id

__all__ = [
    "CaptureSettings",
    "Crop",
    "ExposureTimes",
    "StudySettings",
    "parse_study_toml",
    "read_study_toml",
    "write_study_toml",
]

_MAX_BYTES = 4 << 20
_REMEDY = "Correct it; docs/reference describes study.toml."

Milliseconds = Annotated[float, Field(ge=SHORTEST_MS, le=LONGEST_MS, allow_inf_nan=False)]
Patient = Annotated[str, Field(pattern=r"^ID[0-9]{4}$")]


class Crop(Fields):
    """Where a hand-cropped map lies in the full-size cube, in cube pixels; row and column of its first pixel, from 0."""

    row: Annotated[int, Field(ge=0)]
    column: Annotated[int, Field(ge=0)]
    height: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    def fits(self, shape: tuple[int, int]) -> bool:
        """Whether the crop lies entirely in a cube of this (height, width)."""
        return self.row + self.height <= shape[0] and self.column + self.width <= shape[1]


class ExposureTimes(Fields):
    """Exposure times of a capture's frames, ms."""

    raw_ms: Milliseconds
    white_ms: Milliseconds
    dark_ms: Milliseconds
    white_dark_ms: Milliseconds | None = None

    @property
    def matter(self) -> bool:
        """Whether the exposures differ; equal ones have no effect."""
        return len(set(self.model_dump(exclude_none=True).values())) > 1


class CaptureSettings(Fields):
    """Settings of one capture beyond its files."""

    crop: Crop | None = None
    exposures: ExposureTimes | None = None


class StudySettings(Fields):
    """The content of study.toml.

    Attributes
    ----------
    version
        Version of this format.
    name
        Name of the study; None uses the folder's name.
    synthetic
        Whether the patients come from a phantom; cards and reports then say so.
    sensor
        A registry name, or the path of a .toml or .xml file relative to the study; None if unknown.
    preprocessing
        How cubes were or will be made; None means the default chain, which is the thesis's.
    exposures
        Exposures of all captures without their own.
    msb_aligned
        Whether frames hold their values in the high bits of 16; None detects it.
    captures
        Capture → its crop and exposures.
    aliases
        Patient identifier → the identifier already used for the same person. Both count as one patient
        wherever data are split.
    """

    version: Annotated[int, Field(ge=1, le=1)] = 1
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    synthetic: bool | None = None
    sensor: Annotated[str, Field(min_length=1)] | None = None
    preprocessing: PreprocessingConfig | None = None
    exposures: ExposureTimes | None = None
    msb_aligned: bool | None = None
    captures: dict[str, CaptureSettings] = Field(default_factory=dict)
    aliases: dict[Patient, Patient] = Field(default_factory=dict)

    @field_validator("preprocessing", mode="before")
    @classmethod
    def _no_unknown_option(cls, value: Any) -> Any:
        return PreprocessingConfig.from_dict(value) if isinstance(value, dict) else value

    @field_validator("captures")
    @classmethod
    def _known_form(cls, captures: dict[str, CaptureSettings]) -> dict[str, CaptureSettings]:
        for capture_id in captures:
            try:
                check_capture_id(capture_id)
            except StudyError as error:
                raise ValueError(f"{error.thing} {error.fault}") from error
        return captures

    @model_validator(mode="after")
    def _one_step(self) -> StudySettings:
        chained = sorted(alias for alias, patient in self.aliases.items() if patient in self.aliases)
        if chained:
            raise ValueError(f"aliases of {', '.join(chained)} point to another alias; name the patient itself")
        return self

    def as_toml(self) -> str:
        """The text of a study.toml with these settings, without unset ones."""
        table = self.model_dump(mode="json", exclude_none=True)
        return tomli_w.dumps({key: value for key, value in table.items() if value != {}})

    def capture(self, capture_id: str) -> CaptureSettings:
        """Settings of one capture; empty if there are none."""
        return self.captures.get(capture_id, CaptureSettings())


def read_study_toml(root: Path) -> StudySettings:
    """Read the study.toml of a study folder; return empty settings if there is none.

    Raises
    ------
    StudyError
        The file is not TOML, a key is unknown, or a value is invalid.
    """
    path = root / SETTINGS_FILE
    if not path.exists():
        return StudySettings()
    return parse_study_toml(read_limited(path, _MAX_BYTES, StudyError, large=_REMEDY), path)


def parse_study_toml(content: bytes, path: Path) -> StudySettings:
    """Settings from the bytes of a study.toml; `path` is used only in error messages."""
    try:
        table: dict[str, Any] = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise StudyError(path, f"is not TOML ({error})", _REMEDY) from error
    try:
        return StudySettings.model_validate(table)
    except ValidationError as error:
        raise StudyError(path, f"is invalid: {field_faults(error, 5)}", _REMEDY) from error
    except UsageError as error:
        raise StudyError(path, f"[preprocessing]: {error.thing} {error.fault}", error.remedy) from error


def write_study_toml(root: Path, settings: StudySettings) -> None:
    """Write the study.toml of a study folder, replacing an existing one."""
    write_text(root / SETTINGS_FILE, settings.as_toml())
