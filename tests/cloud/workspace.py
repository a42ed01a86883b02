"""A stand-in for Azure's control plane: the resources of one workspace and their REST interface.

Its paths and replies follow the published interface of Microsoft.MachineLearningServices, as far as azure-ai-ml uses
it. It stores resources, passes jobs to a `cluster` and deployments to a `kitchen`, both set by the test, and
answers with faults on request. It is not Azure: Azure may refuse what the stand-in accepts.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.storage.blob import ContainerSasPermissions, generate_container_sas

from cloud import identity
from cloud.machine_room import ACCOUNT, ACCOUNT_KEY

SUBSCRIPTION, GROUP, WORKSPACE = "00000000-1111-2222-3333-444444444444", "nemesis", "brain"
CONTAINER = "azureml-blobstore-1"
LOCATION = "westeurope"
ARM = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"
    f"/providers/Microsoft.MachineLearningServices/workspaces/{WORKSPACE}"
)
SERVICES = f"https://{LOCATION}.api.azureml.ms"

Json = dict[str, Any]


@dataclass
class Fault:
    """An answer given instead to requests whose method and path match, at most `times` times."""

    match: str
    status: int
    times: int = 1_000
    headers: dict[str, str] = field(default_factory=dict)
    code: str = "Refused"
    message: str = "refused by the test"


@dataclass(frozen=True)
class Reply:
    """One answer."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Cloud:
    """The contents of the workspace.

    Attributes
    ----------
    things
        Path below the workspace → resource.
    asked
        'METHOD path' of every request, in order.
    faults
        Faults to answer with instead.
    logs
        Job or trial → output of its command.
    trials
        Sweep → trial → state.
    cluster
        Runs a job, given its name and resource; returns its status and log.
    kitchen
        Makes a deployment, given its resource; returns its provisioning state.
    score
        Answers a request to a scoring address, given its target, headers and body; returns status, headers and body.
    elsewhere
        Names of endpoints of other workspaces in the region.
    """

    things: dict[str, Json] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    trials: dict[str, dict[str, str]] = field(default_factory=dict)
    deployment_log: str = ""
    elsewhere: set[str] = field(default_factory=set)
    container: str = CONTAINER
    make_container: Callable[[str], object] = str
    cluster: Callable[[str, Json], tuple[str, str]] | None = None
    kitchen: Callable[[Json], str] | None = None
    score: Callable[[str, dict[str, str], bytes], tuple[int, dict[str, str], bytes]] | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.things[""] = {
            "id": ARM,
            "name": WORKSPACE,
            "type": "Microsoft.MachineLearningServices/workspaces",
            "location": LOCATION,
            "properties": {
                "workspaceId": "77777777-0000-0000-0000-000000000000",
                "discoveryUrl": f"{SERVICES}/discovery",
                "mlFlowTrackingUri": f"azureml://{LOCATION}.api.azureml.ms/mlflow/v1.0{ARM}",
                "provisioningState": "Succeeded",
                "friendlyName": WORKSPACE,
            },
            "identity": {"type": "SystemAssigned"},
        }
        self.put(
            "datastores/workspaceblobstore",
            {
                "datastoreType": "AzureBlob",
                "accountName": ACCOUNT,
                "containerName": self.container,
                "endpoint": "core.windows.net",
                "protocol": "https",
                "isDefault": True,
                "credentials": {"credentialsType": "None"},
            },
        )
        for name, kind, size, state in (
            ("cpu", "AmlCompute", "Standard_D4s_v3", "Succeeded"),
            ("gpu", "AmlCompute", "Standard_NC6s_v3", "Succeeded"),
        ):
            self.put(
                f"computes/{name}",
                {
                    "computeType": kind,
                    "provisioningState": state,
                    "computeLocation": LOCATION,
                    "properties": {
                        "vmSize": size,
                        "vmPriority": "Dedicated",
                        "scaleSettings": {
                            "minNodeCount": 0,
                            "maxNodeCount": 4,
                            "nodeIdleTimeBeforeScaleDown": "PT120S",
                        },
                        "allocationState": "Steady",
                        "currentNodeCount": 0,
                    },
                },
                location=LOCATION,
            )

    def put(self, path: str, properties: Json, **more: Any) -> Json:
        """Store a resource."""
        kind = "/".join(part for part in path.split("/")[::2])
        made = "2026-01-02T03:04:05.0000000+00:00"
        self.things[path] = {
            "id": f"{ARM}/{path}",
            "name": path.rsplit("/", 1)[-1],
            "type": f"Microsoft.MachineLearningServices/workspaces/{kind}",
            "properties": properties,
            "systemData": {"createdAt": made, "createdBy": "a tester", "createdByType": "User", "lastModifiedAt": made},
            **more,
        }
        return self.things[path]

    def below(self, path: str) -> list[Json]:
        """The members of a collection."""
        return [one for name, one in self.things.items() if name.rpartition("/")[0] == path and name != ""]


