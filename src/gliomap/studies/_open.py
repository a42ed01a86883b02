"""Open a study from its settings and file names, or suggest another folder."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from gliomap.errors import StudyError
from gliomap.studies._layout import FOLDERS, SETTINGS_FILE, capture_of_file, other_endings
from gliomap.studies._settings import read_study_toml
from gliomap.studies._study import Study

__all__ = ["is_study", "open_study"]


def is_study(path: Path) -> bool:
    """Whether a folder contains any of a study's subfolders."""
    return any((path / name).is_dir() for name in FOLDERS)


def open_study(path: str | Path) -> Study:
    """Open a study folder; only study.toml and file names are read.

    Raises
    ------
    StudyError
        The folder does not exist or holds no capture, frames differ only in their extension, study.toml cannot be
        used, or the path is not UTF-8.
    """
    root = Path(path)
    if not root.is_dir():
        fault = "is not a folder" if root.exists() else "does not exist"
        raise StudyError(root, fault, "Give the study folder, or make one with `gliomap phantom DIR`.")
    try:
        str(root.resolve()).encode()
    except UnicodeEncodeError as error:
        # Runs record the path of their study as UTF-8, and could not be read again.
        raise StudyError(
            root, "has characters in its path that are not UTF-8", "Rename the folder that has them."
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
            f"holds no capture: no file in {', '.join(f'{folder}/' for folder in FOLDERS)} has a capture's name",
            _study_nearby(root)
            or "Name files as in tif/ID0018C09.tif or GroundTruthMaps/SNAPgtID0018C09_cropped_Pre-processed.mat.",
        )
    return Study(root, settings, tuple(sorted(set(found.values()))), other_endings(found))


def study_of_file(path: Path) -> tuple[Study, str | None] | None:
    """The study that contains a file, and the file's capture if its name states one.

    None if the file is not in a study's subfolder, or if the folder above that has no study.toml.

    Raises
    ------
    StudyError
        study.toml cannot be used.
    """
    file = path.absolute()
    root = file.parent.parent
    if file.parent.name not in FOLDERS or not (root / SETTINGS_FILE).is_file():
        return None
    return Study(root, read_study_toml(root), ()), capture_of_file(file)


def _study_nearby(root: Path) -> str | None:
    """A suggestion if this folder contains a study, or is a subfolder of one."""
    if root.resolve().name in FOLDERS:
        return f"Give the study folder itself: {root.parent if root.name else root.resolve().parent}."
    with suppress(PermissionError):
        inside = sorted(folder for folder in root.iterdir() if folder.is_dir() and is_study(folder))
        if inside:
            return f"Give a study in it: {', '.join(map(str, inside[:5]))}."
    return None
