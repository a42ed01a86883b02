"""A run trained with `--tracking none` remembers it wherever it goes, and is mirrored only if a store is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gliomap.tracking import (
    SAID_NONE,
    SAID_NOTHING,
    Store,
    Tracking,
    is_tracked,
    store_of_run,
    store_of_study,
)
from gliomap.workflows import plan_protocol, run_plan, train
from gliomap.workflows._claim import agreed_store
from workflows.conftest import write_study

SERVER = "http://tracking.example:5000"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of three patients with two runs: `told`, trained with 'none', and `untold`. Tests must not change it."""
    study = write_study(
        tmp_path_factory.mktemp("told") / "study", ("ID0001C01", "ID0002C01", "ID0003C01"), shape=(12, 18)
    )
    train(study, out=study / "runs" / "told", model="lda", test_patients=["ID0003"], tracking=SAID_NONE)
    train(study, out=study / "runs" / "untold", model="lda", test_patients=["ID0003"])
    return study


def test_only_a_named_store_overrides_what_the_run_remembers(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, untold = place / "runs" / "told", place / "runs" / "untold"
    assert (store_of_run(told, None), store_of_run(told, SERVER)) == (None, Store(SERVER))
    assert (store_of_run(untold, None), store_of_run(untold, "none")) == (store_of_study(place), None)
    # The variable is set for every command, so it does not ask for this run in particular.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SERVER)
    assert (store_of_run(told, None), store_of_run(untold, None)) == (None, Store(SERVER))


def test_a_read_only_copy_keeps_its_opt_out_and_is_not_modified(place: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(place / "runs" / "told", tmp_path / "runs" / "copy")
    for one in (*copy.rglob("*"), copy):
        one.chmod(one.stat().st_mode & ~0o222)
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    assert store_of_run(copy, None, place) is None
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


def test_a_run_recorded_before_opt_outs_existed_counts_as_tracked(place: Path, tmp_path: Path) -> None:
    old = shutil.copytree(place / "runs" / "untold", tmp_path / "old")
    record = json.loads((old / "run.json").read_text())
    assert record.pop("tracked") is True
    (old / "run.json").write_text(json.dumps(record))
    assert is_tracked(old)


def test_the_environment_variable_does_not_opt_out_a_single_run(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "none")
    assert Tracking.of(None, place) == SAID_NOTHING
    assert Tracking.of("none", place) == SAID_NONE
    assert Tracking.of(SERVER, place) == Tracking(Store(SERVER), named=True)


def test_the_options_of_a_resumed_training_have_the_last_word(place: Path, tmp_path: Path) -> None:
    running = shutil.copytree(place / "runs" / "told", tmp_path / "running_it")
    beside, server = Tracking(Store("sqlite:///beside.db")), Tracking(Store(SERVER), named=True)
    assert (agreed_store(running, beside), is_tracked(running)) == (None, False)
    assert (agreed_store(running, server), is_tracked(running)) == (Store(SERVER), True)
    assert (agreed_store(running, beside), is_tracked(running)) == (beside.store, True)
    assert (agreed_store(running, SAID_NONE), is_tracked(running)) == (None, False)


@pytest.fixture(scope="module")
def folds(place: Path) -> Path:
    """A run of three folds, trained with 'none'. Tests must not change it."""
    return train(place, out=place / "folds", model="lda", protocol="lopo", final=False, tracking=SAID_NONE)


def test_each_fold_remembers_the_opt_out_of_its_run(folds: Path, tmp_path: Path) -> None:
    assert not is_tracked(folds)
    alone = shutil.copytree(folds / "folds" / "ID0001", tmp_path / "folds" / "ID0001")
    assert not is_tracked(alone)


def test_the_record_of_a_run_decides_for_its_folds(
    place: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = shutil.copytree(folds, tmp_path / "whole")
    shutil.copyfile(place / "runs" / "told" / "run.json", whole / "folds" / "ID0001" / "run.json")
    record = json.loads((whole / "run.json").read_text()) | {"tracked": True}
    (whole / "run.json").write_text(json.dumps(record))
    monkeypatch.chdir(whole / "folds")
    assert is_tracked(Path("ID0001"))


def test_a_run_takes_over_the_opt_out_of_folds_trained_elsewhere(place: Path, folds: Path, tmp_path: Path) -> None:
    plan = plan_protocol(place, {"model": "lda", "protocol": "lopo", "final": False})
    run = run_plan(plan, out=tmp_path / "whole", trained=folds / "folds")
    assert not is_tracked(run)
