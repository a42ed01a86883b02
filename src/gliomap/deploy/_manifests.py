"""Kubernetes objects as plain data, one function per object. Field names are those of the Kubernetes API from 1.27 on."""

from __future__ import annotations

from typing import Any

from gliomap.deploy._cluster import CLIENT_LABEL, ClusterRequest, common_labels, pod_labels
from gliomap.deploy._image import INSIDE_PORT
from gliomap.deploy._pod import ANNOTATION, pod_metadata, pod_spec

__all__ = ["manifests"]

Manifest = dict[str, Any]


def manifests(request: ClusterRequest, identity: str) -> dict[str, Manifest]:
    """File name → object, in the order of application; `identity` is the bundle's."""
    made: dict[str, Manifest] = {}
    if request.namespace is not None:
        made["namespace.yaml"] = _namespace(request, request.namespace)
    if request.kserve:
        made["inferenceservice.yaml"] = _inference_service(request, identity)
    else:
        made["deployment.yaml"] = _deployment(request, identity)
        made["service.yaml"] = _service(request)
        made["poddisruptionbudget.yaml"] = _disruption_budget(request)
        if request.scale_on != "none":
            made["horizontalpodautoscaler.yaml"] = _autoscaler(request)
    made["networkpolicy.yaml"] = _network_policy(request)
    return {**made, "kustomization.yaml": _kustomization(request, list(made))}


def _object(request: ClusterRequest, version: str, kind: str, spec: Manifest) -> Manifest:
    metadata: Manifest = {"name": request.name, "labels": common_labels(request)}
    if request.namespace is not None:
        metadata["namespace"] = request.namespace
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def _namespace(request: ClusterRequest, name: str) -> Manifest:
    # The strictest standard that Kubernetes itself enforces; the pods below comply with it.
    labels = {**common_labels(request), "pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _deployment(request: ClusterRequest, identity: str) -> Manifest:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    spec: Manifest = {
        "selector": {"matchLabels": pod_labels(request)},
        "revisionHistoryLimit": 3,
        # Two versions of a pod must never write the same archive.
        "strategy": rolling if request.archive_claim is None else {"type": "Recreate"},
        "template": {"metadata": pod_metadata(request, identity), "spec": pod_spec(request, identity)},
    }
    if request.scale_on == "none":
        spec["replicas"] = (
            request.replicas
        )  # otherwise the autoscaler sets it, and applying the manifest again would reset it
    return _object(request, "apps/v1", "Deployment", spec)


def _service(request: ClusterRequest) -> Manifest:
    spec = {
        "type": "ClusterIP",
        "selector": pod_labels(request),
        "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"}],
        # References are held by the pod that received them: a client stays with its pod for the length of an operation.
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 6 * 3600}},
    }
    return _object(request, "v1", "Service", spec)


def _disruption_budget(request: ClusterRequest) -> Manifest:
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": pod_labels(request)}}
    return _object(request, "policy/v1", "PodDisruptionBudget", spec)


def _autoscaler(request: ClusterRequest) -> Manifest:
    if request.scale_on == "cpu":
        utilisation = {"type": "Utilization", "averageUtilization": 70}
        metric: Manifest = {"type": "Resource", "resource": {"name": "cpu", "target": utilisation}}
    else:
        value = {"type": "AverageValue", "averageValue": "2"}
        metric = {"type": "Pods", "pods": {"metric": {"name": "gliomap_queue_length"}, "target": value}}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": request.name},
        "minReplicas": request.replicas,
        "maxReplicas": request.most,
        "metrics": [metric],
        # A pod that stops loses its references: scale down slowly, one pod at a time.
        "behavior": {
            "scaleDown": {
                "stabilizationWindowSeconds": 1800,
                "policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}],
            }
        },
    }
    return _object(request, "autoscaling/v2", "HorizontalPodAutoscaler", spec)


def _network_policy(request: ClusterRequest) -> Manifest:
    clients = {"podSelector": {"matchLabels": CLIENT_LABEL}}
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    spec = {
        "podSelector": {"matchLabels": pod_labels(request)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [clients, monitoring], "ports": [{"protocol": "TCP", "port": INSIDE_PORT}]}],
        "egress": [],  # the service opens no connections
    }
    return _object(request, "networking.k8s.io/v1", "NetworkPolicy", spec)


def _inference_service(request: ClusterRequest, identity: str) -> Manifest:
    predictor = {
        "minReplicas": request.replicas,
        "maxReplicas": request.replicas if request.scale_on == "none" else request.most,
        "scaleMetric": "cpu",
        "scaleTarget": 70,
        **pod_metadata(request, identity),
        **pod_spec(request, identity),
    }
    made = _object(request, "serving.kserve.io/v1beta1", "InferenceService", {"predictor": predictor})
    # Plain pods: Knative accepts neither the init container nor the read-only settings of this pod.
    made["metadata"]["annotations"] = {"serving.kserve.io/deploymentMode": "RawDeployment", ANNOTATION: identity}
    return made


def _kustomization(request: ClusterRequest, resources: list[str]) -> Manifest:
    made: Manifest = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    if request.namespace is not None:
        made["namespace"] = request.namespace
    return {**made, "resources": resources}
