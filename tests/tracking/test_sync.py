"""What MLflow holds of a run, and that sending the run again changes nothing."""

from __future__ import annotations

import fcntl
import http.server
import json
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gliomap.errors import RunError, TrackingError
from gliomap.evaluation import read_evaluation
from gliomap.tracking import Sender, Sent, Store, open_run, store_of_study

TIMES = {
    "loading_arguments",
    "preparing_train_data",
    "training",
    "preparing_test_data",
    "predicting",
    "generating_maps",
}


def all_files(client: Any, run_id: str, folder: str = "") -> set[str]:
    found = set()
    for one in client.list_artifacts(run_id, folder):
        found |= all_files(client, run_id, one.path) if one.is_dir else {one.path}
    return found


def everything(client: Any, run_id: str) -> dict[str, Any]:
    """Everything that MLflow holds of a run, in a form that can be compared."""
    run = client.get_run(run_id)
    history = {key: [(m.step, m.value) for m in client.get_metric_history(run_id, key)] for key in run.data.metrics}
    files = sorted(all_files(client, run_id))
    return {"params": run.data.params, "tags": run.data.tags, "history": history, "files": files, **vars(run.info)}


@pytest.fixture
def net(study: Path, store: Store) -> Path:
    del store
    return study / "runs" / "net"


def test_a_run_is_sent_with_everything_except_array_files(net: Path, store: Store, client: Any) -> None:
    sent = Sender(store).send(net)
    assert sent.changed
    run, record = client.get_run(sent.run_id), open_run(net).record
    assert (run.info.run_name, run.info.status) == ("net", "FINISHED")
    assert client.get_experiment(run.info.experiment_id).name == record.study.name
    params, tags = run.data.params, run.data.tags
    assert params["study_fingerprint"] == record.study.fingerprint
    assert params["split_fingerprint"] == record.split_fingerprint
    assert (params["model"], params["training.epochs"]) == ("fourlayer", "3")
    assert tags["environment.numpy"] == record.environment.packages["numpy"]
    assert tags["mlflow.source.git.commit"] == record.environment.commit
    losses = client.get_metric_history(sent.run_id, "train_loss")
    assert [(one.step, one.value) for one in losses] == [
        (one.epoch, one.train_loss) for one in open_run(net).history().epochs
    ]
    assert len(client.get_metric_history(sent.run_id, "train_accuracy")) == 3
    assert {name.removeprefix("seconds.") for name in run.data.metrics if name.startswith("seconds.")} == TIMES
    evaluation = read_evaluation(net / "evaluation" / "metrics.json")
    assert run.data.metrics["overall_accuracy"] == pytest.approx(evaluation.pooled.overall_accuracy)
    assert run.data.metrics["tumour.sensitivity"] == pytest.approx(evaluation.pooled.classes[1].sensitivity)
    files = all_files(client, sent.run_id)
    pictures = {path.name for path in (net / "evaluation").glob("*.png")}
    assert {f"evaluation/{name}" for name in pictures} <= files
    assert {kind for kind in ("confusion", "curves", "overlay") if any(kind in name for name in pictures)} == {
        "confusion",
        "curves",
        "overlay",
    }
    assert {"run.json", "split.json", "report.html", "evaluation/metrics.json"} <= files
    assert {name.split("/", 1)[1] for name in files if name.startswith("model-")} >= {"MLmodel", "bundle/manifest.json"}
    assert not [name for name in files if name.endswith((".npz", ".safetensors", ".pkl"))]


