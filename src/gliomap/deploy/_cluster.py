"""What a cluster is to run, and the labels by which its parts find each other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from gliomap.deploy._names import ImageName, check_dns_label
from gliomap.errors import UsageError

__all__ = ["CLIENT_LABEL", "ClusterRequest", "ScaleOn", "common_labels", "pod_labels"]

CLIENT_LABEL = {"gliomap.org/client": "true"}
"""Pods with this label may send frames."""

ScaleOn = Literal["cpu", "queue", "none"]
_MEMORY = re.compile(r"[1-9][0-9]*[MG]i")


@dataclass(frozen=True, slots=True)
class ClusterRequest:
    """What to run on a cluster.

    Attributes
    ----------
    image
        Image made by `deploy docker`, under its name in the cluster's registry.
    name
        Name of every object.
    namespace
        Namespace that the manifests create and use; None for that of `kubectl`.
    keys_secret
        Name of the Secret whose entry 'keys' is a file of keys.
    replicas, most
        Minimum and maximum number of pods; `most` applies if they scale.
    scale_on
        What the number of pods follows: 'cpu', 'queue' (waiting frames, from Prometheus), or 'none'.
    threads
        Processors per pod.
    memory
        Memory limit per pod, such as '2Gi'.
    bundle_claim
        PersistentVolumeClaim with the bundle at its root, or None if the bundle is in the image.
    archive_claim
        PersistentVolumeClaim for the service's archive, or None. An archive has one writer: one pod, no scaling.
    kserve
        Use an InferenceService instead of Deployment, Service, autoscaler and disruption budget.

    Raises
    ------
    UsageError
        Kubernetes does not accept a name or amount, or options contradict each other.
    """

    image: ImageName
    name: str = "gliomap"
    namespace: str | None = None
    keys_secret: str = "gliomap-keys"
    replicas: int = 2
    most: int = 6
    scale_on: ScaleOn = "cpu"
    threads: int = 2
    memory: str = "2Gi"
    bundle_claim: str | None = None
    archive_claim: str | None = None
    kserve: bool = False

    def __post_init__(self) -> None:
        names = {
            "name": self.name,
            "namespace": self.namespace,
            "secret": self.keys_secret,
            "bundle claim": self.bundle_claim,
            "archive claim": self.archive_claim,
        }
        for what, name in names.items():
            if name is not None:
                check_dns_label(name, what)
        if not _MEMORY.fullmatch(self.memory):
            raise UsageError(f"memory {self.memory!r}", "is not a valid amount", "Write it as 512Mi or 2Gi.")
        if self.archive_claim is not None and (self.replicas > 1 or self.scale_on != "none"):
            raise UsageError(
                "archive",
                "can have only one writer, but several pods would share it",
                "Add --replicas 1 --scale-on none.",
            )
        if self.scale_on != "none" and self.most < self.replicas:
            raise UsageError(
                f"the maximum of {self.most} pods", f"is below the minimum of {self.replicas}", "Raise --max-replicas."
            )
        if self.kserve and self.scale_on == "queue":
            raise UsageError("KServe", "scales on cpu, not on the queue", "Use --scale-on cpu or none.")


def pod_labels(request: ClusterRequest) -> dict[str, str]:
    """Labels that select the pods; they never change, because a Deployment's selector cannot change."""
    return {"app.kubernetes.io/name": "gliomap", "app.kubernetes.io/instance": request.name}


def common_labels(request: ClusterRequest) -> dict[str, str]:
    """Labels of every object."""
    return {
        **pod_labels(request),
        "app.kubernetes.io/component": "service",
        "app.kubernetes.io/managed-by": "kustomize",
    }
