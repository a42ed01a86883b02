"""A cloud on loopback for each test: one shared Azurite, a stand-in for Azure, and the proxy that leads to them."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import gliomap, installed, small_bundle, small_run, small_study
from cloud.machine_room import (
    ACCOUNT,
    ACCOUNT_KEY,
    Certificates,
    Routes,
    azurite,
    azurite_command,
    make_certificates,
    proxy,
)

__all__ = ["gliomap", "installed", "small_bundle", "small_run", "small_study"]

VARIABLES = ("AZURE_", "AZUREML_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "IDENTITY_", "MSI_", "MLFLOW_")


def missing(what: str) -> None:
    """Skip the test; in CI, where no test may be left out, fail it."""
    if os.environ.get("GLIOMAP_CI"):
        pytest.fail(f"{what} is not installed, and CI needs it")
    pytest.skip(f"{what} is not installed")


@dataclass(frozen=True, eq=False)
class MachineRoom:
    """The parts that all tests share."""

    certificates: Certificates
    routes: Routes
    proxy: str
    azurite: int


@dataclass(frozen=True, eq=False)
class Room:
    """One test's cloud."""

    cloud: Any
    routes: Routes
    container: Any
    open_container: Callable[[str], Any]
    environment: dict[str, str]

    def blobs(self) -> set[str]:
        """Names of all stored blobs."""
        return {blob.name for blob in self.container.list_blobs()}


@pytest.fixture(scope="session")
def machine_room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MachineRoom]:
    """Certificates, Azurite and the proxy."""
    if azurite_command() is None:
        missing("azurite-blob (npm install -g azurite)")
    pytest.importorskip("azure.ai.ml", reason="the extra 'azure' is not installed")
    folder = tmp_path_factory.mktemp("cloud")
    certificates, routes = make_certificates(folder), Routes()
    with azurite(folder / "azurite", certificates) as port, proxy(routes) as address:
        routes.ports[f"{ACCOUNT}.blob.core.windows.net"] = port
        yield MachineRoom(certificates, routes, address, port)


@pytest.fixture
def room(machine_room: MachineRoom, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Room]:
    """A new workspace with an empty container, and an environment in which `gliomap azure` finds it."""
    from azure.storage.blob import ContainerClient

    from cloud.front_door import serve_cloud
    from cloud.identity import SECRET, TENANT
    from cloud.workspace import Cloud

    cloud = Cloud(container=f"c-{uuid.uuid4().hex[:12]}")
    for name in list(os.environ):
        if name.upper().startswith(VARIABLES):
            monkeypatch.delenv(name)
    environment = {
        "HTTPS_PROXY": machine_room.proxy,
        "HTTP_PROXY": machine_room.proxy,
        "NO_PROXY": "127.0.0.1",
        "REQUESTS_CA_BUNDLE": str(machine_room.certificates.authority),
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": "11111111-aaaa-bbbb-cccc-000000000000",
        "AZURE_CLIENT_SECRET": SECRET,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    account = f"https://127.0.0.1:{machine_room.azurite}/{ACCOUNT}"
    verify = str(machine_room.certificates.authority)

    def opened(name: str) -> ContainerClient:
        return ContainerClient(account, name, credential=ACCOUNT_KEY, connection_verify=verify)

    def make_container(name: str) -> None:
        if not opened(name).exists():
            opened(name).create_container()

    cloud.make_container = make_container
    with (
        opened(cloud.container) as container,
        serve_cloud(cloud, machine_room.certificates) as port,
    ):
        container.create_container()
        machine_room.routes.ports["*"] = port
        machine_room.routes.down, machine_room.routes.left = False, None
        write_config(tmp_path / "config.json")
        monkeypatch.chdir(tmp_path)
        yield Room(cloud, machine_room.routes, container, opened, environment)


@pytest.fixture
def machines(room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Machines behind the workspace, which really run jobs and deployments."""
    from cloud.cluster import Machines

    monkeypatch.setattr("gliomap.deploy.azure._follow.POLL_SECONDS", 0.2)
    found = Machines(room.cloud, room.container, room.open_container, tmp_path / "machines")
    room.cloud.cluster, room.cloud.kitchen, room.cloud.score = found.run_job, found.start_deployment, found.score
    yield found
    found.close()


def write_config(path: Path, **changed: str) -> None:
    """Write a config.json like the one that the studio offers for download."""
    from cloud.workspace import GROUP, SUBSCRIPTION, WORKSPACE

    content = {"subscription_id": SUBSCRIPTION, "resource_group": GROUP, "workspace_name": WORKSPACE}
    path.write_text(json.dumps({**content, **changed}))


Azure = Callable[..., Any]


@pytest.fixture
def azure(gliomap: Azure, room: Room) -> Azure:
    """Run `gliomap azure … --json` and check its exit code; returns its result, or its error if there is none."""

    def call(*words: object, code: int = 0) -> Any:
        done = gliomap("azure", *words, "--json")
        assert done.code == code, done.err
        if code not in (0, 2) or not done.out:
            return json.loads(done.err.splitlines()[-1])["error"]
        return json.loads(done.out)

    del room
    return call
