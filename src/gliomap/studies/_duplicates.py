"""The same image under two names, which can put one person on both sides of a split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gliomap.studies._layout import capture_files

__all__ = ["Duplicate", "duplicate_files", "same_images"]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two captures with the same image.

    Attributes
    ----------
    captures
        Both captures, sorted by name.
    patients
        The patient named by each capture.
    """

    captures: tuple[str, str]
    patients: tuple[str, str]

    def __str__(self) -> str:
        first, second = self.captures
        whose = "one patient" if self.patients[0] == self.patients[1] else "two patients"
        return f"{first} and {second} ({whose}) are the same image"


def same_images(digests: Iterable[tuple[str, str]], patients: Mapping[str, str]) -> tuple[Duplicate, ...]:
    """Captures whose images have equal digests; each is paired with the first capture with that digest.

    Parameters
    ----------
    digests
        (capture, digest of its image), in order of captures; a capture may have several images.
    patients
        Capture → patient.
    """
    seen: dict[str, str] = {}
    pairs = {(seen.setdefault(digest, capture), capture): None for capture, digest in digests}
    return tuple(
        Duplicate((first, second), (patients[first], patients[second])) for first, second in pairs if first != second
    )


def duplicate_files(files: Mapping[str, str], patients: Mapping[str, str]) -> tuple[Duplicate, ...]:
    """Captures whose raw frames or prepared cubes are identical byte for byte.

    Parameters
    ----------
    files
        File, relative to the study → SHA-256.
    patients
        Capture → patient.
    """
    digests = []
    for capture in sorted(patients):
        named = capture_files(Path(), capture)
        digests += [(capture, files[path.as_posix()]) for path in (named.raw, named.cube) if path.as_posix() in files]
    return same_images(digests, patients)
