"""A study in the cloud: its files, their location there, and whether all of them have arrived."""

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
"""Name of a part of a study → its content; the empty name is the whole study."""
FOLDER_OF_PART: Mapping[str, str] = {
    "captures": "tif",
    "cubes": "preProcessedImages",
    "ground-truth": "GroundTruthMaps",
    "datasets": "datasets",
}

_SUFFIXES = (".tif", ".tiff", ".mat")


class Inventory(Fields):
    """Content of PREFIX.inventory.json, written beside the study's folder once all of its files have arrived.

    Attributes
    ----------
    format
        Version of this format.
    study
        Name of the study.
    patients
        Number of labelled patients.
    files
        Name below the folder → SHA-256.
    """

    format: Literal[1] = 1
    study: str
    patients: int
    files: dict[str, str]

    def part(self, part: str) -> dict[str, str]:
        """Files of a part (see `PARTS`), by their name below its folder."""
        if not part:
            return dict(self.files)
        start = FOLDER_OF_PART[part] + "/"
        return {name.removeprefix(start): value for name, value in self.files.items() if name.startswith(start)}

    def fingerprint(self, part: str = "") -> str:
        """SHA-256 over the names and hashes of a part."""
        content = json.dumps(sorted(self.part(part).items())).encode()
        return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class UploadedStudy:
    """The result of `upload_study`: folder, files and transfer."""

    prefix: str
    inventory: Inventory
    transfer: Transfer


def study_files(study: Study) -> dict[str, Path]:
    """The files of a study to upload, by their name below its folder: its layout, study.toml and sensor file.

    Raises
    ------
    StudyError
        A file is a link that leads out of the study.
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
    """Upload a study; on return, all of it has arrived and its inventory is written.

    Parameters
    ----------
    container
        Container of the datastore.
    study
        A study from `open_study`.
    prefix
        Folder to create there.
    overwrite
        Replace files that differ.
    track
        Receives progress.

    Raises
    ------
    AzureError
        As in `upload_files`.
    """
    files = study_files(study)
    transfer, hashes = upload_files(container, files, prefix, overwrite=overwrite, track=track)
    patients = len({study.patient_of(capture) for capture in study.labelled})
    inventory = Inventory(study=study.name, patients=patients, files=dict(sorted(hashes.items())))
    container.upload_blob(_place(prefix), inventory.model_dump_json(indent=2).encode(), overwrite=True)
    return UploadedStudy(prefix, inventory, transfer)


def read_inventory(container: ContainerClient, prefix: str) -> Inventory:
    """Return the inventory of an uploaded study, after checking that its files exist with the recorded hashes.

    Raises
    ------
    AzureError
        The study was not uploaded, or only in part, or files have changed since.
    """
    again = f"Run `gliomap azure upload STUDY --to {prefix}` again: it continues where it stopped."
    try:
        content = container.download_blob(_place(prefix)).readall()
    except ResourceNotFoundError as error:
        there = len(remote_files(container, prefix))
        fault = f"is only partly uploaded ({counted(there, 'file')} so far)" if there else "is not uploaded"
        raise AzureError(f"study {prefix}", fault, again) from error
    try:
        inventory = Inventory.model_validate_json(content)
    except ValidationError as error:
        raise AzureError(_place(prefix), "is damaged", again) from error
    blobs = remote_files(container, prefix)
    for name, sha256 in inventory.files.items():
        if name not in blobs:
            raise AzureError(f"{prefix}/{name}", "no longer exists", again)
        if (blobs[name].metadata or {}).get(HASH) != sha256:
            raise AzureError(f"{prefix}/{name}", "has changed since the upload", again)
    return inventory


def _place(prefix: str) -> str:
    return f"{prefix}.inventory.json"
