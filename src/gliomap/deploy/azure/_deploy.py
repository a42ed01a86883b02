"""Deploy a bundle, blue beside green, and remove it again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from gliomap.bundles import Bundle
from gliomap.deploy.azure._client import Connection, plain, quiet
from gliomap.deploy.azure._computes import attaching, require_compute
from gliomap.deploy.azure._documents import Document
from gliomap.deploy.azure._endpoints import AUTH_MODES, EndpointPlan, deployment_document, endpoint_document
from gliomap.deploy.azure._faults import UnreachedError, azure_faults
from gliomap.deploy.azure._models import find_model, model_document, register_bundle
from gliomap.errors import AzureError, GlioMapError, UsageError

__all__ = ["COLOURS", "Deployed", "deploy_bundle", "deployment_log", "planned_documents", "undeploy"]

COLOURS = ("blue", "green")
"""Deployments take turns: the new one runs beside the old one until it answers."""
_TAKEN = "Endpoint names are unique within a region: choose another with --endpoint NAME."
_LOG_LINES = 60
_CONTAINERS = ("storage-initializer", "inference-server")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Deployed:
    """The result of `deploy_bundle`.

    Attributes
    ----------
    endpoint, deployment, model
        Names; the model as NAME:VERSION.
    address
        Address for frames.
    traffic
        Deployment → per cent of the requests.
    seconds
        Stage (register, endpoint, deployment, traffic, and total) → seconds.
    """

    endpoint: str
    deployment: str
    model: str
    address: str
    traffic: dict[str, int]
    seconds: dict[str, float]


def planned_documents(plan: EndpointPlan, bundle: Bundle | None, register: str | None = None) -> tuple[Document, ...]:
    """What `deploy_bundle` creates if nothing exists yet: the model of a bundle, the endpoint, the deployment.

    Parameters
    ----------
    plan
        What to create.
    bundle
        A local bundle; None for a registered model.
    register
        Name in the registry; None for the bundle's own.
    """
    model = () if bundle is None else (model_document(bundle, name=register),)
    return (*model, endpoint_document(plan), deployment_document(plan))


def deploy_bundle(
    connection: Connection,
    model: Bundle | str,
    plan: EndpointPlan,
    *,
    chosen: bool,
    share: int = 100,
    register: str | None = None,
    say: Say,
) -> Deployed:
    """Register a bundle if needed, create endpoint and deployment, wait, and route its share of the requests to it.

    Until the new deployment answers its probes, requests go where they went before.

    Parameters
    ----------
    connection
        Connection to the workspace.
    model
        A local bundle, or the reference of a registered model.
    plan
        What to create; its `model` is filled in here.
    chosen
        Whether the deployment's name was chosen by the user; if not, the free colour is used.
    share
        Per cent of the requests for the new deployment.
    register
        Name in the registry; None for the bundle's own.
    say
        Receives lines for the user.

    Raises
    ------
    UsageError
        The deployment of this name currently answers all requests.
    AzureError
        Azure refuses it, or the deployment does not become healthy; then its log has been passed on, and nothing else changed.
    """
    seconds: dict[str, float] = {}
    if plan.compute is not None:
        require_compute(connection, plan.compute, f"Attach it: {attaching(plan.compute)}")
    with _timed(seconds, "register"):
        name = (
            register_bundle(connection, model_document(model, name=register))
            if isinstance(model, Bundle)
            else find_model(connection, model)
        )
    plan = replace(plan, model=f"azureml:{name}")
    say(f"model {name}")
    with _timed(seconds, "endpoint"):
        endpoint = _endpoint(connection, plan)
    traffic = {one: int(part) for one, part in (endpoint.traffic or {}).items() if part}
    if not chosen:
        plan = replace(plan, deployment=next((one for one in COLOURS if not traffic.get(one)), COLOURS[0]))
    if traffic.get(plan.deployment) == 100:
        raise UsageError(
            f"deployment {plan.deployment}",
            "currently answers all requests, and replacing it would interrupt them",
            f"Choose another name, such as --deployment {COLOURS[plan.deployment == COLOURS[0]]}.",
        )
    say(f"endpoint {plan.endpoint}; creating {plan.deployment}, which takes some minutes")
    with _timed(seconds, "deployment"):
        _make_deployment(connection, plan, say)
    with _timed(seconds, "traffic"):
        shares = _shares(traffic, plan.deployment, share)
        endpoint.traffic = shares
        with azure_faults(f"traffic of {plan.endpoint}"), quiet():
            endpoint = connection.client.online_endpoints.begin_create_or_update(endpoint).result()
    seconds["total"] = round(sum(seconds.values()), 3)
    return Deployed(plan.endpoint, plan.deployment, name, str(endpoint.scoring_uri), shares, seconds)


def undeploy(connection: Connection, endpoint: str, deployment: str | None) -> list[str]:
    """Remove a deployment, or an endpoint with all of its deployments; return what was removed.

    Parameters
    ----------
    connection
        Connection to the workspace.
    endpoint
        Its name.
    deployment
        Only this one; None for the endpoint with all deployments.

    Raises
    ------
    AzureError
        The endpoint or deployment does not exist.
    UsageError
        Requests still go to the deployment.
    """
    with azure_faults(f"endpoint {endpoint}"), quiet():
        found = connection.client.online_endpoints.get(endpoint)
        names = [one.name for one in connection.client.online_deployments.list(endpoint)]
        if deployment is None:
            connection.client.online_endpoints.begin_delete(endpoint).result()
            return [*(f"{endpoint}/{name}" for name in names), endpoint]
    if deployment not in names:
        raise AzureError(
            f"deployment {endpoint}/{deployment}",
            "does not exist",
            f"Deployments of the endpoint: {', '.join(names) or 'none'}.",
        )
    if (found.traffic or {}).get(deployment):
        raise UsageError(
            f"deployment {endpoint}/{deployment}",
            f"receives {found.traffic[deployment]} % of the requests",
            "Deploy another one first, or omit --deployment to remove the whole endpoint.",
        )
    with azure_faults(f"deployment {endpoint}/{deployment}"), quiet():
        connection.client.online_deployments.begin_delete(deployment, endpoint).result()
    return [f"{endpoint}/{deployment}"]


def deployment_log(connection: Connection, endpoint: str, deployment: str, lines: int = _LOG_LINES) -> str:
    """The last log lines of a deployment's containers.

    Parameters
    ----------
    connection
        Connection to the workspace.
    endpoint, deployment
        Their names.
    lines
        Number of lines per container.

    Raises
    ------
    AzureError
        There is no such deployment.
    """
    parts = []
    for container in _CONTAINERS:
        with azure_faults(f"log of {endpoint}/{deployment}"):
            parts.append(
                connection.client.online_deployments.get_logs(deployment, endpoint, lines, container_type=container)
            )
    return "\n".join(part.rstrip("\n") for part in parts if part.strip())


def _endpoint(connection: Connection, plan: EndpointPlan) -> Any:
    """The existing endpoint, or a new one."""
    name = f"endpoint {plan.endpoint}"
    with azure_faults(name, taken=_TAKEN), quiet():
        try:
            there = connection.client.online_endpoints.get(plan.endpoint)
        except ResourceNotFoundError:
            return connection.client.online_endpoints.begin_create_or_update(endpoint_document(plan).load()).result()
    if plan.auth == "entra" and there.auth_mode != AUTH_MODES[plan.auth]:
        raise AzureError(
            name,
            "already exists and admits anybody who has its key",
            "Omit --auth to deploy behind it as it is, or name a new one: --endpoint NAME.",
        )
    return there


def _make_deployment(connection: Connection, plan: EndpointPlan, say: Say) -> None:
    wanted = deployment_document(plan).load()
    thing = f"deployment {plan.endpoint}/{plan.deployment}"
    client = connection.client.online_deployments
    try:
        with azure_faults(thing), quiet():
            client.begin_create_or_update(wanted, skip_script_validation=True).result()
            state = plain(client.get(plan.deployment, plan.endpoint).provisioning_state)
            cause: GlioMapError | None = None
    except UnreachedError:
        raise  # it may still become healthy
    except AzureError as error:
        # If Azure refused the request itself, nothing was created, and its message is all there is.
        if not _exists(connection, plan):
            raise
        state, cause = "Failed", error
    if state.lower() == "succeeded":
        return
    for line in deployment_log(connection, plan.endpoint, plan.deployment).splitlines():
        say(f"  {line}")
    raise AzureError(
        thing,
        f"did not become healthy ({cause.fault if cause else state.lower()})",
        "Its log is above; requests go where they went before. Fix the cause and run the command again, or remove it:"
        f" gliomap azure undeploy {plan.endpoint} --deployment {plan.deployment}",
    ) from cause


def _exists(connection: Connection, plan: EndpointPlan) -> bool:
    with azure_faults(f"endpoint {plan.endpoint}"):
        try:
            connection.client.online_deployments.get(plan.deployment, plan.endpoint)
        except ResourceNotFoundError:
            return False
    return True


def _shares(traffic: dict[str, int], new: str, share: int) -> dict[str, int]:
    """Percentages with `share` for the new deployment and the others in their old proportions; they sum to 100."""
    others = {name: part for name, part in traffic.items() if name != new}
    if not others:
        return {new: 100}
    left, total = 100 - share, sum(others.values())
    scaled = {name: left * part // total for name, part in others.items()}
    first = next(iter(scaled))
    scaled[first] += left - sum(scaled.values())
    return {name: part for name, part in {**scaled, new: share}.items() if part}


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    seconds[stage] = round(time.monotonic() - begun, 3)
