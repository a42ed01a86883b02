"""Endpoints: blue and green deployments, a deployment that stays unhealthy, and frames that are refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundles.makers import small_bundle, small_sensor, window_network
from cloud.conftest import Azure, Room
from cloud.identity import KEY, MACHINE_LEARNING, SHORT_TOKEN, token
from cloud.workspace import Fault
from gliomap.captures import write_frame
from serving.servers import engine_labels, make_scene


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle that takes frames."""
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    return small_bundle(folder, network=window_network(), sensor=small_sensor()).path


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("azure.ai.ml")
    monkeypatch.setattr("azure.ai.ml.constants._common.LROConfigurations.POLL_INTERVAL", 0.05)


def test_deployments_share_traffic_and_busy_ones_are_protected(azure: Azure, room: Room, bundle: Path) -> None:
    first = azure("deploy", bundle, "--endpoint", "brain", "--instance-type", "Standard_F4s_v2")
    assert first["deployment"] == "blue"
    assert first["traffic"] == {"blue": 100}
    assert first["model"] == "small:1"
    assert first["address"] == "https://brain.westeurope.inference.ml.azure.com/score"
    made = room.cloud.things["onlineEndpoints/brain/deployments/blue"]["properties"]
    assert made["instanceType"] == "Standard_F4s_v2"
    assert made["model"].endswith("/models/small/versions/1")
    assert made["readinessProbe"]["failureThreshold"] == 30
    second = azure("deploy", "small", "--endpoint", "brain", "--traffic", "10")
    assert second["traffic"] == {"blue": 90, "green": 10}
    assert room.cloud.things["onlineEndpoints/brain"]["properties"]["traffic"] == {"blue": 90, "green": 10}
    fault = azure("undeploy", "brain", "--deployment", "blue", code=2)
    assert "90 % of the requests" in fault["fault"]
    third = azure("deploy", "small:1", "--endpoint", "brain", "--deployment", "third")
    assert third["traffic"] == {"third": 100}
    assert azure("undeploy", "brain", "--deployment", "blue")["removed"] == ["brain/blue"]
    fault = azure("deploy", "small:1", "--endpoint", "brain", "--deployment", "third", code=2)
    assert "answers all requests" in fault["fault"]
    assert azure("undeploy", "brain")["removed"] == ["brain/green", "brain/third", "brain"]
    assert "models/small/versions/1" in room.cloud.things


def test_an_unhealthy_deployment_shows_its_log_and_gets_no_traffic(
    gliomap: Azure, azure: Azure, room: Room, bundle: Path
) -> None:
    azure("deploy", bundle, "--endpoint", "brain")
    room.cloud.kitchen = lambda _: "Failed"
    room.cloud.deployment_log = "ImportError: no module of that name\n"
    done = gliomap("azure", "deploy", "small", "--endpoint", "brain")
    assert done.code == 2
    assert "ImportError: no module of that name" in done.err
    assert "brain/green: did not become healthy (Azure started it, then failed (" in done.err
    assert "the container never got ready" in done.err
    assert "gliomap azure undeploy brain --deployment green" in done.err
    assert room.cloud.things["onlineEndpoints/brain"]["properties"]["traffic"] == {"blue": 100}
    assert "ImportError" in azure("logs", "brain", "--deployment", "green")["logs"]["green"]
    room.cloud.kitchen = None
    again = azure("deploy", "small", "--endpoint", "brain")
    assert again["traffic"] == {"green": 100}


def test_a_deployment_may_use_an_attached_kubernetes_cluster(azure: Azure, room: Room, bundle: Path) -> None:
    done = azure("deploy", bundle, "--endpoint", "brain", "--to", "kubernetes", "--compute", "cpu", "--auth", "key")
    assert done["traffic"] == {"blue": 100}
    endpoint = room.cloud.things["onlineEndpoints/brain"]["properties"]
    assert endpoint["compute"].endswith("/computes/cpu")
    deployment = room.cloud.things["onlineEndpoints/brain/deployments/blue"]["properties"]
    assert deployment["endpointComputeType"] == "Kubernetes"


def test_invalid_options_are_refused_before_anything_is_created(
    azure: Azure, room: Room, bundle: Path, tmp_path: Path
) -> None:
    cases: list[tuple[list[Any], str]] = [
        (["deploy", bundle, "--to", "kubernetes"], "needs the attached cluster"),
        (["deploy", bundle, "--compute", "cpu"], "belongs to --to kubernetes"),
        (["deploy", bundle, "--endpoint", "1"], "not a name that Azure accepts"),
        (["deploy", "no such/model"], "neither a local bundle nor"),
        (["score", "brain", "--raw", tmp_path / "raw.tif"], "no references given"),
    ]
    for words, told in cases:
        assert told in azure(*words, code=2)["fault"], words
    assert not any(line.startswith("PUT") for line in room.cloud.asked)
    assert "does not exist" in azure("deploy", "nobody:7", code=2)["fault"]


