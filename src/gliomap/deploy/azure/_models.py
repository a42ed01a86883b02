"""Bundles in the workspace's model registry."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from gliomap.bundles import Bundle, open_bundle
from gliomap.deploy.azure._client import Connection, quiet
from gliomap.deploy.azure._documents import SCHEMAS, Document
from gliomap.deploy.azure._faults import NotThereError, azure_faults
from gliomap.errors import UsageError

__all__ = ["as_reference", "find_model", "local_model", "model_document", "register_bundle"]

_TAKEN = "A version never changes: run the command again for the next one, or choose another name with --register NAME."
IDENTITY = "gliomap-bundle"
"""Tag with the identity of the bundle."""
_REFERENCE = re.compile(r"(?:azureml:)?(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]*)(?::(?P<version>[A-Za-z0-9_.-]+)|@latest)?")


def model_document(bundle: Bundle, *, path: str | None = None, name: str | None = None) -> Document:
    """The document that registers a bundle as a model.

    Parameters
    ----------
    bundle
        A bundle on this machine.
    path
        Its location if it is already in Azure; None to upload it.
    name
        Name in the registry; None for the bundle's own.
    """
    manifest = bundle.manifest
    return Document(
        "model",
        {
            "$schema": f"{SCHEMAS}/model.schema.json",
            "name": name or re.sub(r"[^A-Za-z0-9_-]", "-", manifest.name),
            "type": "custom_model",
            "description": "GlioMap bundle. Research software, not a medical device.",
            "path": path or str(bundle.path.resolve()),
            "tags": {IDENTITY: bundle.identity, "gliomap": manifest.gliomap, "model": manifest.model.name},
        },
    )


def as_reference(model: Bundle | str, name: str | None = None) -> str:
    """A model as documents refer to it, the newest version if none is given; a bundle by the name of its registration."""
    reference = str(model_document(model, name=name).content["name"]) if isinstance(model, Bundle) else model
    reference = reference.removeprefix("azureml:")
    return f"azureml:{reference}" if ":" in reference or "@" in reference else f"azureml:{reference}@latest"


def register_bundle(connection: Connection, document: Document) -> str:
    """Register a model and return NAME:VERSION; if the newest version is this very bundle, nothing new is created.

    Raises
    ------
    AzureError
        Azure refuses it.
    """
    name = document.content["name"]
    with suppress(NotThereError), azure_faults(f"model {name}"):
        there = connection.client.models.get(name, label="latest")
        if (there.tags or {}).get(IDENTITY) == document.content["tags"][IDENTITY]:
            return f"{there.name}:{there.version}"
    with azure_faults(f"model {name}", taken=_TAKEN), quiet():
        made = connection.client.models.create_or_update(document.load())
    return f"{made.name}:{made.version}"


def find_model(connection: Connection, reference: str) -> str:
    """Return NAME:VERSION of a registered model; without a version, of the newest.

    Raises
    ------
    UsageError
        The reference has another form.
    AzureError
        There is no such model.
    """
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise UsageError(
            f"model {reference!r}", "is neither a local bundle nor NAME:VERSION", "Check the path or name."
        )
    with azure_faults(f"model {reference}"):
        if found["version"]:
            model = connection.client.models.get(found["name"], version=found["version"])
        else:
            model = connection.client.models.get(found["name"], label="latest")
    return f"{model.name}:{model.version}"


def local_model(reference: str) -> Bundle | None:
    """The local bundle that a reference means; None if there is no such path.

    Raises
    ------
    BundleError
        The path is not a bundle, or the bundle is damaged or does not accept frames.
    """
    path = Path(reference)
    if not path.exists():
        return None
    bundle = open_bundle(path)
    bundle.require_frames()
    return bundle
