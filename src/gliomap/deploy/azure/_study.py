"""A study in the cloud: which files it has, where they lie there, and whether all of them arrived."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ContainerClient
from pydantic import ValidationError

from gliomap._fields import Fields
from gliomap._progress import Track, silent
from gliomap._text import counted
from gliomap.deploy.azure._storage import HASH, Transfer, remote_files, upload_files
from gliomap.errors import AzureError, StudyError
from gliomap.sensors import sensor_file
from gliomap.studies import Study

__all__ = ["PARTS", "Inventory", "read_inventory", "study_files", "upload_study"]

PARTS: Mapping[str, str] = {
    "": "the whole study",
    "captures": "raw frames with their references",
    "cubes": "pre-processed cubes",
    "ground-truth": "ground-truth maps",
    "datasets": "labelled spectra",
}
"""Name of a part of a study → what it is; the empty name is all of it."""
FOLDER_OF_PART: Mapping[str, str] = {
    "captures": "tif",
    "cubes": "preProcessedImages",
    "ground-truth": "GroundTruthMaps",
    "datasets": "datasets",
}

_SUFFIXES = (".tif", ".tiff", ".mat")


class Inventory(Fields):
    """Written beside the study's folder once all of its files have arrived: PREFIX.inventory.json.

    Attributes
    ----------
    format
        Version of this format.
    study
        Name of the study.
    patients
        How many it has with labels.
    files
        Name below the folder → SHA-256.
    """

    format: Literal[1] = 1
    study: str
    patients: int
    files: dict[str, str]

    def part(self, part: str) -> dict[str, str]:
        """Files of a part (see `PARTS`), by their name below its own folder."""
        if not part:
            return dict(self.files)
        start = FOLDER_OF_PART[part] + "/"
        return {name.removeprefix(start): value for name, value in self.files.items() if name.startswith(start)}

    def fingerprint(self, part: str = "") -> str:
        """SHA-256 over names and hashes of a part."""
        content = json.dumps(sorted(self.part(part).items())).encode()
        return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class UploadedStudy:
    """What `upload_study` did: where, of what, and how."""

    prefix: str
    inventory: Inventory
    transfer: Transfer


def study_files(study: Study) -> dict[str, Path]:
    """The files of a study that go, by their name below its folder: its layout, its study.toml, its sensor's file.

    Raises
    ------
    StudyError
        A file that is a link out of the study.
    """
    files = {
        f"{folder}/{path.name}": path
        for folder in FOLDER_OF_PART.values()
        for path in sorted((study.root / folder).glob("*"))
        if path.is_file() and path.suffix.lower() in _SUFFIXES
    }
    for named in (Path("study.toml"), sensor_file(study.settings.sensor or "")):
        if named is not None and (beside := study.root / named).is_file():
            files[named.as_posix()] = beside
    for path in files.values():
        if not path.resolve().is_relative_to(study.root.resolve()):
            raise StudyError(path, "lies outside the study", "Copy it into the study's folder.")
    return files


def upload_study(
    container: ContainerClient, study: Study, prefix: str, *, overwrite: bool = False, track: Track = silent
) -> UploadedStudy:
    """Send a study; when it returns, all of it is there and its inventory says so.

    Parameters
    ----------
    container
        Of the datastore.
    study
        As `open_study` gives it.
    prefix
        Folder to make there.
    overwrite
        Replace files that differ.
    track
        Told how the work advances.

    Raises
    ------
    AzureError
        As `upload_files`.
    """
    files = study_files(study)
    transfer, hashes = upload_files(container, files, prefix, overwrite=overwrite, track=track)
    patients = len({study.patient_of(capture) for capture in study.labelled})
    inventory = Inventory(study=study.name, patients=patients, files=dict(sorted(hashes.items())))
    container.upload_blob(_place(prefix), inventory.model_dump_json(indent=2).encode(), overwrite=True)
    return UploadedStudy(prefix, inventory, transfer)


def read_inventory(container: ContainerClient, prefix: str) -> Inventory:
    """The inventory of an uploaded study, having checked that its files are there and what it says they are.

    Raises
    ------
    AzureError
        It was never uploaded, only in part, or files have changed since.
    """
    again = f"Give `gliomap azure upload STUDY --to {prefix}` again: it goes on where it ended."
    try:
        content = container.download_blob(_place(prefix)).readall()
    except ResourceNotFoundError as error:
        there = len(remote_files(container, prefix))
        fault = f"is uploaded in part only ({counted(there, 'file')} there)" if there else "is not uploaded"
        raise AzureError(f"study {prefix}", fault, again) from error
    try:
        inventory = Inventory.model_validate_json(content)
    except ValidationError as error:
        raise AzureError(_place(prefix), "is damaged", again) from error
    blobs = remote_files(container, prefix)
    for name, sha256 in inventory.files.items():
        if name not in blobs:
            raise AzureError(f"{prefix}/{name}", "is not there any more", again)
        if (blobs[name].metadata or {}).get(HASH) != sha256:
            raise AzureError(f"{prefix}/{name}", "has changed since the upload", again)
    return inventory


def _place(prefix: str) -> str:
    return f"{prefix}.inventory.json"
