"""Names that are already taken: the error offers a way out, and what belongs to others stays unchanged."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest

from bundles.makers import small_bundle, small_sensor, window_network
from cloud.conftest import Azure, Room
from cloud.workspace import Fault

THEIRS = "azureml://datastores/workspaceblobstore/paths/of-somebody-else/"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A small bundle that takes frames."""
    pytest.importorskip("azure.ai.ml")
    return small_bundle(tmp_path / "bundle", network=window_network(), sensor=small_sensor()).path


@pytest.mark.parametrize("status", [400, 409])
def test_an_endpoint_name_taken_in_the_region_is_refused(
    status: int, azure: Azure, room: Room, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("azure.ai.ml.constants._common.LROConfigurations.POLL_INTERVAL", 0.05)
    if status == 400:  # as Azure answers today
        room.cloud.elsewhere.add("brain")
    else:
        room.cloud.faults.append(Fault(r"^PUT .*/onlineEndpoints/brain\?", 409, code="Conflict"))
    for _ in range(2):
        fault = azure("deploy", bundle, "--endpoint", "brain", code=2)
        assert fault["thing"] == "endpoint brain"
        assert "already exists" in fault["fault"]
        assert "--endpoint NAME" in fault["remedy"]
    assert not any(name.startswith("onlineEndpoints") for name in room.cloud.things)
    assert azure("deploy", bundle, "--endpoint", "another")["model"] == "small:1"


def test_a_data_asset_version_with_other_content_is_not_replaced(azure: Azure, room: Room, small_study: Path) -> None:
    azure("upload", small_study)
    theirs = room.cloud.put("data/study/versions/1", {"dataType": "uri_folder", "dataUri": THEIRS, "tags": {}})
    before = deepcopy(theirs)
    words = ("dataset", "create", "study", "--part", "study")
    fault = azure(*words, "--version", "1", code=2)
    assert fault["thing"] == "data asset study:1"
    assert "already exists with other files" in fault["fault"]
    # The version appears after GlioMap has looked for it, so that Azure itself refuses.
    room.cloud.faults.append(Fault(r"^GET .*/data/study/versions/1\?", 404, times=1))
    fault = azure(*words, "--version", "1", code=2)
    assert fault["thing"] == "data asset study"
    assert "already exists" in fault["fault"]
    assert "omit --version" in fault["remedy"]
    assert room.cloud.things["data/study/versions/1"] == before
    assert [one["version"] for one in azure(*words)] == ["2"]


def test_a_model_version_registered_meanwhile_is_not_replaced(
    azure: Azure, room: Room, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("azure.ai.ml.constants._common.LROConfigurations.POLL_INTERVAL", 0.05)
    content = {"modelUri": THEIRS, "modelType": "custom_model", "tags": {}, "flavors": {}}
    theirs = room.cloud.put("models/small/versions/1", content)
    before = deepcopy(theirs)
    room.cloud.faults.append(Fault(r"^GET .*/models/small[/?]", 404, times=3))
    fault = azure("deploy", bundle, "--endpoint", "brain", code=2)
    assert fault["thing"] == "model small"
    assert "already exists" in fault["fault"]
    assert "--register NAME" in fault["remedy"]
    assert room.cloud.things["models/small/versions/1"] == before
    room.cloud.faults.clear()
    assert azure("deploy", bundle, "--endpoint", "brain")["model"] == "small:2"


def test_a_job_of_the_same_name_for_another_training_is_not_followed(
    azure: Azure, room: Room, small_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gliomap.deploy.azure._follow.POLL_SECONDS", 0.05)
    azure("upload", small_study)
    azure("dataset", "create", "study", "--part", "study")
    room.cloud.cluster = lambda *_: ("Failed", "error: it broke\n")
    words = ("train", "study", "--compute", "cpu", "--name", "mine", "-o", "run", "--model")
    assert "ended as failed" in azure(*words, "lda", code=2)["fault"]
    fault = azure(*words, "fourlayer", code=2)
    assert fault["thing"] == "job mine"
    assert "another training (with other options)" in fault["fault"]
    assert "--name" in fault["remedy"]
    assert not Path("run").exists()
    assert "ended as failed" in azure(*words, "lda", code=2)["fault"]


def test_an_unattached_cluster_is_refused_before_anything_is_created(azure: Azure, room: Room, bundle: Path) -> None:
    words = ("deploy", bundle, "--endpoint", "brain", "--to", "kubernetes", "--compute", "aks")
    fault = azure(*words, code=2)
    assert fault["thing"] == "compute 'aks'"
    assert "the workspace has: cpu, gpu" in fault["fault"]
    assert "az ml compute attach --name aks" in fault["remedy"]
    assert not any(line.startswith("PUT") for line in room.cloud.asked)
    room.cloud.put("computes/aks", {"computeType": "Kubernetes", "provisioningState": "Succeeded", "properties": {}})
    assert azure(*words)["traffic"] == {"blue": 100}
