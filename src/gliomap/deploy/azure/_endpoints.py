"""Online endpoints and their deployments, as documents."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from gliomap import __version__
from gliomap.deploy.azure._code import SCORING_SCRIPT, code_folder, environment
from gliomap.deploy.azure._documents import SCHEMAS, Document
from gliomap.errors import UsageError

__all__ = ["AUTH_MODES", "Auth", "EndpointKind", "EndpointPlan", "deployment_document", "endpoint_document"]

EndpointKind = Literal["managed", "kubernetes"]
Auth = Literal["key", "entra"]

_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]{1,30}[a-zA-Z0-9]")
AUTH_MODES = {"key": "key", "entra": "aad_token"}
"""GlioMap's words → Azure's."""
_PROBE = {"period": 10, "timeout": 5, "success_threshold": 1}


@dataclass(frozen=True, slots=True)
class EndpointPlan:
    """A deployment to create.

    Attributes
    ----------
    endpoint, deployment
        Their names.
    kind
        Machines managed by Azure, or your own Kubernetes cluster.
    model
        Document path or reference: `azureml:NAME:V`.
    auth
        How clients authenticate.
    instance_type, instances
        Machine (or the cluster's instance type), and number of instances.
    compute
        The attached cluster; Kubernetes only.

    Raises
    ------
    UsageError
        Azure does not accept a name, or the compute is missing.
    """

    endpoint: str
    deployment: str
    kind: EndpointKind
    model: str
    auth: Auth = "key"
    instance_type: str | None = None
    instances: int = 1
    compute: str | None = None

    def __post_init__(self) -> None:
        for what, name in (("endpoint", self.endpoint), ("deployment", self.deployment)):
            if not _NAME.fullmatch(name):
                raise UsageError(
                    f"{what} {name!r}",
                    "is not a name that Azure accepts",
                    "Use 3 to 32 letters, digits and '-', starting with a letter.",
                )
        if self.kind == "kubernetes" and self.compute is None:
            raise UsageError("--to kubernetes", "needs the attached cluster", "Name it: --compute NAME.")
        if self.kind == "managed" and self.compute is not None:
            raise UsageError("--compute", "belongs to --to kubernetes", "Omit it, or add --to kubernetes.")


def endpoint_document(plan: EndpointPlan) -> Document:
    """The document of the endpoint."""
    managed = plan.kind == "managed"
    return Document(
        "online-endpoint",
        {
            "$schema": f"{SCHEMAS}/{'managed' if managed else 'kubernetes'}OnlineEndpoint.schema.json",
            "name": plan.endpoint,
            "auth_mode": AUTH_MODES[plan.auth],
            **({} if managed else {"compute": f"azureml:{plan.compute}"}),
            "description": "GlioMap. Research software, not a medical device.",
            "tags": {"gliomap": __version__},
        },
    )


def deployment_document(plan: EndpointPlan) -> Document:
    """The document of the deployment: model, scoring script, environment, machines, probes."""
    managed = plan.kind == "managed"
    machine = plan.instance_type or ("Standard_DS3_v2" if managed else None)
    return Document(
        "online-deployment",
        {
            "$schema": f"{SCHEMAS}/{'managed' if managed else 'kubernetes'}OnlineDeployment.schema.json",
            "name": plan.deployment,
            "endpoint_name": plan.endpoint,
            **({} if managed else {"type": "kubernetes"}),
            "model": plan.model,
            "code_configuration": {"code": str(code_folder()), "scoring_script": SCORING_SCRIPT},
            "environment": environment("score"),
            **({"instance_type": machine} if machine else {}),
            **({} if managed else {"resources": {"requests": {"cpu": "1", "memory": "2Gi"}}}),
            "instance_count": plan.instances,
            "app_insights_enabled": False,
            # A frame takes well under a second, but may wait for others that arrived before it.
            "request_settings": {"request_timeout_ms": 60_000, "max_concurrent_requests_per_instance": 1},
            "liveness_probe": {**_PROBE, "initial_delay": 60, "failure_threshold": 30},
            "readiness_probe": {**_PROBE, "initial_delay": 10, "failure_threshold": 30},
            "tags": {"gliomap": __version__},
        },
    )