def frames(folder: Path, **changed: Any) -> list[Any]:
    """Options that name a frame and its references."""
    scene = make_scene(small_sensor())
    words: list[Any] = []
    for role in ("raw", "white", "dark"):
        path = folder / f"{role}.tif"
        write_frame(path, changed.get(role, getattr(scene, role)))
        words += [f"--{role}", path]
    return words


def test_score_reports_what_the_endpoint_or_azure_refuses(
    azure: Azure, room: Room, bundle: Path, tmp_path: Path
) -> None:
    azure("deploy", bundle, "--endpoint", "brain")
    problem = b'{"title": "CaptureError", "detail": "raw: is too dark", "remedy": "More light."}'
    room.cloud.score = lambda *_: (422, {"Content-Type": "application/problem+json"}, problem)
    fault = azure("score", "brain", *frames(tmp_path), code=2)
    assert (fault["fault"], fault["remedy"]) == ("refuses the frame: raw: is too dark", "More light.")
    room.cloud.score = lambda *_: (200, {}, b"hello")
    assert "something other than a map" in azure("score", "brain", *frames(tmp_path), code=2)["fault"]
    room.cloud.faults.append(Fault(r"listKeys", 403))
    assert "lack the permission" in azure("score", "brain", *frames(tmp_path), code=2)["fault"]
    assert "does not exist" in azure("score", "elsewhere", *frames(tmp_path), code=2)["fault"]


@pytest.mark.parametrize(("auth", "mode"), [("key", "Key"), ("entra", "AADToken")])
@pytest.mark.usefixtures("machines")
def test_score_presents_the_credential_that_the_endpoint_expects(
    auth: str, mode: str, azure: Azure, room: Room, bundle: Path, tmp_path: Path
) -> None:
    azure("deploy", bundle, "--endpoint", "brain", "--auth", auth)
    assert room.cloud.things["onlineEndpoints/brain"]["properties"]["authMode"] == mode
    asked = len(room.cloud.asked)
    azure("score", "brain", *frames(tmp_path), "-o", "map")
    assert np.array_equal(np.load("map/labels.npy"), engine_labels(bundle, make_scene(small_sensor())))
    assert any("listKeys" in line for line in room.cloud.asked[asked:]) == (auth == "key")


def test_each_auth_mode_gets_its_own_credential_and_none_leaks(
    gliomap: Azure, azure: Azure, room: Room, bundle: Path, tmp_path: Path
) -> None:
    azure("deploy", bundle, "--endpoint", "brain")
    seen: list[str] = []

    def answer(_: str, headers: dict[str, str], __: bytes) -> tuple[int, dict[str, str], bytes]:
        seen.append(headers["Authorization"].removeprefix("Bearer "))
        return 200, {}, b"no map"

    room.cloud.score = answer
    endpoint = room.cloud.things["onlineEndpoints/brain"]["properties"]
    for mode in ("Key", "AMLToken", "AADToken"):
        endpoint["authMode"] = mode
        done = gliomap("azure", "score", "brain", *frames(tmp_path))
        assert "something other than a map" in done.err
        assert seen[-1] not in done.out + done.err
    assert seen[:2] == [KEY, SHORT_TOKEN]
    assert seen[2].split(".")[0] == token().split(".")[0]
    assert claims(seen[2])["aud"] == MACHINE_LEARNING
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and seen[2].encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("status", "fault", "remedy"),
    [(401, "does not accept", "az login"), (403, "you may not request maps", "onlineEndpoints/score/action")],
)
def test_a_rejected_credential_is_reported_with_a_remedy(
    status: int, fault: str, remedy: str, azure: Azure, room: Room, bundle: Path, tmp_path: Path
) -> None:
    azure("deploy", bundle, "--endpoint", "brain", "--auth", "entra")
    room.cloud.faults.append(Fault(r"^POST brain\.westeurope\.inference", status, times=1))
    told = azure("score", "brain", *frames(tmp_path), "-o", "map", code=2)
    assert told["thing"] == "endpoint brain"
    assert fault in told["fault"]
    assert remedy in told["remedy"]
    assert not Path("map").exists()
    room.cloud.score = lambda *_: (200, {}, b"no map")
    assert "something other" in azure("score", "brain", *frames(tmp_path), code=2)["fault"]


def test_an_endpoint_with_keys_refuses_a_deployment_with_sign_in(azure: Azure, room: Room, bundle: Path) -> None:
    azure("deploy", bundle, "--endpoint", "brain")
    fault = azure("deploy", "small", "--endpoint", "brain", "--auth", "entra", code=2)
    assert fault["thing"] == "endpoint brain"
    assert "anybody who has its key" in fault["fault"]
    assert "--endpoint" in fault["remedy"]
    assert not any("deployments/green" in name for name in room.cloud.things)
    azure("deploy", "small", "--endpoint", "other", "--auth", "entra")
    azure("deploy", "small", "--endpoint", "other")


def claims(packed: str) -> dict[str, Any]:
    """The claims of a token."""
    body = packed.split(".")[1]
    read: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return read
