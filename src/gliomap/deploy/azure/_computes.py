"""Clusters: one for training, one that is attached, and the commands that create them."""

from __future__ import annotations

from gliomap.deploy.azure._client import Connection, plain
from gliomap.deploy.azure._documents import SCHEMAS, Document
from gliomap.deploy.azure._faults import NotThereError, azure_faults
from gliomap.errors import AzureError

__all__ = ["DEFAULT_CLUSTER", "attaching", "cluster_document", "making", "require_compute"]

DEFAULT_CLUSTER, _SIZE, _NODES = "cpu-cluster", "Standard_D4s_v3", 4


def cluster_document() -> Document:
    """The document of a cluster that costs nothing while nobody trains."""
    content = {
        "$schema": f"{SCHEMAS}/amlCompute.schema.json",
        "name": DEFAULT_CLUSTER,
        "type": "amlcompute",
        "size": _SIZE,
        "min_instances": 0,
        "max_instances": _NODES,
        "idle_time_before_scale_down": 120,
    }
    return Document("compute", content)


def making(name: str = DEFAULT_CLUSTER) -> str:
    """The command that creates a cluster."""
    return f"az ml compute create --name {name} --type AmlCompute --size {_SIZE} --max-instances {_NODES}"


def attaching(name: str) -> str:
    """The command that attaches your own Kubernetes cluster to the workspace."""
    return f"az ml compute attach --name {name} --type Kubernetes --resource-id ID"


def require_compute(connection: Connection, name: str, remedy: str) -> None:
    """Refuse a compute that does not exist or is not working, before anything is sent to it.

    Raises
    ------
    AzureError
        The compute does not exist, with `remedy`, or is not in the state Succeeded.
    """
    try:
        with azure_faults(f"compute {name}"):
            found = connection.client.compute.get(name)
    except NotThereError as error:
        with azure_faults("computes"):
            have = ", ".join(sorted(one.name for one in connection.client.compute.list())) or "none"
        raise AzureError(f"compute {name!r}", f"does not exist; the workspace has: {have}", remedy) from error
    state = plain(found.provisioning_state)
    if state != "Succeeded":
        raise AzureError(f"compute {name!r}", f"is in state {state}", "See its page in the studio, or choose another.")