def test_a_run_sent_twice_at_once_is_created_once(
    net: Path, store: Store, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when `runs sync` runs while a training starts, or twice: both asked the store, and each created a run."""
    found: list[Sent] = []
    waits = threading.Event()
    second = threading.Thread(target=lambda: (found.append(Sender(store).send(net)), waits.set()))
    run_of, flock = Sender._run_of, fcntl.flock

    def meanwhile(self: Sender, *asked: Any) -> Any:
        if threading.current_thread() is not second:
            second.start()
            waits.wait(60)
        return run_of(self, *asked)

    def noted(descriptor: int, operation: int) -> None:
        if threading.current_thread() is second:
            waits.set()
        flock(descriptor, operation)

    search = client.search_runs
    monkeypatch.setattr(Sender, "_run_of", meanwhile)
    monkeypatch.setattr(fcntl, "flock", noted)
    # Keep the results apart: the second may be done before this thread goes on after releasing the run.
    first = Sender(store).send(net)
    second.join(60)
    assert [one.changed for one in (first, *found)] == [True, False]
    assert found[0].run_id == first.run_id
    experiment = client.get_run(first.run_id).info.experiment_id
    assert len(search([experiment])) == 1


def test_intervals_over_patients_are_sent(study: Path, store: Store, client: Any) -> None:
    folds = study / "runs" / "folds"
    run = client.get_run(Sender(store).send(folds).run_id)
    interval = read_evaluation(folds / "evaluation" / "metrics.json").intervals["overall accuracy"]
    assert interval is not None
    assert run.data.metrics["patients.overall_accuracy.mean"] == pytest.approx(interval.mean)
    assert run.data.metrics["patients.overall_accuracy.patients"] == interval.patients == 4


def test_folds_are_child_runs_of_their_run(study: Path, store: Store, client: Any) -> None:
    sent = Sender(store).send(study / "runs" / "folds")
    experiment = client.get_run(sent.run_id).info.experiment_id
    below = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{sent.run_id}'")
    assert {run.info.run_name for run in below} == {"ID0001", "ID0002", "ID0003", "ID0004", "final"}
    assert {run.info.status for run in below} == {"FINISHED"}


def test_sending_again_changes_nothing_even_if_forced(net: Path, store: Store, client: Any) -> None:
    first = Sender(store).send(net)
    before = everything(client, first.run_id)
    assert not Sender(store).send(net).changed
    assert Sender(store).send(net, again=True).changed
    # Without the local record, the store is asked for the run.
    (net / "tracking.json").unlink()
    assert Sender(store).send(net).run_id == first.run_id
    assert everything(client, first.run_id) == before


def test_a_damaged_tracking_file_does_no_harm(net: Path, store: Store) -> None:
    first = Sender(store).send(net)
    (net / "tracking.json").write_text("{")
    assert Sender(store).send(net).run_id == first.run_id


def test_a_new_evaluation_is_sent_without_repeating_the_curves(net: Path, store: Store, client: Any) -> None:
    first = Sender(store).send(net)
    summary = json.loads((net / "evaluation" / "summary.json").read_text())
    (net / "evaluation" / "summary.json").write_text(json.dumps(summary))
    assert Sender(store).send(net).changed
    assert [one.step for one in client.get_metric_history(first.run_id, "train_loss")] == [1, 2, 3]


def test_a_moved_and_renamed_run_stays_the_same_mlflow_run(net: Path, store: Store, tmp_path: Path) -> None:
    first = Sender(store).send(net)
    shutil.move(net, tmp_path / "elsewhere")
    assert Sender(store).send(tmp_path / "elsewhere").run_id == first.run_id


def test_a_killed_training_is_sent_as_far_as_it_got(net: Path, store: Store, client: Any) -> None:
    running = net.with_name("running_net")
    shutil.copytree(net, running)
    record = json.loads((running / "run.json").read_text()) | {"status": "running", "finished_at": None}
    (running / "run.json").write_text(json.dumps(record))
    for name in ("history.json", "model.safetensors"):
        (running / name).unlink()
    shutil.rmtree(running / "evaluation")
    killed = Sender(store).send(running, stopped=True)
    run = client.get_run(killed.run_id)
    assert run.info.status == "KILLED"
    assert len(client.get_metric_history(killed.run_id, "train_loss")) == 3
    assert all_files(client, killed.run_id) == set()
    assert not (running / "tracking.json").exists()
    # The training was resumed and has ended: the same run goes on.
    assert Sender(store).send(net).run_id == killed.run_id
    assert client.get_run(killed.run_id).info.status == "FINISHED"
    assert [one.step for one in client.get_metric_history(killed.run_id, "train_loss")] == [1, 2, 3]


@pytest.fixture
def running(net: Path) -> Path:
    """A training in progress: two of its three epochs are done."""
    folder = net.with_name("running_net")
    folder.mkdir()
    record = json.loads((net / "run.json").read_text()) | {"status": "running", "finished_at": None}
    (folder / "run.json").write_text(json.dumps(record))
    lines = (net / "epochs.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "epochs.jsonl").write_bytes(b"".join(lines[:2]))
    return folder


def end_epoch(running: Path, net: Path) -> None:
    (running / "epochs.jsonl").write_bytes((net / "epochs.jsonl").read_bytes())


def test_of_a_training_in_progress_only_new_epochs_are_sent(
    running: Path, net: Path, store: Store, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = Sender(store)
    run_id = sender.send(running).run_id
    asked: list[str] = []
    for name in ("log_batch", "search_runs", "update_run", "get_metric_history", "log_artifact"):
        told = getattr(client, name)

        def noted(*given: Any, name: str = name, told: Any = told, **named: Any) -> Any:
            asked.append(name)
            return told(*given, **named)

        monkeypatch.setattr(client, name, noted)
    end_epoch(running, net)
    assert sender.send(running).changed
    assert asked == ["log_batch"]
    monkeypatch.undo()
    assert [one.step for one in client.get_metric_history(run_id, "train_loss")] == [1, 2, 3]


def test_a_run_deleted_during_its_training_is_created_anew(running: Path, net: Path, store: Store, client: Any) -> None:
    sender = Sender(store)
    first = sender.send(running).run_id
    client.delete_run(first)
    end_epoch(running, net)
    with pytest.raises(TrackingError, match="deleted"):
        sender.send(running)
    second = sender.send(running).run_id
    assert second != first
    assert [one.step for one in client.get_metric_history(second, "train_loss")] == [1, 2, 3]
    assert client.get_run(second).data.params == client.get_run(first).data.params


def test_a_run_without_a_journal_has_its_curves_from_its_history(net: Path, store: Store, client: Any) -> None:
    (net / "epochs.jsonl").unlink()
    sent = Sender(store).send(net)
    assert [one.step for one in client.get_metric_history(sent.run_id, "train_loss")] == [1, 2, 3]


def test_the_run_named_by_mlflow_run_id_is_used_once(
    net: Path, study: Path, store: Store, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = client.create_run(
        client.create_experiment("cloud", artifact_location=store.artifacts), run_name="job"
    ).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", opened)
    assert Sender(store).send(net).run_id == opened
    assert Sender(store).send(study / "runs" / "folds").run_id != opened


def test_a_deleted_experiment_is_reported_with_a_remedy(net: Path, store: Store, client: Any) -> None:
    experiment = client.create_experiment(open_run(net).record.study.name)
    client.delete_experiment(experiment)
    with pytest.raises(TrackingError, match=f"mlflow experiments restore -x {experiment}"):
        Sender(store).send(net)


def test_a_store_that_is_not_a_database_is_reported(net: Path, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("no database")
    with pytest.raises(TrackingError, match=r"tracking store sqlite:////.*mlflow\.db: is not a database"):
        Sender(store_of_study(tmp_path)).send(net)


def test_a_store_that_cannot_be_created_is_reported(net: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrackingError, match=r"mlflow\.db: cannot be created \(.*--tracking URI"):
        Sender(store_of_study(tmp_path / "file")).send(net)


def test_a_store_of_another_mlflow_version_is_reported(net: Path, store: Store, tmp_path: Path) -> None:
    shutil.copyfile(store.uri.removeprefix("sqlite:///"), tmp_path / "mlflow.db")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        database.execute("update alembic_version set version_num = 'ffffffffffff'")
    with pytest.raises(TrackingError, match="was made by another version of MLflow"):
        Sender(store_of_study(tmp_path)).send(net)


@contextmanager
def answering(status: int) -> Iterator[str]:
    """A server that gives every request the same status."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def respond(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = do_PUT = respond  # noqa: N815 — names of the standard library

        def log_message(self, *told: object) -> None:
            """Keep the test's stderr clean."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://who:password@127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (401, "the token has expired"),
        (403, "refuses these credentials"),
        (429, r"cannot answer now \(HTTP 429\)"),
        (500, r"cannot answer now \(HTTP 500\)"),
    ],
)
def test_a_refusal_by_the_server_is_explained_without_the_password(
    net: Path, status: int, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with answering(status) as uri, pytest.raises(TrackingError, match=fault) as caught:
        Sender(Store(uri)).send(net)
    assert "password" not in str(caught.value)
    assert not (net / "tracking.json").exists()


def test_a_missing_run_folder_is_refused(tmp_path: Path, store: Store) -> None:
    with pytest.raises(RunError, match="does not exist"):
        Sender(store).send(tmp_path / "none")
