"""Open a study: its settings and the names of its files, or what to give instead."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from gliomap.errors import StudyError
from gliomap.studies._layout import FOLDERS, SETTINGS_FILE, capture_of_file, other_endings
from gliomap.studies._settings import read_study_toml
from gliomap.studies._study import Study

__all__ = ["is_study", "open_study"]


def is_study(path: Path) -> bool:
    """Whether a folder has any of a study's own folders."""
    return any((path / name).is_dir() for name in FOLDERS)


def open_study(path: str | Path) -> Study:
    """Open a study folder; reads study.toml and the names of files, nothing else.

    Raises
    ------
    StudyError
        No such folder, no capture in it, frames that differ by their ending only, or a study.toml that cannot be
        used; or a path that is not UTF-8.
    """
    root = Path(path)
    if not root.is_dir():
        fault = "is not a folder" if root.exists() else "is not there"
        raise StudyError(root, fault, "Give the study folder, or make one with `gliomap phantom DIR`.")
    try:
        str(root.resolve()).encode()
    except UnicodeEncodeError as error:
        # Runs record where their study is, as UTF-8: they could not be read again.
        raise StudyError(
            root, "has letters in its path that are not UTF-8", "Rename the folder that has them."
        ) from error
    settings = read_study_toml(root)
    found = {
        file: capture
        for folder in FOLDERS
        if (root / folder).is_dir()
        for file in sorted((root / folder).iterdir())
        if (capture := capture_of_file(file)) is not None
    }
    if not found:
        raise StudyError(
            root,
            f"holds no capture: nothing in {', '.join(f'{folder}/' for folder in FOLDERS)} is named like one",
            _study_nearby(root)
            or "Name files as in tif/ID0018C09.tif or GroundTruthMaps/SNAPgtID0018C09_cropped_Pre-processed.mat.",
        )
    return Study(root, settings, tuple(sorted(set(found.values()))), other_endings(found))


def study_of_file(path: Path) -> tuple[Study, str | None] | None:
    """The study that a file lies in, with its capture where its name tells one.

    None where the file is in no folder of a study, or where no study.toml stands above that.

    Raises
    ------
    StudyError
        As of `open_study`.
    """
    file = path.absolute()
    root = file.parent.parent
    if file.parent.name not in FOLDERS or not (root / SETTINGS_FILE).is_file():
        return None
    return Study(root, read_study_toml(root), ()), capture_of_file(file)


def _study_nearby(root: Path) -> str | None:
    """What to give instead, where the study is a folder in this one, or this is a folder of it."""
    if root.resolve().name in FOLDERS:
        return f"Give the study folder itself: {root.parent if root.name else root.resolve().parent}."
    with suppress(PermissionError):
        inside = sorted(folder for folder in root.iterdir() if folder.is_dir() and is_study(folder))
        if inside:
            return f"Give a study in it: {', '.join(map(str, inside[:5]))}."
    return None
