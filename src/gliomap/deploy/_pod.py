"""The pod of the service for Kubernetes; Deployment and InferenceService both contain it."""

from __future__ import annotations

from typing import Any

from gliomap.deploy._cluster import ClusterRequest, pod_labels
from gliomap.deploy._image import INSIDE_PORT

__all__ = ["ANNOTATION", "pod_metadata", "pod_spec"]

ANNOTATION = "gliomap.org/bundle-identity"
USER = 10001
DRAIN_S = 5
"""Time between a pod's removal from the Service and its SIGTERM, so that a stopping pod receives nothing new."""
GRACE_S = 30 + DRAIN_S + 10
"""The service itself stops within 30 s."""
_KEYS = "/run/secrets/gliomap"
_LOCKED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def pod_metadata(request: ClusterRequest, identity: str) -> dict[str, Any]:
    """Labels that select the pods, and annotations; they name the bundle, so another bundle creates new pods."""
    scraped = {"prometheus.io/scrape": "true", "prometheus.io/port": str(INSIDE_PORT), "prometheus.io/path": "/metrics"}
    return {"labels": pod_labels(request), "annotations": {ANNOTATION: identity, **scraped}}


def pod_spec(request: ClusterRequest, identity: str) -> dict[str, Any]:
    """The pod: a check that the bundle is the right one, then the service."""
    mounts = _mounts(request)
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": pod_labels(request)},
            }
        ],
        "initContainers": [_check(request, identity, mounts)],
        "containers": [_service(request, mounts)],
        "volumes": _volumes(request),
    }


def _check(request: ClusterRequest, identity: str, mounts: list[dict[str, Any]]) -> dict[str, Any]:
    """Fails if the image or volume holds another bundle; after that, the service checks all files of the bundle."""
    return {
        "name": "check-bundle",
        "image": str(request.image),
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", f"echo '{identity}  /bundle/manifest.json' | sha256sum --check --strict"],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}},
        "securityContext": _LOCKED,
        "volumeMounts": [mount for mount in mounts if mount["name"] == "bundle"],
    }


def _service(request: ClusterRequest, mounts: list[dict[str, Any]]) -> dict[str, Any]:
    arguments = ["--keys", f"{_KEYS}/keys", "--threads", str(request.threads)]
    if request.archive_claim is not None:
        arguments += ["--archive", "/archive"]
    # KServe finds the container by its name, and the protocol by this variable.
    called = (
        {"name": "kserve-container", "env": [{"name": "PROTOCOL", "value": "v2"}]}
        if request.kserve
        else {"name": "gliomap"}
    )
    return {
        **called,
        "image": str(request.image),
        "imagePullPolicy": "IfNotPresent",
        "args": arguments,
        "ports": [{"name": "http", "containerPort": INSIDE_PORT, "protocol": "TCP"}],
        # Not readiness: with a full or missing archive, the pod would be restarted again and again. The service does not
        # answer at all before it has classified a frame.
        "startupProbe": _probe("/health/live", every=1, failures=60),
        "readinessProbe": _probe("/health/ready", every=5, failures=2),
        "livenessProbe": _probe("/health/live", every=10, failures=3),
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(DRAIN_S)]}}},
        "resources": {
            "requests": {"cpu": "1", "memory": "512Mi"},
            "limits": {"cpu": str(request.threads), "memory": request.memory},
        },
        "securityContext": _LOCKED,
        "volumeMounts": mounts,
    }


def _probe(path: str, *, every: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": every,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }


def _mounts(request: ClusterRequest) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": "keys", "mountPath": _KEYS, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    if request.bundle_claim is not None:
        mounts.append({"name": "bundle", "mountPath": "/bundle", "readOnly": True})
    if request.archive_claim is not None:
        mounts.append({"name": "archive", "mountPath": "/archive"})
    return mounts


def _volumes(request: ClusterRequest) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {"name": "keys", "secret": {"secretName": request.keys_secret, "defaultMode": 0o440, "optional": False}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
    ]
    if request.bundle_claim is not None:
        volumes.append(
            {"name": "bundle", "persistentVolumeClaim": {"claimName": request.bundle_claim, "readOnly": True}}
        )
    if request.archive_claim is not None:
        volumes.append({"name": "archive", "persistentVolumeClaim": {"claimName": request.archive_claim}})
    return volumes
