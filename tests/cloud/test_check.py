"""`gliomap azure check`, and what every verb does when Azure refuses, is busy or cannot be reached."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cloud.conftest import Azure, Room, write_config
from gliomap.cli._verb import EXAMPLES


def test_check_describes_a_ready_workspace(azure: Azure) -> None:
    found = azure("check")
    assert found["workspace"] == "brain"
    assert found["location"] == "westeurope"
    assert found["identity"] == "a-tester"
    assert found["datastores"] == {"workspaceblobstore": found["datastores"]["workspaceblobstore"]}
    assert [(one["name"], one["type"], one["size"], one["state"], one["nodes"]) for one in found["computes"]] == [
        ("cpu", "amlcompute", "Standard_D4s_v3", "Succeeded", 4),
        ("gpu", "amlcompute", "Standard_NC6s_v3", "Succeeded", 4),
    ]
    assert {"name": "Total dedicated", "used": 4, "limit": 24} in found["quotas"]
    assert found["missing"] == []


def test_without_json_check_prints_a_page(gliomap: Azure, room: Room) -> None:
    del room
    done = gliomap("azure", "check")
    assert done.code == 0
    for word in ("westeurope", "workspaceblobstore", "Standard_D4s_v3", "Ready."):
        assert word in done.out


def test_missing_parts_are_listed_with_a_remedy(azure: Azure, room: Room) -> None:
    del room.cloud.things["computes/cpu"], room.cloud.things["computes/gpu"]
    room.container.delete_container()
    missing = azure("check", code=2)["missing"]
    assert [one["what"].split(":")[0] for one in missing] == ["storage", "a cluster, for azure train"]
    assert "az ml compute create" in missing[1]["remedy"]


CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "wrong subscription": (
        {"config": {"subscription_id": "12345678-0000-0000-0000-000000000000"}},
        "does not exist",
        "subscription",
    ),
    "no such workspace": (
        {"config": {"workspace_name": "brian"}},
        "does not exist",
        "az ml workspace create --name brian",
    ),
    "expired secret": ({"environment": {"AZURE_CLIENT_SECRET": "old"}}, "AADSTS7000222", "az login"),
    "nobody signed in": ({"environment": {"AZURE_CLIENT_SECRET": None}}, "nobody is signed in", "az login"),
    "empty secret": ({"environment": {"AZURE_CLIENT_SECRET": ""}}, "cannot be used", "AZURE_CLIENT_SECRET"),
    "expired token": ({"fault": (r"/workspaces/brain\?", 401)}, "sign-in", "az login"),
    "no permission": ({"fault": (r"/workspaces/brain\?", 403)}, "lack the permission", "AzureML Data Scientist"),
    "out of order": ({"fault": (r"/workspaces/brain\?", 503)}, "itself is failing", "again later"),
    "asked too often": ({"fault": (r"/workspaces/brain\?", 429)}, "refuses so many requests", "again later"),
    "no network": ({"down": True}, "cannot be reached", "HTTPS_PROXY"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_fault_has_a_remedy_and_check_works_once_it_is_fixed(
    case: str, gliomap: Azure, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cloud.workspace import Fault

    setting, fault, remedy = CASES[case]
    if "config" in setting:
        write_config(Path("config.json"), **setting["config"])
    for name, value in setting.get("environment", {}).items():
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    if "fault" in setting:
        match, status = setting["fault"]
        room.cloud.faults.append(Fault(match, status, headers={"Retry-After": "0"}))
    room.routes.down = setting.get("down", False)
    monkeypatch.setattr("gliomap.deploy.azure._client.RETRIES", {"retry_total": 1, "retry_backoff_factor": 0})
    done = gliomap("azure", "check", "--json")
    told = json.loads(done.err)["error"]
    assert done.code == 2, told
    assert fault in told["fault"]
    assert remedy in told["remedy"]
    write_config(Path("config.json"))
    for name, value in room.environment.items():
        monkeypatch.setenv(name, value)
    room.cloud.faults.clear()
    room.routes.down = False
    assert gliomap("azure", "check").code == 0


VERBS = (
    "upload {study}",
    "dataset create study",
    "dataset list",
    "download study back",
    "train study --compute cpu --model lda -o run",
    "logs mine",
    "logs brain --deployment blue",
    "metrics gliomap --csv table.csv",
    "deploy small:1 --endpoint brain",
    "score brain --raw {tif}/ID0003C01.tif --white {tif}/ID0003CW01.tif --dark {tif}/ID0003CD01.tif -o map",
    "undeploy brain",
)


def test_without_a_network_every_verb_says_so_and_writes_no_file(
    azure: Azure, room: Room, small_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gliomap.deploy.azure._client.RETRIES", {"retry_total": 0})
    room.routes.down = True
    here = set(tmp_path.iterdir())
    for line in VERBS:
        fault = azure(*line.format(study=small_study, tif=small_study / "tif").split(), code=2)
        assert "cannot be reached" in fault["fault"], line
        assert "HTTPS_PROXY" in fault["remedy"], line
        assert "run the command again" in fault["remedy"], line
    assert set(tmp_path.iterdir()) == here
    known = {name.removeprefix("azure ") for name in EXAMPLES if name.startswith("azure ")}
    assert known == {"check"} | {verb_of(line) for line in VERBS}


def verb_of(line: str) -> str:
    """The verb of a command line."""
    words = line.split()
    return " ".join(words[: 2 if words[0] == "dataset" else 1])


def test_requests_are_repeated_after_the_time_that_a_busy_or_failing_azure_names(
    azure: Azure, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cloud.workspace import Fault

    waits: list[float] = []
    monkeypatch.setattr(
        "azure.core.pipeline.transport.RequestsTransport.sleep", lambda _, seconds: waits.append(seconds)
    )
    room.cloud.faults.append(Fault(r"/workspaces/brain\?", 429, times=2, headers={"Retry-After": "70"}))
    room.cloud.faults.append(Fault(r"/computes\?", 500, times=1, headers={"Retry-After": "30"}))
    assert azure("check")["missing"] == []
    assert waits == [70, 70, 30]
    asked = [line for line in room.cloud.asked if "/workspaces/brain?" in line]
    assert len(asked) == 3


def test_settings_come_from_flags_then_the_environment_then_the_file(tmp_path: Path) -> None:
    azure = pytest.importorskip("gliomap.deploy.azure")
    write_config(tmp_path / "config.json")
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "config.json").write_text('{"of": "another program"}')
    assert azure.find_settings({}, folder=inner).workspace_name == "brain"
    assert azure.find_settings({"AZURE_ML_WORKSPACE": "one"}, folder=inner).workspace_name == "one"
    found = azure.find_settings({"AZURE_ML_WORKSPACE": "one"}, folder=inner, workspace_name="two")
    assert (found.workspace_name, found.resource_group, found.cloud) == ("two", "nemesis", "AzureCloud")
    inside = {
        "AZUREML_ARM_SUBSCRIPTION": "s",
        "AZUREML_ARM_RESOURCEGROUP": "g",
        "AZUREML_ARM_WORKSPACE_NAME": "w",
        "AZURE_CLOUD": "AzureChinaCloud",
    }
    found = azure.find_settings(inside, folder=Path("/"))
    assert (found.subscription_id, found.cloud) == ("s", "AzureChinaCloud")
    assert (found.places.sign_in, found.places.storage) == ("login.chinacloudapi.cn", "core.chinacloudapi.cn")
    assert found.places.management == "https://management.chinacloudapi.cn/.default"


@pytest.mark.parametrize(
    ("content", "fault"),
    [("{", "is not the config.json"), ('{"workspace_name": "w"}', "subscription_id"), (None, "does not exist")],
)
def test_a_bad_or_missing_config_is_refused(content: str | None, fault: str, tmp_path: Path, gliomap: Azure) -> None:
    pytest.importorskip("azure.ai.ml")
    path = tmp_path / "mine.json"
    if content is not None:
        path.write_text(content)
    done = gliomap("azure", "check", "--config", path)
    assert done.code == 2
    assert fault in done.err
    assert "studio" in done.err


def test_without_settings_check_says_where_to_get_them(
    gliomap: Azure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("azure.ai.ml")
    monkeypatch.chdir(tmp_path)
    done = gliomap("azure", "check")
    assert done.code == 2
    assert "Download config.json in the studio" in done.err
