"""Studies uploaded to the cloud and downloaded again, with Azurite and the stand-in."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from cli.conftest import COMMAND
from cloud.conftest import Azure, Room
from cloud.identity import SECRET, token
from cloud.machine_room import ACCOUNT
from cloud.workspace import Fault
from gliomap._files import sha256_of
from gliomap.deploy.azure._study import study_files
from gliomap.errors import AzureError
from gliomap.studies import open_study
from support import wait_until


def hashes(folder: Path) -> dict[str, str]:
    """Name → SHA-256 of every file."""
    return {
        path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_a_study_is_uploaded_registered_and_downloaded_unchanged(
    azure: Azure, room: Room, small_study: Path, tmp_path: Path
) -> None:
    sent = azure("upload", small_study, "--to", "nemesis")
    files = hashes(small_study)
    assert sent["sent"] == len(files)
    assert sent["bytes"] == sum(path.stat().st_size for path in small_study.rglob("*.*") if path.is_file())
    assert room.blobs() == {f"nemesis/{name}" for name in files} | {"nemesis.inventory.json"}
    made = {one["name"]: one for one in azure("dataset", "create", "nemesis")}
    assert {"nemesis", "nemesis-captures", "nemesis-ground-truth"} <= set(made)
    assert all(one["version"] == "1" and one["created"] for one in made.values())
    assert made["nemesis"]["patients"] == 3
    back = azure("download", "nemesis", tmp_path / "back")
    assert back["sent"] == len(files)
    assert not back["unverified"]
    assert hashes(tmp_path / "back") == files
    azure("download", "nemesis-ground-truth:1", tmp_path / "maps")
    assert set(hashes(tmp_path / "maps")) == {path.name for path in (small_study / "GroundTruthMaps").iterdir()}
    assert {one["name"] for one in azure("dataset", "list")} == set(made)


def test_frames_with_an_upper_case_suffix_belong_to_the_study(small_study: Path, tmp_path: Path) -> None:
    study = shutil.copytree(small_study, tmp_path / "study")
    for path in (study / "tif").iterdir():
        path.rename(path.with_suffix(".TIF"))
    expected = {f"tif/{path.name}" for path in (study / "tif").iterdir()}
    assert {name for name in study_files(open_study(study)) if name.startswith("tif/")} == expected


@pytest.mark.parametrize("named", ["camera.toml", "camera.xml", "camera.xml#1"])
def test_the_camera_description_belongs_to_the_study(small_study: Path, tmp_path: Path, named: str) -> None:
    study = shutil.copytree(small_study, tmp_path / "study")
    file, _, _ = named.partition("#")
    (study / file).write_text("a camera")
    (study / "study.toml").write_text(f'sensor = "{named}"')
    assert {name for name in study_files(open_study(study)) if "/" not in name} == {"study.toml", file}


def test_repeating_every_step_sends_and_creates_nothing(
    azure: Azure, room: Room, small_study: Path, tmp_path: Path
) -> None:
    azure("upload", small_study)
    first = azure("dataset", "create", "study")
    azure("download", "study", tmp_path / "back")
    before = len(room.cloud.asked)
    assert azure("upload", small_study)["sent"] == 0
    assert not any(one["created"] for one in azure("dataset", "create", "study"))
    assert [one["version"] for one in first] == ["1"] * len(first)
    assert azure("download", "study", tmp_path / "back")["sent"] == 0
    assert not any(line.startswith("PUT") for line in room.cloud.asked[before:])


def test_a_changed_file_needs_overwrite_and_a_new_version(
    azure: Azure, room: Room, small_study: Path, tmp_path: Path
) -> None:
    study = shutil.copytree(small_study, tmp_path / "study")
    azure("upload", study)
    azure("dataset", "create", "study")
    changed = next((study / "tif").glob("*.tif"))
    content = bytearray(changed.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    (study / "datasets").mkdir(exist_ok=True)
    (study / "datasets" / "ID0009C01_dataset.mat").write_bytes(b"new")
    fault = azure("upload", study, code=2)
    assert changed.name in fault["thing"]
    assert "other content" in fault["fault"]
    assert "--to" in fault["remedy"]
    assert "study/datasets/ID0009C01_dataset.mat" not in room.blobs()
    azure("upload", study, "--overwrite")
    fault = azure("download", "study:1", tmp_path / "back", code=2)
    assert "changed after this version was created" in fault["fault"]
    assert azure("dataset", "create", "study", "--version", "1", code=2)["thing"] == "data asset study:1"
    assert {one["version"] for one in azure("dataset", "create", "study", "--version", "2")} == {"2"}
    azure("download", "study:2", tmp_path / "back")


def test_a_partly_uploaded_study_does_not_become_a_data_asset(azure: Azure, room: Room, small_study: Path) -> None:
    for path in list((small_study / "tif").iterdir())[:2]:
        room.container.upload_blob(f"study/tif/{path.name}", path.read_bytes())
    fault = azure("dataset", "create", "study", code=2)
    assert "only partly uploaded (2 files" in fault["fault"]
    assert "azure upload" in fault["remedy"]
    assert "not uploaded" in azure("dataset", "create", "elsewhere", code=2)["fault"]
    azure("upload", small_study)
    room.container.delete_blob("study/study.toml")
    fault = azure("dataset", "create", "study", code=2)
    assert fault["thing"] == "study/study.toml"
    assert azure("upload", small_study)["sent"] == 1
    azure("dataset", "create", "study")


def test_a_blob_that_fails_its_checksum_is_not_kept(
    azure: Azure, room: Room, small_study: Path, tmp_path: Path
) -> None:
    azure("upload", small_study)
    azure("dataset", "create", "study")
    name = "study/" + next((small_study / "GroundTruthMaps").iterdir()).relative_to(small_study).as_posix()
    blob = room.container.get_blob_client(name)
    blob.upload_blob(b"something else", overwrite=True, metadata=blob.get_blob_properties().metadata)
    fault = azure("download", "study", tmp_path / "back", code=2)
    assert "checksum differs" in fault["fault"]
    assert not (tmp_path / "back" / name.removeprefix("study/")).exists()
    assert not list((tmp_path / "back").rglob(".*"))


def test_download_replaces_a_differing_file_only_with_overwrite(
    azure: Azure, small_study: Path, tmp_path: Path
) -> None:
    azure("upload", small_study)
    azure("dataset", "create", "study")
    mine = tmp_path / "back" / "study.toml"
    mine.parent.mkdir()
    mine.write_text("mine")
    assert azure("download", "study", mine.parent, code=2)["thing"].endswith("study.toml")
    assert mine.read_text() == "mine"
    azure("download", "study", mine.parent, "--overwrite")
    assert mine.read_bytes() == (small_study / "study.toml").read_bytes()


def test_an_interrupted_upload_resends_only_what_did_not_arrive(
    azure: Azure, room: Room, small_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gliomap.deploy.azure._client.RETRIES", {"retry_total": 0})
    files = hashes(small_study)
    room.routes.left = sum((small_study / name).stat().st_size for name in files) * 4 // 5
    fault = azure("upload", small_study, code=2)
    assert "cannot be reached" in fault["fault"]
    assert "run the command again" in fault["remedy"]
    room.routes.down, room.routes.left = False, None
    arrived = room.blobs()
    assert 0 < len(arrived) < len(files)
    assert "study.inventory.json" not in arrived
    done = azure("upload", small_study)
    assert (done["skipped"], done["sent"]) == (len(arrived), len(files) - len(arrived))
    assert room.blobs() == {f"study/{name}" for name in files} | {"study.inventory.json"}


def test_upload_without_the_storage_role_sends_nothing_and_names_it(
    azure: Azure, room: Room, small_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "AuthorizationPermissionMismatch"
    host = f"{ACCOUNT}.blob.core.windows.net"
    room.cloud.faults.append(Fault(re.escape(host), 403, code=code, headers={"x-ms-error-code": code}))
    with monkeypatch.context() as without_a_role:
        without_a_role.setitem(room.routes.ports, host, room.routes.ports["*"])
        fault = azure("upload", small_study, code=2)
    assert "lack the permission" in fault["fault"]
    assert "Storage Blob Data Contributor" in fault["remedy"]
    assert not room.blobs()
    assert azure("upload", small_study)["skipped"] == 0


@pytest.mark.parametrize("name", ["../outside", "a/../../outside", "/etc/passwd", "a\\..\\b"])
def test_a_name_that_leaves_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    storage = pytest.importorskip("gliomap.deploy.azure._storage")
    with pytest.raises(AzureError, match="leads out"):
        storage.inside(tmp_path, name)


@pytest.mark.slow
def test_a_killed_upload_leaves_no_partial_blob_and_resumes(room: Room, azure: Azure, tmp_path: Path) -> None:
    study = tmp_path / "large"
    (study / "tif").mkdir(parents=True)
    for number in range(120):
        (study / "tif" / f"ID{number:04d}C01.tif").write_bytes(os.urandom(1_000_000))
    process = subprocess.Popen([COMMAND, "azure", "upload", str(study), "-q"], cwd=tmp_path, env={**os.environ})
    wait_until(lambda: len(room.blobs()) >= 10, process, every=0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    arrived = len(room.blobs())
    assert 10 <= arrived < 120
    for name in room.blobs():
        content = room.container.download_blob(name).readall()
        assert content == (study / name.removeprefix("large/")).read_bytes(), (
            "part of a file was stored under its final name"
        )
    done = azure("upload", study)
    assert done["skipped"] >= arrived
    assert done["sent"] + done["skipped"] == 120
    assert len(room.blobs()) == 121


@pytest.mark.usefixtures("room")
def test_no_secret_is_written_or_printed(gliomap: Azure, small_study: Path, tmp_path: Path) -> None:
    done = gliomap("azure", "upload", small_study, "--verbose")
    assert done.code == 0
    told = gliomap("azure", "dataset", "create", "nowhere")
    assert told.code == 2
    for text in (done.out, done.err, told.out, told.err):
        assert SECRET not in text
        assert token()[:40] not in text
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