def resource(cloud: Cloud, method: str, path: str, query: dict[str, str], body: Json) -> Reply:
    if method == "POST":
        return _action(cloud, path)
    if method == "GET" and path.startswith("operations/"):
        return _operation_status(cloud.things[path.removeprefix("operations/")]["properties"]["provisioningState"])
    if method == "GET":
        return _read(cloud, path, query)
    if method == "DELETE":
        gone = [name for name in cloud.things if name == path or name.startswith(path + "/")]
        for name in gone:
            del cloud.things[name]
        return Reply(200 if gone else 204)
    if method == "PATCH":
        kept = cloud.things[path]
        kept["properties"].update(body.get("properties", {}))
        return Reply(200, kept)
    return _write(cloud, path, body)


def _read(cloud: Cloud, path: str, query: dict[str, str]) -> Reply:
    kinds = path.split("/")
    if path in ("data", "models", "environments"):
        names = sorted({name.split("/")[1] for name in cloud.things if name.startswith(f"{path}/")})
        return Reply(200, {"value": [_container(cloud, f"{path}/{name}") for name in names]})
    if len(kinds) % 2:
        members = cloud.below(path)
        if kinds[0] == "datastores" and "isDefault" in query:
            members = [one for one in members if one["properties"].get("isDefault")]
        if kinds[0] == "jobs":
            parent = re.search(r"parentJobName=(\S+)", query.get("properties", "")) or query.get("parentJobName")
            members = [one for one in members if not parent or _parent(one) == parent]
        if kinds[-1] == "versions":
            members = sorted(members, key=lambda one: _number(one["name"]), reverse=True)
            if "hash" in query:
                members = []
            if "$top" in query:
                members = members[: int(query["$top"])]
        return Reply(200, {"value": members})
    if path in cloud.things:
        return Reply(200, cloud.things[path])
    if cloud.below(f"{path}/versions"):
        return Reply(200, _container(cloud, path))
    kind, name = kinds[-2], kinds[-1]
    return Reply(404, {"error": {"code": "NotFound", "message": f"{kind} {name} was not found"}})


def _container(cloud: Cloud, path: str) -> Json:
    """The reply about an asset without a version."""
    latest = max((one["name"] for one in cloud.below(f"{path}/versions")), key=_number)
    known = {"latestVersion": latest, "nextVersion": str(_number(latest) + 1), "isArchived": False, "tags": {}}
    if path.startswith("data/"):
        known["dataType"] = "uri_folder"
    return {"id": f"{ARM}/{path}", "name": path.split("/")[-1], "properties": known}


def _parent(job: Json) -> str | None:
    return job["properties"].get("parentJobName")  # type: ignore[no-any-return]


def _number(version: str) -> int:
    return int(version) if version.isdigit() else 0


def _action(cloud: Cloud, path: str) -> Reply:
    action = path.rsplit("/", 1)[-1]
    if action == "startPendingUpload":
        name = path.split("/")[1]
        kept = f"code-{name}"[:60]
        cloud.make_container(kept)
        blob = f"https://{ACCOUNT}.blob.core.windows.net/{kept}"
        return Reply(
            200,
            {
                "pendingUploadId": uuid.uuid4().hex,
                "pendingUploadType": "TemporaryBlobReference",
                "blobReferenceForConsumption": {
                    "blobUri": blob,
                    "storageAccountArmId": "x",
                    "credential": {"credentialType": "SAS", "sasUri": f"{blob}?{_signature(blob)}"},
                },
            },
        )
    if action in ("listKeys", "token"):
        return _credentials(cloud.things[path.rpartition("/")[0]]["properties"]["authMode"], action)
    if action == "getLogs":
        return Reply(200, {"content": cloud.deployment_log})
    if action == "cancel":
        return Reply(200)
    return Reply(404, {"error": {"code": "NotFound", "message": f"no action {action}"}})


