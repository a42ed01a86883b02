"""Locations and names of a study's files: the thesis's layout."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gliomap.errors import StudyError

__all__ = [
    "CHAIN_VARIABLE",
    "CUBE_VARIABLE",
    "DATASET_VARIABLES",
    "FOLDERS",
    "MAP_VARIABLE",
    "REASONS_VARIABLE",
    "REFERENCES",
    "SETTINGS_FILE",
    "CaptureFiles",
    "capture_files",
    "capture_of_file",
    "check_capture_id",
    "other_endings",
    "patient_in",
    "written_name",
]

SETTINGS_FILE = "study.toml"
FOLDERS = ("tif", "preProcessedImages", "GroundTruthMaps", "datasets")
CUBE_VARIABLE = "preProcessedImage"
REASONS_VARIABLE = "reasons"
CHAIN_VARIABLE = "chain"
MAP_VARIABLE = "groundTruthMap"
REFERENCES = ("dataResults", "referencePixelCoord")
"""Structure and field next to the map, with the pixels from which its labels grew."""
DATASET_VARIABLES = ("data", "label", "label4Classes")

_CAPTURE_ID = re.compile(r"(ID[0-9]{4})C([0-9]{2,3})")
_FILE_NAMES = {
    "tif": re.compile(r"(?P<patient>ID[0-9]{4})C(?:D|W|WD)?(?P<number>[0-9]{2,3})\.tif"),
    "preProcessedImages": re.compile(
        r"SNAPimages(?P<patient>ID[0-9]{4})C(?P<number>[0-9]{2,3})_cropped_Pre-processed\.mat"
    ),
    "GroundTruthMaps": re.compile(r"SNAPgt(?P<patient>ID[0-9]{4})C(?P<number>[0-9]{2,3})_cropped_Pre-processed\.mat"),
    "datasets": re.compile(r"(?P<patient>ID[0-9]{4})C(?P<number>[0-9]{2,3})_dataset\.mat"),
}


@dataclass(frozen=True, slots=True)
class CaptureFiles:
    """Paths of one capture's files, which need not exist. `white_dark` is a second dark, at the white's exposure."""

    raw: Path
    white: Path
    dark: Path
    white_dark: Path
    cube: Path
    map: Path
    dataset: Path


def check_capture_id(capture_id: str) -> str:
    """Return `capture_id` if it has the form ID0018C09 (two or three digits after the C).

    Raises
    ------
    StudyError
        `capture_id` has another form.
    """
    if not _CAPTURE_ID.fullmatch(capture_id):
        raise StudyError(
            f"capture {capture_id!r}",
            "is not a valid capture name",
            "Use ID, four digits for the patient, C, and two or three digits, as in ID0018C09.",
        )
    return capture_id


def patient_in(capture_id: str) -> str:
    """The patient in a capture's name: 'ID0018' for 'ID0018C09'."""
    return check_capture_id(capture_id)[:6]


def capture_files(root: Path, capture_id: str) -> CaptureFiles:
    """Paths of a capture's files in the study at `root`, under the names that GlioMap writes."""
    patient, number = patient_in(capture_id), capture_id[7:]
    return CaptureFiles(
        raw=root / "tif" / f"{capture_id}.tif",
        white=root / "tif" / f"{patient}CW{number}.tif",
        dark=root / "tif" / f"{patient}CD{number}.tif",
        white_dark=root / "tif" / f"{patient}CWD{number}.tif",
        cube=root / "preProcessedImages" / f"SNAPimages{capture_id}_cropped_Pre-processed.mat",
        map=root / "GroundTruthMaps" / f"SNAPgt{capture_id}_cropped_Pre-processed.mat",
        dataset=root / "datasets" / f"{capture_id}_dataset.mat",
    )


def written_name(path: Path) -> Path:
    """A frame's path as GlioMap writes it, because cameras may use .TIF or .tiff. Other paths stay unchanged."""
    return path.with_suffix(".tif") if path.suffix.lower() in (".tif", ".tiff") else path


def other_endings(files: Iterable[Path]) -> dict[Path, Path]:
    """Frames whose extension differs from the one that GlioMap writes: path as GlioMap writes it → actual path.

    Raises
    ------
    StudyError
        Two files differ only in their extension.
    """
    found: dict[Path, Path] = {}
    pairs = [(first, path) for path in files if (first := found.setdefault(written_name(path), path)) != path]
    if pairs:
        first, second = pairs[0]
        more = f", and {len(pairs) - 1} more such pairs" if len(pairs) > 1 else ""
        raise StudyError(
            first.parent,
            f"holds both {first.name} and {second.name}{more}, which differ only in their extension",
            "Keep the one that belongs to the capture, and move the other elsewhere.",
        )
    return {name: path for name, path in found.items() if name != path}


def capture_of_file(path: Path) -> str | None:
    """The capture to which a file of the layout belongs, from its folder and name; None for any other file."""
    pattern = _FILE_NAMES.get(path.parent.name)
    found = pattern.fullmatch(written_name(path).name) if pattern else None
    return f"{found['patient']}C{found['number']}" if found else None
