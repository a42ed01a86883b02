"""Which store is used, and that its secrets are never shown."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gliomap._secrets import without_secrets
from gliomap.errors import MissingExtraError, TrackingError, UsageError
from gliomap.tracking import Store, find_store, nearest_store, store_of_study
from gliomap.tracking._database import database_path, make_database

SERVER = "http://tracking.example:5000"


def test_the_default_store_is_the_one_beside_the_study(tmp_path: Path) -> None:
    found = find_store(None, tmp_path, {})
    assert found == Store(f"sqlite:///{tmp_path}/mlflow.db", f"file://{tmp_path}/mlartifacts")


def test_a_flag_overrides_the_environment_which_overrides_the_study(tmp_path: Path) -> None:
    environment = {"MLFLOW_TRACKING_URI": SERVER}
    assert find_store(None, tmp_path, environment) == Store(SERVER)
    assert find_store("https://other", tmp_path, environment) == Store("https://other")


@pytest.mark.parametrize("environment", [{}, {"MLFLOW_TRACKING_URI": SERVER}])
def test_none_means_no_store(tmp_path: Path, environment: dict[str, str]) -> None:
    assert find_store("none", tmp_path, environment) is None
    assert find_store(None, tmp_path, {"MLFLOW_TRACKING_URI": "none"}) is None
    assert find_store(None, None, {}) is None


def test_missing_mlflow_is_an_error_only_if_a_store_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gliomap.tracking._store.find_spec", lambda _: None)
    assert find_store(None, tmp_path, {}) is None
    for asked in (lambda: find_store(SERVER, tmp_path, {}), lambda: nearest_store(None, tmp_path, {})):
        with pytest.raises(MissingExtraError, match=r"gliomap\[track\]"):
            asked()


def test_the_files_of_a_named_database_are_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = find_store("sqlite:///here/runs.db")
    assert found == Store(f"sqlite:///{tmp_path}/here/runs.db", f"file://{tmp_path}/here/mlartifacts")


@pytest.mark.parametrize("uri", ["mlruns", "file:///mlruns", "postgresql://who:hidden@host/db", "databricks"])
def test_unsupported_store_addresses_are_refused(uri: str) -> None:
    with pytest.raises(UsageError, match=r"sqlite:///FILE\.db, the http") as caught:
        find_store(uri)
    assert "hidden" not in str(caught.value)


def test_no_secret_of_a_store_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "very-secret")
    store = Store("https://user:password@host/path?sig=abc&x=1")
    told = [repr(store), store.name, without_secrets("401 for https://user:password@host (very-secret)")]
    assert not [text for text in told for secret in ("password", "abc", "very-secret") if secret in text]
    assert store.name == "https://host/path?sig=…&x=1"
    assert without_secrets("https://user:p@ssword@host/path") == "https://host/path"


def test_the_nearest_store_is_found_unless_there_are_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = tmp_path / "study"
    (study / "runs").mkdir(parents=True)
    (study / "mlflow.db").touch()
    for place in (study, study / "runs", tmp_path):
        monkeypatch.chdir(place)
        assert nearest_store(None) == store_of_study(study)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mlflow.db").touch()
    with pytest.raises(TrackingError, match="there are several"):
        nearest_store(None)
    assert nearest_store(None, study) == store_of_study(study)
    monkeypatch.chdir(tmp_path / "other" / "..")
    (study / "mlflow.db").unlink()
    (tmp_path / "other" / "mlflow.db").unlink()
    with pytest.raises(TrackingError, match="none is named, and there is none here"):
        nearest_store(None)


@pytest.mark.parametrize("uri", ["sqlite:", "sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_database_without_a_file_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match="names no file"):
        find_store(uri)


def test_a_study_name_may_contain_special_characters(tmp_path: Path) -> None:
    study = tmp_path / "100 %20 ü#?&"
    found = store_of_study(study)
    assert database_path(found.uri) == study / "mlflow.db"
    assert find_store(found.uri) == found


def test_an_unfinished_database_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "here" / "mlflow.db"

    def killed(uri: str) -> None:
        database_path(uri).write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_database(path, killed)
    assert list(path.parent.iterdir()) == []


def test_a_database_requested_several_times_at_once_is_made_once(tmp_path: Path) -> None:
    path, built = tmp_path / "mlflow.db", []

    def build(uri: str) -> None:
        built.append(uri)
        time.sleep(0.05)
        database_path(uri).write_text("whole")

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(make_database, path, build) for _ in range(4)]:
            done.result()
    assert (len(built), path.read_text()) == (1, "whole")
