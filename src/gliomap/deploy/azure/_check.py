"""What a workspace has, who the caller is there, and what is missing for GlioMap's verbs."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gliomap.deploy.azure._client import Connection, plain
from gliomap.deploy.azure._computes import making
from gliomap.deploy.azure._documents import SCHEMAS, Document
from gliomap.deploy.azure._faults import NotThereError, UnreachedError, azure_faults
from gliomap.deploy.azure._settings import AzureSettings
from gliomap.errors import AzureError

__all__ = ["Checked", "Compute", "Missing", "Quota", "check_workspace", "workspace_document"]


@dataclass(frozen=True, slots=True)
class Compute:
    """A compute target: its name, type, machine size, state, and maximum number of nodes."""

    name: str
    type: str
    size: str
    state: str
    nodes: int | None


@dataclass(frozen=True, slots=True)
class Quota:
    """Cores of a machine family: in use, and the limit."""

    name: str
    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that a verb needs and that is missing, and how to create it."""

    what: str
    remedy: str


@dataclass(frozen=True)
class Checked:
    """What `check_workspace` found.

    Attributes
    ----------
    workspace, location
        Name and region.
    identity
        The caller's identity in Azure.
    datastores
        Name → container or share; the default one first.
    computes, quotas
        See `Compute` and `Quota`.
    missing
        Empty if all verbs can work.
    """

    workspace: str
    location: str
    identity: str
    datastores: dict[str, str]
    computes: tuple[Compute, ...]
    quotas: tuple[Quota, ...]
    missing: tuple[Missing, ...]


def check_workspace(connection: Connection) -> Checked:
    """Query the workspace.

    Raises
    ------
    AzureError
        There is no network, the sign-in is not accepted, or the workspace does not exist.
    """
    client, settings = connection.client, connection.settings
    identity = _identity(connection)
    workspace = _workspace(connection)
    with azure_faults(f"workspace {settings.workspace_name}"):
        default = connection.datastore.name
        stores = {one.name: _place(one) for one in client.datastores.list()}
        computes = tuple(_compute(one) for one in client.compute.list())
    missing: list[Missing] = []
    quotas = _tried(missing, "quotas", lambda: _quotas(connection, workspace.location)) or ()
    _tried(missing, "storage", lambda: _can_read(connection))
    if not any(one.type == "amlcompute" and one.state == "Succeeded" for one in computes):
        missing.append(Missing("a cluster, for azure train", f"Create one: {making()}"))
    ordered = {default: stores.get(default, ""), **stores}
    return Checked(workspace.name, workspace.location, identity, ordered, computes, quotas, tuple(missing))


def workspace_document(settings: AzureSettings) -> Document:
    """The document of the workspace itself."""
    content = {
        "$schema": f"{SCHEMAS}/workspace.schema.json",
        "name": settings.workspace_name,
        "resource_group": settings.resource_group,
    }
    return Document("workspace", content)


def _workspace(connection: Connection) -> Any:
    settings = connection.settings
    name, group = settings.workspace_name, settings.resource_group
    try:
        with azure_faults(f"workspace {name}"):
            return connection.client.workspaces.get(name)
    except NotThereError as error:
        making = f"az ml workspace create --name {name} --resource-group {group}"
        told = f"Check the name, the subscription and the resource group; or create it: {making}"
        raise NotThereError(error.thing, error.fault, told) from error


def _identity(connection: Connection) -> str:
    """The identity stated in the token; the token itself is not kept."""
    with azure_faults("sign-in"):
        token = connection.credential.get_token(connection.settings.places.management).token
    body = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except ValueError:
        return "unknown"
    return str(claims.get("upn") or claims.get("appid") or claims.get("oid") or "unknown")


def _place(store: Any) -> str:
    place = getattr(store, "container_name", None) or getattr(store, "file_share_name", None) or ""
    account = getattr(store, "account_name", None)
    return f"{account}/{place}" if account else str(place)


def _compute(one: Any) -> Compute:
    return Compute(
        one.name,
        str(one.type).lower(),
        getattr(one, "size", "") or "",
        plain(one.provisioning_state),
        getattr(one, "max_instances", None),
    )


def _quotas(connection: Connection, location: str) -> tuple[Quota, ...]:
    with azure_faults("quotas"):
        found = list(connection.client.compute.list_usage(location=location))
    return tuple(_quota(vars(one)) for one in found if (one.limit or 0) > 0)


def _quota(told: Mapping[str, Any]) -> Quota:
    # azure-ai-ml passes these on unchanged, with names in either style.
    name = told.get("name") or {}
    title = name.get("localizedValue") or name.get("localized_value") or name.get("value") or "?"
    used = told.get("currentValue", told.get("current_value"))
    return Quota(str(title), int(used or 0), int(told["limit"]))


def _can_read(connection: Connection) -> None:
    container = connection.container()
    with azure_faults(f"storage container {container.container_name}"):
        container.get_container_properties()


def _tried(missing: list[Missing], what: str, ask: Callable[[], Any]) -> Any:
    """Query something useful but not essential; record what is wrong with it."""
    try:
        return ask()
    except UnreachedError:
        raise
    except AzureError as error:
        missing.append(Missing(f"{what}: {error.fault}", error.remedy))
        return None
