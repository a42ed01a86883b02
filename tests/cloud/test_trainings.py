"""Trainings on a cluster: folds as a sweep, failures, and the job's command in a fresh environment."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from cli.conftest import small_study
from cloud.conftest import Azure, Room
from gliomap.bundles import open_bundle
from gliomap.cli import run

__all__ = ["small_study"]

PIPE = ("--model", "lda", "--compute", "cpu", "--experiment", "thesis")


@pytest.mark.slow
def test_folds_of_a_sweep_equal_folds_trained_locally(azure: Azure, room: Room, machines, small_study: Path) -> None:
    azure("upload", small_study)
    azure("dataset", "create", "study")
    done = azure("train", "study", *PIPE, "--protocol", "lopo", "-o", "run", "--name", "folds")
    assert done["jobs"] == ["folds", "folds-end"]
    sweep = room.cloud.things["jobs/folds"]["properties"]
    assert sweep["jobType"] == "Sweep"
    assert len([line for line in machines.commands if "--fold " in line]) == 4
    assert machines.commands[-1].count("--folds-from") == 1
    record = json.loads(Path("run/run.json").read_text())
    assert (record["folds"], record["kept"]) == (["ID0001", "ID0002", "ID0003"], "final")
    assert run(["train", str(small_study), "--model", "lda", "--protocol", "lopo", "-o", "local", "-q"]) == 0
    for name in ("ID0001", "ID0002", "ID0003", "final"):
        there, here = (Path(where, "folds", name, "model.safetensors").read_bytes() for where in ("run", "local"))
        assert there == here
    assert open_bundle("run/bundle").identity
    # `train` with the name of a finished job follows that job and submits nothing; then step 7, the thesis's table.
    asked = len(room.cloud.asked)
    again = azure("train", "study", *PIPE, "--protocol", "lopo", "-o", "again", "--name", "folds")
    assert again["model"] == done["model"]
    assert not any(line.startswith("PUT") for line in room.cloud.asked[asked:])
    azure("metrics", "thesis", "--csv", "table.csv")
    rows = list(csv.reader(Path("table.csv").read_text(encoding="utf-8").splitlines()))
    assert rows[0][:6] == [
        "Experiment Name",
        "Patients used for testing",
        "OACC",
        "ACC_tumor",
        "SEN_tumor",
        "SPE_tumor",
    ]
    assert [row[0] for row in rows[-3:]] == ["Mean", "Std", "Std error"]


def test_a_failed_job_shows_its_log_and_leaves_no_run(
    gliomap: Azure, azure: Azure, room: Room, small_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gliomap.deploy.azure._follow.POLL_SECONDS", 0.05)
    azure("upload", small_study)
    azure("dataset", "create", "study", "--part", "study")
    room.cloud.cluster = lambda *_: ("Failed", "error: study: is not sound\n")
    done = gliomap("azure", "train", "study", *PIPE, "-o", "run", "--name", "mine")
    assert done.code == 2
    assert "error: study: is not sound" in done.err
    assert "job mine: ended as failed" in done.err
    assert not Path("run").exists()
    assert azure("logs", "mine")["logs"] == {"user_logs/std_log.txt": "error: study: is not sound\n"}
    followed = gliomap("azure", "logs", "mine", "--follow")
    assert "is not sound" in followed.out
    assert "has no finished training" in azure("metrics", "thesis", code=2)["fault"]


def test_a_failed_fold_shows_only_its_own_log(
    gliomap: Azure, azure: Azure, room: Room, small_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gliomap.deploy.azure._follow.POLL_SECONDS", 0.05)
    azure("upload", small_study)
    azure("dataset", "create", "study", "--part", "study")

    def sweep(name: str, _: object) -> tuple[str, str]:
        room.cloud.trials[name] = {f"{name}_0": "Completed", f"{name}_1": "Failed"}
        room.cloud.logs.update({f"{name}_0": "all is well\n", f"{name}_1": "error: ID0002: is not sound\n"})
        return "Failed", ""

    room.cloud.cluster = sweep
    done = gliomap("azure", "train", "study", *PIPE, "--protocol", "lopo", "-o", "run", "--name", "folds")
    assert done.code == 2
    assert "folds: folds: 1 completed, 1 failed" in done.err
    assert "error: ID0002: is not sound" in done.err
    assert "all is well" not in done.err
    assert not Path("run").exists()
    logs = azure("logs", "folds")["logs"]
    assert logs["folds_0/user_logs/std_log.txt"] == "all is well\n"
    assert "is not sound" in logs["folds_1/user_logs/std_log.txt"]


def test_invalid_trainings_are_refused_before_submission(azure: Azure, room: Room, small_study: Path) -> None:
    azure("upload", small_study)
    azure("dataset", "create", "study", "--part", "study")
    asked = len(room.cloud.asked)
    fault = azure("train", "study", "--model", "lda", "--compute", "huge", "-o", "run", code=2)
    assert "the workspace has: cpu, gpu" in fault["fault"]
    assert "az ml compute create --name huge" in fault["remedy"]
    for words, told in (
        (("study", "--model", "lstm"), "is unknown"),
        (("study", "--protocol", "lucky"), "is unknown"),
        (("study", "--name", "a b"), "not a valid job name"),
        (("study", "--protocol", "lopo", "--test-patient", "ID0001"), "itself decides who trains and tests"),
        (("study", "--protocol", "lopo", "--validation-patient", "ID0001"), "itself decides who trains and tests"),
        (("elsewhere",), "does not exist"),
    ):
        assert told in azure("train", *words, "--compute", "cpu", "-o", "run", code=2)["fault"], words
    Path("run").mkdir()
    assert "already exists" in azure("train", "study", "--compute", "cpu", "-o", "run", code=2)["fault"]
    assert not any(line.startswith("PUT") for line in room.cloud.asked[asked:])


@pytest.mark.slow
def test_the_command_of_a_job_runs_unchanged_in_a_fresh_environment(
    small_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    azure = pytest.importorskip("gliomap.deploy.azure")
    pytest.importorskip("azure.ai.ml")
    from cloud.cluster import job_environment

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fresh = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", fresh], check=True)
    # What the lock file names is already installed here; GlioMap itself must come from the wheel in the job's code.
    packages = Path(sysconfig.get_paths()["purelib"])
    inside = next(fresh.glob("lib/python*/site-packages"))
    for entry in packages.iterdir():
        if "gliomap" not in entry.name.lower() and entry.suffix != ".pth":
            (inside / entry.name).symlink_to(entry)
    job = azure.TrainJob("mine", "azureml:study:1", ("--model", "lda", "--test-patient", "ID0003"), "thesis", "cpu")
    (document,) = azure.training_documents(job)
    work = shutil.copytree(document.content["code"], tmp_path / "work")
    places = {
        "inputs.study": small_study,
        "outputs.run": tmp_path / "out-run",
        "outputs.bundle": tmp_path / "out-bundle",
    }
    command = document.content["command"]
    for name, path in places.items():
        path.mkdir(exist_ok=True)
        command = command.replace(f"${{{{{name}}}}}", str(path))
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=work,
        env=job_environment(fresh / "bin", "mine"),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    bundle = open_bundle(tmp_path / "out-bundle")
    assert bundle.manifest.training is not None
    record = json.loads((tmp_path / "out-run" / "run.json").read_text())
    assert record["status"] == "done"
    assert (tmp_path / "out-run" / "evaluation" / "metrics.json").is_file()
