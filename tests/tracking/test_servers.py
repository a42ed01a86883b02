"""Real MLflow servers, with SQLite and with PostgreSQL, killed and started again while a run is trained."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import COMMAND
from gliomap.tracking import ModelReference, Store, fetch_bundle, open_run, promote
from gliomap.tracking._journal import read_journal
from gliomap.tracking._mlflow import client_of
from postgresql import postgresql
from support import wait_until
from tracking.servers import MLFLOW, MlflowServer
from workflows.conftest import write_study

pytestmark = pytest.mark.slow

EPOCHS = 40


@pytest.fixture
def sqlite_server(tmp_path: Path) -> Iterator[MlflowServer]:
    with running(tmp_path / "server", f"sqlite:///{tmp_path}/server/mlflow.db") as server:
        yield server


@pytest.fixture
def postgresql_server(tmp_path: Path) -> Iterator[MlflowServer]:
    with postgresql("psycopg2") as database, running(tmp_path / "server", database) as server:
        yield server


@contextmanager
def running(folder: Path, database: str) -> Iterator[MlflowServer]:
    """A server that is killed at the end. Without MLflow's server installed, the test is skipped (in CI, it fails)."""
    if not MLFLOW.exists():
        if os.environ.get("GLIOMAP_CI"):
            pytest.fail("the MLflow server is not installed, and CI needs it")
        pytest.skip('needs the MLflow server: pip install "gliomap[mlflow-server]"')
    server = MlflowServer(folder, database)
    try:
        yield server
    finally:
        server.kill()


def gliomap(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen([str(COMMAND), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def steps(client: Any, name: str = "train_loss") -> list[int]:
    """Epochs of the only run that the server holds."""
    experiment = client.get_experiment_by_name("study")
    runs = [] if experiment is None else client.search_runs([experiment.experiment_id])
    return [one.step for run in runs for one in client.get_metric_history(run.info.run_id, name)]


@contextmanager
def paused(process: subprocess.Popen[str]) -> Iterator[None]:
    """Pause a training; its mirror is a separate process and goes on."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@contextmanager
def training_cut_off(server: MlflowServer, study: Path, run: Path) -> Iterator[subprocess.Popen[str]]:
    """A training that goes on after its server was killed in the middle of it."""
    client = client_of(Store(server.uri))
    server.start()
    words = ["train", study, "--model", "fourlayer", "--preset", "thesis", "--epochs", EPOCHS]
    training = gliomap(*words, "--test-patient", "ID0003", "-o", run, "--tracking", server.uri)
    try:
        journal = partial(read_journal, run.with_name(f"running_{run.name}"))
        wait_until(lambda: len(journal()) >= 2, training, training.communicate)
        with paused(training):
            wait_until(lambda: len(steps(client)) >= 2, training, training.communicate)
            server.kill()
            before = len(journal())
        wait_until(lambda: len(journal()) >= before + 2, training, training.communicate)
        yield training
    finally:
        training.kill()
        training.communicate()


def test_a_run_is_sent_later_if_its_server_stays_down(sqlite_server: MlflowServer, tmp_path: Path) -> None:
    study, run, server = write_study(tmp_path / "study"), tmp_path / "run", sqlite_server
    with training_cut_off(server, study, run) as training:
        _, told = training.communicate(timeout=120)
    assert training.returncode == 0, told
    assert told.count("does not answer") == 1
    assert "`gliomap runs sync` sends it later" in told
    assert open_run(run).record.epochs == EPOCHS
    server.start()
    for changed in ("Sent 1 run; 0 already up to date.", "Sent 0 runs; 1 already up to date."):
        sync = gliomap("runs", "sync", run, "--tracking", server.uri)
        out, told = sync.communicate(timeout=60)
        assert (sync.returncode, out.strip()) == (0, changed), told
    assert steps(client_of(Store(server.uri))) == list(range(1, EPOCHS + 1))


def test_a_run_catches_up_if_its_server_returns_and_its_model_is_kept(
    postgresql_server: MlflowServer, tmp_path: Path
) -> None:
    study, run, server = write_study(tmp_path / "study"), tmp_path / "run", postgresql_server
    store = Store(server.uri)
    client = client_of(store)
    with training_cut_off(server, study, run) as training:
        with paused(training):
            server.start()
            written = len(read_journal(run.with_name("running_run")))
            wait_until(lambda: len(steps(client)) == written, training, training.communicate)
        _, told = training.communicate(timeout=120)
    assert training.returncode == 0, told
    assert told.count("does not answer") == 1
    assert "answers again" in told
    assert steps(client) == list(range(1, EPOCHS + 1))
    for words in (["evaluate", run], ["bundle", "create", run], ["models", "register", run, "--name", "net"]):
        done = gliomap(*words, "--tracking", server.uri, "-q")
        _, told = done.communicate(timeout=120)
        assert (done.returncode, told) == (0, "")
    promote(store, ModelReference("net", 1))
    fetched = fetch_bundle(store, ModelReference("net", None, "champion"))
    assert (fetched / "manifest.sha256").read_bytes() == (run / "bundle" / "manifest.sha256").read_bytes()