def _credentials(auth_mode: str, action: str) -> Reply:
    """The keys of an endpoint, or its own short-lived token; an endpoint with sign-in has neither."""
    if (auth_mode, action) == ("Key", "listKeys"):
        return Reply(200, {"primaryKey": identity.KEY, "secondaryKey": identity.SECOND_KEY})
    if (auth_mode, action) == ("AMLToken", "token"):
        until = int(time.time()) + 3600
        return Reply(
            200,
            {
                "accessToken": identity.SHORT_TOKEN,
                "tokenType": "Bearer",
                "expiryTimeUtc": until,
                "refreshAfterTimeUtc": until - 600,
            },
        )
    return Reply(400, {"error": {"code": "BadArgument", "message": f"{action} is not for auth mode {auth_mode}"}})


def _signature(blob: str) -> str:
    return generate_container_sas(
        ACCOUNT,
        blob.rsplit("/", 1)[-1],
        ACCOUNT_KEY,
        permission=ContainerSasPermissions(read=True, write=True, list=True, create=True, add=True, delete=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )


def _write(cloud: Cloud, path: str, body: Json) -> Reply:
    properties = dict(body.get("properties", {}))
    more = {name: value for name, value in body.items() if name not in ("properties", "id", "name", "type")}
    kind, name = path.split("/")[0], path.rsplit("/", 1)[-1]
    if kind == "jobs":
        return _submit(cloud, name, properties, more)
    before = cloud.things.get(path)
    if kind in ("data", "models") and before is not None:
        places = {"data": "dataUri", "models": "modelUri"}
        if before["properties"].get(places[kind]) != properties.get(places[kind]):
            told = f"{kind} {path} exists already with another address, which cannot be changed"
            return Reply(409, {"error": {"code": "Conflict", "message": told}})
    if kind == "onlineEndpoints" and name in cloud.elsewhere:
        told = f"The endpoint name {name} is taken: names are unique within the region."
        return Reply(400, {"error": {"code": "UserError", "message": told}})
    properties["provisioningState"] = "Succeeded"
    if kind == "models":
        properties.setdefault("flavors", {})
    if path.count("/") == 1 and kind == "onlineEndpoints":
        address = f"https://{name}.{LOCATION}.inference.ml.azure.com"
        properties |= {"scoringUri": f"{address}/score", "swaggerUri": f"{address}/swagger.json"}
        properties.setdefault("traffic", {})
    if kind == "onlineEndpoints" and path.count("/") == 3:
        properties.setdefault("scaleSettings", {"scaleType": "Default"})
    kept = cloud.put(path, properties, **more)
    if kind == "onlineEndpoints" and path.count("/") == 3:
        made = deepcopy(kept)
        properties["provisioningState"] = "Succeeded" if cloud.kitchen is None else cloud.kitchen(kept)
        made["properties"]["provisioningState"] = "Creating"
        operation = f"https://management.azure.com{ARM}/operations/{path}"
        return Reply(201, made, {"Azure-AsyncOperation": operation})
    return Reply(200 if before else 201, kept)


def _operation_status(state: str) -> Reply:
    """The state of a long-running operation; a failed one is reported with status 200 too."""
    if state != "Failed":
        return Reply(200, {"status": state})
    return Reply(200, {"status": state, "error": {"code": "BadRequest", "message": "the container never got ready"}})


def _submit(cloud: Cloud, name: str, properties: Json, more: Json) -> Reply:
    if f"jobs/{name}" in cloud.things:
        return Reply(409, {"error": {"code": "Conflict", "message": f"job {name} exists already"}})
    properties |= {"status": "Running", "services": {"Studio": {"endpoint": f"https://ml.azure.com/runs/{name}"}}}
    job = cloud.put(f"jobs/{name}", properties, **more)

    def work() -> None:
        status, log = "Failed", "the machines broke"
        try:
            status, log = ("Completed", "done\n") if cloud.cluster is None else cloud.cluster(name, job)
        finally:
            if log:
                cloud.logs[name] = log
            properties["status"] = status

    threading.Thread(target=work, daemon=True).start()
    return Reply(201, job)
