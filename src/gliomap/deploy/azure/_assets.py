"""Data assets: the parts of a study in the cloud, each under a name and a version."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gliomap._progress import Track, silent
from gliomap.deploy.azure._client import Connection, quiet
from gliomap.deploy.azure._documents import SCHEMAS, Document
from gliomap.deploy.azure._faults import NotThereError, azure_faults
from gliomap.deploy.azure._storage import Transfer, download_files
from gliomap.deploy.azure._study import FOLDER_OF_PART, PARTS, Inventory, read_inventory
from gliomap.errors import AzureError, UsageError

__all__ = [
    "DEFAULT_DATASTORE",
    "Asset",
    "asset_document",
    "check_name",
    "create_assets",
    "download_asset",
    "find_asset",
    "list_assets",
    "upload_document",
]

DEFAULT_DATASTORE = "workspaceblobstore"
"""The default datastore of every new workspace."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
_PATH = re.compile(r"azureml://(?:.*/)?datastores/([^/]+)/paths/(.+?)/?")
_TAKEN = "A version never changes: omit --version for the next one, or choose another --version or --name."
_FINGERPRINT, _PATIENTS, _PART, _PREFIX = "gliomap-fingerprint", "gliomap-patients", "gliomap-part", "gliomap-folder"


@dataclass(frozen=True, slots=True)
class Asset:
    """A data asset.

    Attributes
    ----------
    name, version
        As the studio shows them.
    path
        azureml:// address.
    part
        See `PARTS`; None for an asset that GlioMap did not create.
    fingerprint
        SHA-256 over the names and hashes of its files.
    patients
        Number of labelled patients; 0 if unknown.
    prefix
        Folder of the whole study in the container.
    created
        Whether it is new.
    """

    name: str
    version: str
    path: str
    part: str | None = None
    fingerprint: str = ""
    patients: int = 0
    prefix: str = ""
    created: bool = False

    @property
    def reference(self) -> str:
        """The name by which documents refer to it."""
        return f"azureml:{self.name}:{self.version}"


