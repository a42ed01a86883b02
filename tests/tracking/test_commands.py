"""Tracking through the installed command, as people use it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.conftest import COMMAND, Result
from gliomap.tracking import Store, open_run, store_of_study
from gliomap.tracking._journal import read_journal
from gliomap.tracking._mlflow import client_of
from gliomap.workflows import StudyCapture, classify
from support import free_port, wait_until

pytestmark = pytest.mark.slow

NAME = "FourLayerNet_ID0003C01_noCV"


def gliomap(*words: object, **environment: str) -> Result:
    known = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(
        [str(COMMAND), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        env=known | environment,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return Result(done.returncode, done.stdout, done.stderr)


def held(store: Store, experiment: str = "study") -> dict[str, Any]:
    """Runs that MLflow holds, by name."""
    client = client_of(store)
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return {run.info.run_name: run for run in found}


def quick(study: Path, out: Path) -> list[object]:
    words = ["train", study, "--model", "fourlayer", "--epochs", 3, "--test-patient", "ID0003", "--quiet"]
    return [*words, "-o", out]


def test_a_run_is_mirrored_beside_the_study_by_default(study: Path, store: Store) -> None:
    out = study / "runs" / "new"
    done = gliomap(*quick(study, out))
    assert (done.code, done.err) == (0, "")
    assert held(store)["new"].info.status == "FINISHED"
    assert "overall_accuracy" not in held(store)["new"].data.metrics
    assert gliomap("evaluate", out, "-q").code == 0
    assert "overall_accuracy" in held(store)["new"].data.metrics
    done = gliomap("runs", "sync", out, "--json")
    assert [one["changed"] for one in json.loads(done.out)["runs"]] == [False]


def test_a_run_trained_with_tracking_none_is_left_out_afterwards(study: Path, store: Store) -> None:
    shutil.rmtree(study / "runs")
    out = study / "runs" / "new"
    words = ("train", study, "--model", "lda", "--test-patient", "ID0003", "-o", out, "-q", "--tracking", "none")
    done = [gliomap(*words), gliomap("evaluate", out, "-q"), gliomap("runs", "sync", study, "-q")]
    assert [(one.code, one.err) for one in done] == [(0, "")] * 3
    assert done[-1].out.splitlines()[1] == f"Left out, trained with --tracking none (name it to send it): {out}"
    refused = gliomap("models", "register", out)
    assert (refused.code, "--tracking URI" in refused.err) == (2, True)
    assert not (out / "tracking.json").exists()
    assert names(store) == set()
    # Naming the run itself asks for it to be sent.
    assert json.loads(gliomap("runs", "sync", out, "--json").out)["runs"][0]["changed"]
    assert names(store) == {"new"}


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def nobody() -> Iterator[str]:
    yield f"http://127.0.0.1:{free_port()}"


@pytest.mark.parametrize("server", [nobody, silent_server])
def test_a_run_is_complete_although_its_server_is_down_or_silent(study: Path, server: Any) -> None:
    out = study / "runs" / "new"
    with server() as uri:
        patience = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}
        done = gliomap(*quick(study, out), "--tracking", uri, **patience)
        assert done.code == 0
        assert done.err.count("warning: ") == done.err.count("does not answer") == 1
        assert open_run(out).record.status == "done"
        sent = gliomap("runs", "sync", out, "--tracking", uri, "--json", **patience)
    assert sent.code == 2
    assert json.loads(sent.err)["error"]["fault"] == "does not answer"


def test_a_killed_training_resumes_as_the_same_mlflow_run(study: Path, store: Store) -> None:
    out = study / "runs" / "new"
    words = ["train", study, "--model", "fourlayer", "--preset", "thesis", "--epochs", 12, "--test-patient", "ID0003"]
    known = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    training = subprocess.Popen([str(COMMAND), *map(str, words), "-q", "-o", str(out)], env=known)
    running = out.with_name("running_new")
    wait_until(lambda: (running / "checkpoint.safetensors").exists(), training)
    training.send_signal(signal.SIGSTOP)
    wait_until(lambda: "new" in names(store))
    training.kill()
    training.wait()
    wait_until(lambda: held(store)["new"].info.status == "KILLED")
    assert len(read_journal(running)) < 12
    # Sent again, the run keeps its status until the training is resumed.
    assert gliomap("runs", "sync", running, "-q").code == 0
    assert held(store)["new"].info.status == "KILLED"
    done = gliomap(*words, "-q", "-o", out, "--resume")
    assert (done.code, done.err) == (0, "")
    run = held(store)["new"]
    assert run.info.status == "FINISHED"
    losses = client_of(store).get_metric_history(run.info.run_id, "train_loss")
    assert [(one.step, one.value) for one in losses] == [
        (one.epoch, one.train_loss) for one in open_run(out).history().epochs
    ]


def names(store: Store) -> set[str]:
    client = client_of(store)
    return set(held(store)) if client.get_experiment_by_name("study") is not None else set()


def test_a_registered_model_is_used_by_its_name(study: Path, store: Store, tmp_path: Path) -> None:
    del store
    run = study / "runs" / "net"
    done = gliomap("models", "register", run, "--json", "--quiet")
    assert json.loads(done.out)["uri"] == f"models:/{NAME}/1"
    where = ["--tracking", store_of_study(study).uri]
    assert gliomap("models", "promote", f"{NAME}/1", *where).out.startswith(f"Made models:/{NAME}/1 the champion")
    # Both commands again: nothing is new, and they say so.
    again = gliomap("models", "register", run)
    assert again.out.startswith(f"Already registered, nothing new: models:/{NAME}/1, @champion\n")
    assert "Next" not in again.out
    again = gliomap("models", "promote", f"{NAME}/1", *where)
    assert again.out == f"models:/{NAME}/1 is already the champion of {NAME}; nothing changed.\n"
    model = f"models:/{NAME}@champion"
    done = gliomap("classify", model, "--study", study, "--capture", "ID0003C01", "-o", tmp_path / "map", "-q")
    assert (done.code, done.err) == (0, "")
    wanted = classify(run / "bundle", StudyCapture(study, "ID0003C01")).tissue.labels
    np.testing.assert_array_equal(np.load(tmp_path / "map" / "labels.npy"), wanted)
    listed = json.loads(gliomap("models", "list", *where, "--json").out)["models"]
    assert [(one["uri"], one["aliases"]) for one in listed] == [(f"models:/{NAME}/1", ["champion"])]
    shown = gliomap("models", "show", model, *where)
    assert "**Research software, not a medical device.**" in shown.out
    assert gliomap("models", "show", NAME, *where).out == shown.out
    assert gliomap("models", "promote", NAME, *where).code == 2, "only a named version gets an alias"
    assert gliomap("bundle", "verify", model, *where).code == 0
    missing = gliomap("classify", f"models:/{NAME}/7", "--study", study, "--capture", "ID0003C01")
    assert missing.code == 2
    assert "It has versions 1 (@champion)." in missing.err


class TestWithoutAServer:
    """Lists, tables and pictures come from the run folders alone."""

    def test_a_list_names_damaged_runs_and_shows_the_others(self, study: Path) -> None:
        (study / "runs" / "broken").mkdir()
        (study / "runs" / "broken" / "run.json").write_text("{")
        done = gliomap("runs", "list", study)
        assert done.code == 0
        assert "2 runs" in done.out
        assert "broken" in done.err
        assert gliomap("runs", "list", study / "runs" / "broken").code == 2
        found = json.loads(gliomap("runs", "list", study, "--sort", "accuracy", "--json").out)["runs"]
        accuracies = [one["figures"]["overall_accuracy"] for one in found]
        assert accuracies == sorted(accuracies, reverse=True)
        assert gliomap("runs", "list", study, "--sort", "colour").code == 2

    def test_a_list_of_a_folder_without_runs_says_so(self, tmp_path: Path) -> None:
        told = f"No runs in {tmp_path}. Train one with `gliomap train STUDY`, or name the folder that holds them.\n"
        assert gliomap("runs", "list", tmp_path).out == told
        assert json.loads(gliomap("runs", "list", tmp_path, "--json").out) == {"runs": []}

    def test_a_run_is_shown_with_its_times(self, study: Path) -> None:
        done = gliomap("runs", "show", study / "runs" / "net")
        for stage in ("loading arguments", "preparing train data", "training", "predicting", "generating maps"):
            assert stage in done.out
        # No epoch was chosen as the best, because there are no validation patients and no early stopping.
        assert re.search(r"\d epochs\b(?!, the best)", done.out)
        record = study / "runs" / "net" / "run.json"
        told = json.loads(record.read_text())
        told["training"]["patience"], told["labelled"]["validation"] = 3, told["labelled"]["test"]
        record.write_text(json.dumps(told))
        assert "epochs, best " in gliomap("runs", "show", study / "runs" / "net").out
        assert "epochs" not in gliomap("runs", "show", study / "runs" / "folds" / "folds" / "ID0001").out

    def test_a_picture_or_table_is_replaced_only_with_overwrite(self, study: Path, tmp_path: Path) -> None:
        for words, out in (
            (["compare", study, "-o"], tmp_path / "a.png"),
            (["export", study, "--csv"], tmp_path / "a.csv"),
        ):
            assert gliomap("runs", *words, out).code == 0
            before = out.read_bytes()
            again = gliomap("runs", *words, out)
            assert (again.code, "already exists" in again.err) == (2, True)
            assert out.read_bytes() == before
            assert gliomap("runs", *words, out, "--overwrite").code == 0
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / "a.csv").read_text().startswith("Experiment Name,Patients used for testing,OACC,ACC_tumor")

    def test_compare_needs_an_evaluated_run(self, study: Path, tmp_path: Path) -> None:
        shutil.rmtree(study / "runs")
        done = gliomap("runs", "compare", study, "-o", tmp_path / "a.png")
        assert (done.code, "no evaluated run" in done.err) == (2, True)


def test_a_damaged_run_does_not_keep_others_from_being_sent(study: Path, store: Store) -> None:
    bad = shutil.copytree(study / "runs" / "net", study / "runs" / "a-bad")
    (bad / "evaluation" / "metrics.json").write_text("{")
    done = gliomap("runs", "sync", study, "--quiet")
    assert (done.code, {"folds", "net"} & set(held(store))) == (2, {"folds", "net"})
    assert "runs/a-bad: could not be sent" in done.err
