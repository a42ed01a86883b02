"""A study with finished runs, and MLflow stores that need no server."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gliomap.tracking import Store, store_of_study
from gliomap.workflows import evaluate, make_bundle, report, train
from workflows.conftest import write_study

SHORT = {"epochs": 3, "patience": None}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs in a study: `net`, evaluated, reported and bundled; `folds`, evaluated. Tests must not change it."""
    study = write_study(tmp_path_factory.mktemp("made") / "study")
    net = train(study, out=study / "runs" / "net", model="fourlayer", test_patients=["ID0003"], overrides=SHORT)
    evaluate(net)
    report([net])
    make_bundle(net)
    evaluate(train(study, out=study / "runs" / "folds", model="lda", protocol="lopo"))
    return study


@pytest.fixture
def study(made: Path, tmp_path: Path) -> Path:
    """A copy of `made` for one test."""
    shutil.copytree(made, tmp_path / "study", copy_function=shutil.copy2)
    return tmp_path / "study"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database made by MLflow. Making one takes seconds, so tests copy it."""
    from gliomap.tracking import list_models
    from gliomap.tracking._mlflow import client_of, in_our_words

    folder = tmp_path_factory.mktemp("store")
    with in_our_words(store_of_study(folder)):
        client_of(store_of_study(folder))
    assert list_models(store_of_study(folder)) == []
    return folder / "mlflow.db"


@pytest.fixture
def store(study: Path, empty_store: Path) -> Store:
    """The store beside the study."""
    shutil.copyfile(empty_store, study / "mlflow.db")
    return store_of_study(study)


@pytest.fixture
def client(store: Store):
    """MLflow's own client of the store."""
    from gliomap.tracking._mlflow import client_of

    return client_of(store)


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Use neither the suite's 'none' nor the user's settings and cache."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
