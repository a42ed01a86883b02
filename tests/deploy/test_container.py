"""The image, built by an installation without a checkout and run for real."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundles.makers import linear_network, small_bundle, small_sensor
from deploy.conftest import Running
from deploy.containers import Installation, inspect
from gliomap.deploy import ContainerTool, LocalRequest, run_local
from gliomap.errors import MachineError
from gliomap.serving import Client
from serving.servers import Scene, answer_of, count, engine_labels
from support import free_port, wait_until

pytestmark = [pytest.mark.container, pytest.mark.slow]

MOST_ON_BASE = 280e6


def inside(tool: ContainerTool, running: Running, *command: str) -> str:
    return tool.output("exec", running.name, *command)


def assert_same_labels(client: Client, bundle: Path, scene: Scene) -> None:
    expected = engine_labels(bundle, scene)
    with client:
        found = client.classify(scene.files["raw"], references=(scene.files["white"], scene.files["dark"]))
    assert len(np.unique(expected)) > 2
    np.testing.assert_array_equal(found.labels, expected)


def test_a_frame_gets_the_labels_of_the_engine(running: Running, bundle: Path, scene: Scene) -> None:
    assert_same_labels(running.client(), bundle, scene)


def test_only_this_machine_reaches_a_container_and_only_with_a_key(tool: ContainerTool, running: Running) -> None:
    bindings = json.loads(inspect(tool, running.name, "{{json .HostConfig.PortBindings}}"))
    assert [one["HostIp"] for one in bindings["8000/tcp"]] == ["127.0.0.1"]
    assert answer_of("GET", f"{running.told['url']}/v1/model").status_code == 401
    key = running.told["key"]
    assert key not in inspect(tool, running.name, "{{.Config.Cmd}}{{.Path}}{{.Args}}")
    assert key not in tool.output("logs", running.name)


def test_the_image_is_small_and_its_labels_describe_it(tool: ContainerTool, image: dict[str, Any]) -> None:
    on_base = image["bytes"] - image["bytes_of_base"]
    assert 50e6 < on_base <= MOST_ON_BASE
    labels = json.loads(inspect(tool, image["image"], "{{json .Config.Labels}}"))
    assert labels["org.gliomap.bundle.identity"] == image["identity"]
    assert labels["org.opencontainers.image.title"] == "GlioMap"
    assert labels["org.opencontainers.image.version"]
    assert "not a medical device" in labels["org.opencontainers.image.description"]
    assert inspect(tool, image["image"], "{{.Config.User}}") == "10001:10001"


def test_the_image_has_no_torch_no_compiler_and_no_build_secret(tool: ContainerTool, running: Running) -> None:
    names = ["torch", "scipy", "sklearn", "h5py", "matplotlib", "numpy.distutils", "gliomap"]
    script = f"import importlib.util as u; print([n for n in {names} if u.find_spec(n)])"
    assert inside(tool, running, "python", "-c", script) == "['gliomap']"
    assert (
        inside(tool, running, "sh", "-c", "for c in gcc cc g++ c++ clang ld as make; do command -v $c || true; done")
        == ""
    )
    assert inside(tool, running, "sh", "-c", "ls -A /run/secrets /etc/pip.conf 2>/dev/null || true") == ""
    assert inside(tool, running, "sh", "-c", "find /opt/gliomap/lib -name pip -o -name tests") == ""


def test_a_container_is_unprivileged_and_read_only(tool: ContainerTool, running: Running) -> None:
    assert inside(tool, running, "id", "-u") == "10001"
    status = dict(
        line.split(":\t") for line in inside(tool, running, "cat", "/proc/1/status").splitlines() if ":\t" in line
    )
    assert int(status["CapEff"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    for place in ("/opt/gliomap", "/bundle", "/etc", "/"):
        assert not tool.succeeds("exec", running.name, "touch", f"{place}/new"), place
    assert tool.succeeds("exec", "--user", "0", running.name, "true")
    assert not tool.succeeds("exec", "--user", "0", running.name, "touch", "/opt/gliomap/new")


@pytest.mark.skipif(os.environ.get("DOCKER_HOST") is not None, reason="only Podman runs a health check at once")
def test_the_health_check_asks_for_readiness(tool: ContainerTool, running: Running) -> None:
    test = json.loads(inspect(tool, running.name, "{{json .Config.Healthcheck.Test}}"))
    assert "/health/ready" in test[-1]
    assert tool.succeeds("exec", running.name, *test[1:])
    assert not tool.succeeds("exec", running.name, *(word.replace(":8000", ":8001") for word in test[1:]))


def test_without_a_key_a_container_refuses_to_listen(tool: ContainerTool, image: dict[str, Any]) -> None:
    done = subprocess.run([tool.program, "run", "--rm", image["image"]], capture_output=True, text=True)
    assert done.returncode == 2
    assert "GLIOMAP_KEYS" in done.stdout + done.stderr


def test_a_request_under_way_is_finished_after_sigterm(
    tool: ContainerTool, image: dict[str, Any], bundle: Path, scene: Scene, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("# for the test\nor-2 0123456789abcdef-or-2\n")
    name = f"gliomap-ends-{os.getpid()}"
    running = run_local(LocalRequest(bundle, image["image"], name, port=free_port(), keys=keys), tool)
    assert running.made_key is None
    with Client(running.url, key="0123456789abcdef-or-2") as client:
        client.put_references("or-2", scene.files["white"], scene.files["dark"])
    try:
        answer = answer_across_sigterm(tool, name, running.url, scene.files["raw"])
        assert answer.startswith("HTTP/1.1 200"), answer
        assert inspect(tool, name, "{{.State.ExitCode}}") == "0"
    finally:
        tool.output("rm", "--force", name)


def answer_across_sigterm(tool: ContainerTool, name: str, url: str, body: bytes) -> str:
    """Send half of a request, then SIGTERM, then the other half; returns the start of the answer."""
    host, port = url.removeprefix("http://").split(":")
    place = (host, int(port))
    with (
        socket.create_connection(place, 60) as connection,
        socket.create_connection(place, 60) as idle,
        Client(url) as client,
    ):
        head = (
            "POST /v1/classify?references=or-2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: image/png\r\n"
            f"Authorization: Bearer 0123456789abcdef-or-2\r\nContent-Type: image/tiff\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body[: len(body) // 2])
        wait_until(lambda: count(client.metrics(), "gliomap_requests_under_way") == 1)
        tool.output("kill", "--signal", "TERM", name)
        assert idle.recv(1) == b"", "the service is ending, so it closes idle connections"
        connection.sendall(body[len(body) // 2 :])
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    tool.output("wait", name)
    return answer[:200].decode("latin-1")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminated"])
def test_ending_the_command_removes_the_container(
    tool: ContainerTool, image: dict[str, Any], installation: Installation, bundle: Path, end: signal.Signals
) -> None:
    name = f"gliomap-foreground-{os.getpid()}"
    with installation.start(
        "deploy", "local", bundle, "--image", image["image"], "--name", name, "--port", free_port()
    ) as process:
        assert process.stdout is not None
        try:
            told = next(line for line in process.stdout if line.startswith(("service:", "error:")))
            assert "http://127.0.0.1:" in told
            process.send_signal(end)
            assert process.wait(180) == 130
        finally:
            process.kill()
    assert not tool.succeeds("container", "inspect", name)


def test_an_image_with_another_bundle_is_refused(
    tool: ContainerTool, image: dict[str, Any], installation: Installation, tmp_path: Path
) -> None:
    other = small_bundle(tmp_path / "other.zip", network=linear_network(), sensor=small_sensor()).path
    name = f"gliomap-other-{os.getpid()}"
    done = installation.run(
        "deploy", "local", other, "--image", image["image"], "--name", name, "--port", free_port(), code=2
    )
    assert f"holds bundle {image['identity'][:12]}" in done.stderr
    assert not tool.succeeds("container", "inspect", name)


@pytest.fixture(scope="module")
def empty_image(installation: Installation, image: dict[str, Any], bundle: Path, flags: list[str]) -> str:
    del image  # its layers are reused
    tag = "localhost/gliomap-tests:empty"
    installation.run("deploy", "docker", bundle, "--mounted", "--tag", tag, *flags)
    return tag


def test_a_bundle_is_mounted_and_answers_are_kept_in_a_volume(
    tool: ContainerTool, empty_image: str, installation: Installation, bundle: Path, scene: Scene
) -> None:
    name = f"gliomap-mounted-{os.getpid()}"
    words = [
        "--image",
        empty_image,
        "--name",
        name,
        "--port",
        free_port(),
        "--archive",
        name,
        "--threads",
        1,
        "--detach",
        "--json",
    ]
    told = json.loads(installation.run("deploy", "local", bundle, *words).stdout)
    try:
        assert_same_labels(Client(told["url"], key=told["key"]), bundle, scene)
        listed = tool.output("exec", name, "gliomap", "archive", "list", "/archive", "--json")
        assert [case["kind"] for case in json.loads(listed)] == ["classify"]
    finally:
        subprocess.run(["bash", "-c", told["stop"]], check=True, capture_output=True)
        tool.output("volume", "rm", name)


def test_a_failed_build_says_why(installation: Installation, tool: ContainerTool, bundle: Path) -> None:
    del tool
    words = ["--base", "localhost/gliomap-tests:absent", "--build-option=--pull=never"]
    done = installation.run("deploy", "docker", bundle, *words, "--quiet", code=3)
    assert "build: failed with exit code" in done.stderr
    assert "gliomap-tests:absent" in done.stderr


def test_a_container_that_ends_at_once_says_why(
    tool: ContainerTool, empty_image: str, bundle: Path, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    shutil.copytree(bundle, closed)
    for path in (closed, *closed.iterdir()):
        path.chmod(0o700 if path.is_dir() else 0o600)
    name = f"gliomap-closed-{os.getpid()}"
    with pytest.raises(MachineError, match=r"ended with exit code 3. Its last output:\n.*/bundle: no permission"):
        run_local(LocalRequest(closed, empty_image, name, port=free_port()), tool)
    assert not tool.succeeds("container", "inspect", name)


def test_a_container_that_is_not_ready_in_time_is_removed(
    tool: ContainerTool, image: dict[str, Any], bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gliomap.deploy._local.answers", lambda _: False)
    name = f"gliomap-late-{os.getpid()}"
    with pytest.raises(MachineError, match=r"is not ready after 0.001 s"):
        run_local(LocalRequest(bundle, image["image"], name, port=free_port(), wait_s=0.001), tool)
    assert not tool.succeeds("container", "inspect", name)
