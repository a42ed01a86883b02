"""The Deployment, started for real by `podman kube play`."""

from __future__ import annotations

import base64
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bundles.makers import linear_network, small_bundle, small_sensor
from deploy.containers import Installation, needed
from deploy.test_container import assert_same_labels
from gliomap.deploy import ContainerTool
from gliomap.deploy._answers import answers
from gliomap.serving import Client
from serving.servers import Scene
from support import free_port, wait_until

pytestmark = [pytest.mark.container, pytest.mark.slow]

KEY = "0123456789abcdef-kube"
Play = Callable[[Path], tuple[str, subprocess.CompletedProcess[str]]]


@pytest.fixture
def play(tool: ContainerTool, image: dict[str, Any], installation: Installation, tmp_path: Path) -> Iterator[Play]:
    """Play the manifests for a bundle, with keys and a port of this machine; returns the URL and the outcome."""
    if tool.name != "podman":
        needed("podman: docker plays no manifests")
    name, played = f"glio-{os.getpid()}-{tmp_path.name[-12:].replace('_', '-')}".rstrip("-"), tmp_path / "play.yaml"
    secret = f"{name}-keys"

    keys = tmp_path / "secret.yaml"
    keys.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Secret", "data": {"keys": encoded(tool)}}))
    tool.output("secret", "create", secret, str(keys))

    def start(bundle: Path) -> tuple[str, subprocess.CompletedProcess[str]]:
        words = ["--image", image["image"], "--name", name, "--keys-secret", secret, "-o", tmp_path / "manifests"]
        installation.run("deploy", "kubernetes", bundle, *words)
        deployment = yaml.safe_load((tmp_path / "manifests" / "deployment.yaml").read_text())
        port = free_port()
        pod = deployment["spec"]["template"]["spec"]
        pod["containers"][0]["ports"][0] |= {"hostIP": "127.0.0.1", "hostPort": port}
        # Podman 4.3 would restart the init container, which checks the bundle, again and again; a cluster does not.
        pod["restartPolicy"] = "Never"
        played.write_text(yaml.safe_dump(deployment))
        done = subprocess.run([tool.program, "kube", "play", played], capture_output=True, text=True)
        return f"http://127.0.0.1:{port}", done

    yield start
    subprocess.run([tool.program, "kube", "down", played], check=True, capture_output=True)
    subprocess.run([tool.program, "volume", "rm", "--force", secret], check=True, capture_output=True)
    subprocess.run([tool.program, "secret", "rm", secret], check=True, capture_output=True)


def encoded(tool: ContainerTool) -> str:
    """The keys file as the content of a Secret; Podman before 4.4 mounts it without decoding."""
    keys = f"kube {KEY}\n"
    found = re.match(r"(\d+)\.(\d+)", tool.output("version", "--format", "{{.Client.Version}}"))
    assert found is not None
    return keys if (int(found[1]), int(found[2])) < (4, 4) else base64.b64encode(keys.encode()).decode()


def test_a_frame_gets_the_labels_of_the_engine(play: Play, bundle: Path, scene: Scene) -> None:
    url, done = play(bundle)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: answers(f"{url}/health/ready"), told=lambda: done.stderr)
    assert_same_labels(Client(url, key=KEY), bundle, scene)


def test_a_pod_with_another_bundle_does_not_start(play: Play, tool: ContainerTool, tmp_path: Path) -> None:
    other = small_bundle(tmp_path / "other", network=linear_network(), sensor=small_sensor()).path
    url, done = play(other)
    assert done.returncode != 0 or not tool.output("ps", "--filter", "name=gliomap$", "--format", "{{.Status}}")
    assert not answers(f"{url}/health/live")