def check_name(name: str, what: str = "name") -> str:
    """Return a name if Azure accepts it.

    Raises
    ------
    UsageError
        Azure does not accept it.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{what} {name!r}", "is not one that Azure accepts", "Use letters, digits, '-' and '_'.")
    return name


def asset_document(
    prefix: str,
    part: str,
    *,
    name: str | None = None,
    datastore: str = DEFAULT_DATASTORE,
    version: str | None = None,
    inventory: Inventory | None = None,
) -> Document:
    """The document of a data asset; without an inventory, as in a dry run, it has no fingerprint.

    Parameters
    ----------
    prefix
        The study's folder in the datastore.
    part
        A name in `PARTS`; empty for the whole study.
    name
        Name of the asset; `prefix` by default.
    datastore
        Datastore of the study.
    version
        Version of the asset; None for the next number.
    inventory
        What was uploaded.

    Raises
    ------
    UsageError
        Azure does not accept the name.
    """
    folder = f"{prefix}/{FOLDER_OF_PART[part]}" if part else prefix
    tags = {_PART: part or "study", _PREFIX: prefix}
    if inventory is not None:
        tags |= {_FINGERPRINT: inventory.fingerprint(part), _PATIENTS: str(inventory.patients)}
    return Document(
        "data",
        {
            "$schema": f"{SCHEMAS}/data.schema.json",
            "name": check_name(f"{name or prefix}-{part}" if part else name or prefix),
            **({} if version is None else {"version": version}),
            "type": "uri_folder",
            "description": f"{prefix}: {PARTS[part]}",
            "path": f"azureml://datastores/{datastore}/paths/{folder}/",
            "tags": tags,
        },
    )


def upload_document(root: Path, prefix: str) -> Document:
    """The document with which `az ml` itself would upload a study and create an asset of it."""
    content = {
        "$schema": f"{SCHEMAS}/data.schema.json",
        "name": prefix,
        "type": "uri_folder",
        "path": str(root.resolve()),
    }
    return Document("data", content)


def create_assets(
    connection: Connection, prefix: str, parts: Iterable[str], *, name: str | None = None, version: str | None = None
) -> list[Asset]:
    """Create data assets of an uploaded study; parts without files are left out, and existing assets are kept.

    Parameters
    ----------
    connection
        Connection to the workspace.
    prefix
        The study's folder in the datastore.
    parts
        Names in `PARTS`.
    name, version
        As in `asset_document`.

    Raises
    ------
    AzureError
        The study is only partly uploaded, or `version` already exists with other content.
    """
    datastore = str(connection.datastore.name)
    with azure_faults(f"study {prefix}"):
        inventory = read_inventory(connection.container(), prefix)
    made = []
    for part in parts:
        if not inventory.part(part):
            continue
        document = asset_document(prefix, part, name=name, datastore=datastore, version=version, inventory=inventory)
        made.append(_create(connection, document))
    if not made:
        raise AzureError(f"study {prefix}", "has none of these parts", f"It has: {', '.join(_parts_of(inventory))}.")
    return made


def _parts_of(inventory: Inventory) -> list[str]:
    return [part or "study" for part in PARTS if inventory.part(part)]


def _create(connection: Connection, document: Document) -> Asset:
    name, version = document.content["name"], document.content.get("version")
    wanted = document.content["tags"][_FINGERPRINT]
    there = None
    with suppress(NotThereError):
        there = find_asset(connection, name, version)
    if there is not None and there.fingerprint == wanted:
        return there
    if there is not None and version is not None:
        raise AzureError(
            f"data asset {name}:{version}",
            "already exists with other files",
            _TAKEN,
        )
    with azure_faults(f"data asset {name}", taken=_TAKEN), quiet():
        made = connection.client.data.create_or_update(document.load())
    return _asset(made, created=True)


def list_assets(connection: Connection) -> list[Asset]:
    """All data assets of the workspace, each in its newest version."""
    with azure_faults("data assets"):
        names = sorted(one.name for one in connection.client.data.list())
    return [find_asset(connection, name) for name in names]


def find_asset(connection: Connection, name: str, version: str | None = None) -> Asset:
    """Return a data asset; without a version, the newest.

    Parameters
    ----------
    connection
        Connection to the workspace.
    name, version
        Name and version of the asset; None for the newest version.

    Raises
    ------
    AzureError
        The asset does not exist.
    """
    with azure_faults(f"data asset {name}" + (f":{version}" if version else "")):
        if version is None:
            return _asset(connection.client.data.get(name, label="latest"))
        return _asset(connection.client.data.get(name, version=version))


def download_asset(
    connection: Connection,
    name: str,
    version: str | None,
    folder: Path,
    *,
    overwrite: bool = False,
    track: Track = silent,
) -> tuple[Asset, Transfer]:
    """Fetch a data asset and check every file by its SHA-256.

    Parameters
    ----------
    connection
        Connection to the workspace.
    name, version
        Name and version of the asset; None for the newest version.
    folder
        Folder for its files.
    overwrite
        Replace files that differ.
    track
        Receives progress.

    Raises
    ------
    AzureError
        The asset does not exist, its files changed after this version was created, or a checksum differs.
    OutputExistsError
        A file already exists with other content.
    """
    asset = find_asset(connection, name, version)
    found = _PATH.fullmatch(asset.path)
    if found is None:
        raise AzureError(
            f"data asset {name}", f"is at {asset.path}, not in a datastore", "Name one that GlioMap created."
        )
    datastore, prefix = found[1], found[2]
    container = connection.container(datastore)
    with azure_faults(f"data asset {name}:{asset.version}"):
        wanted = None
        if asset.part is not None:
            inventory = read_inventory(container, asset.prefix)
            part = "" if asset.part == "study" else asset.part
            if asset.fingerprint and inventory.fingerprint(part) != asset.fingerprint:
                raise AzureError(
                    f"data asset {name}:{asset.version}",
                    "its files were changed after this version was created",
                    "Create a new version (gliomap azure dataset create), and name that.",
                )
            wanted = inventory.part(part)
        return asset, download_files(container, prefix, folder, wanted=wanted, overwrite=overwrite, track=track)


def _asset(data: Any, *, created: bool = False) -> Asset:
    tags = data.tags or {}
    return Asset(
        name=data.name,
        version=str(data.version),
        path=data.path,
        part=tags.get(_PART),
        fingerprint=tags.get(_FINGERPRINT, ""),
        patients=int(tags.get(_PATIENTS, "0")),
        prefix=tags.get(_PREFIX, ""),
        created=created,
    )
