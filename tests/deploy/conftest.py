"""One image for all container tests, built by an installation without a checkout."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bundles.makers import small_bundle, small_sensor, window_network
from deploy.containers import Installation, build_flags, install, tool_with_base
from gliomap.deploy import ContainerTool
from gliomap.serving import Client
from serving.servers import Scene, make_scene
from support import free_port

TAG = "localhost/gliomap-tests:baked"


@dataclass(frozen=True)
class Running:
    """A container that `gliomap deploy local` started."""

    name: str
    told: dict[str, Any]

    def client(self) -> Client:
        """A client with its key."""
        return Client(self.told["url"], key=self.told["key"])


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle that takes frames."""
    folder = tmp_path_factory.mktemp("deployed")
    return small_bundle(folder / "bundle", network=window_network(), sensor=small_sensor()).path


@pytest.fixture(scope="session")
def scene() -> Scene:
    """A frame with its references."""
    return make_scene(small_sensor())


@pytest.fixture(scope="session")
def tool() -> ContainerTool:
    """Podman or Docker."""
    return tool_with_base()


@pytest.fixture(scope="session")
def installation(tool: ContainerTool, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """GlioMap without its checkout."""
    del tool
    return install(tmp_path_factory.mktemp("installation"))


@pytest.fixture(scope="session")
def flags(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags that a build needs on this machine."""
    return build_flags(tmp_path_factory.mktemp("pip"))


@pytest.fixture(scope="session")
def image(
    installation: Installation, bundle: Path, flags: list[str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The output of `gliomap deploy docker --json` for an image with `bundle` inside; several workers build it once."""
    with (tmp_path_factory.getbasetemp().parent / "gliomap-image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = installation.run("deploy", "docker", bundle, "--tag", TAG, *flags, "--json")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture(scope="module")
def running(installation: Installation, image: dict[str, Any], bundle: Path) -> Iterator[Running]:
    """One container for all tests that do not change it."""
    name = f"gliomap-running-{os.getpid()}"
    words = ["--image", image["image"], "--name", name, "--port", free_port(), "--detach", "--json"]
    told = json.loads(installation.run("deploy", "local", bundle, *words).stdout)
    yield Running(name, told)
    subprocess.run(["bash", "-c", told["stop"]], check=True, capture_output=True)
