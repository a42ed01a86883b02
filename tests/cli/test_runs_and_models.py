"""`gliomap runs` and `gliomap models`: unfinished runs, runs of different studies, and missing stores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cli.conftest import Run
from gliomap.tracking import lock_folder


@pytest.mark.parametrize(
    "words",
    [
        ("models", "list"),
        ("models", "show", "glioma-map/1"),
        ("models", "promote", "glioma-map/1"),
        ("bundle", "show", "models:/glioma-map/1"),
        ("bundle", "verify", "models:/glioma-map/1"),
        ("serve", "models:/glioma-map/1"),
        ("classify", "models:/glioma-map/1", "--cube", "cube.npz"),
    ],
    ids=" ".join,
)
def test_commands_that_only_read_create_no_store(gliomap: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    database = tmp_path / "below" / "nowhere.db"
    done = gliomap(*words, "--tracking", f"sqlite:///{database}")
    assert (done.code, done.out) == (2, "")
    assert f"tracking store sqlite:///{database}: does not exist. Name another with --tracking URI" in done.err
    assert list(tmp_path.iterdir()) == []


def test_classify_creates_no_store_in_a_study_without_one(
    gliomap: Run, small_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    done = gliomap("classify", "models:/glioma-map/1", "--study", small_study, "--capture", "ID0001C01")
    assert (done.code, "mlflow.db: does not exist" in done.err) == (2, True)
    assert not (small_study / "mlflow.db").exists()


@pytest.fixture
def stopped(small_run: Path, tmp_path: Path) -> Path:
    """The folder of a training that was stopped before it finished."""
    folder = tmp_path / "running_new"
    shutil.copytree(small_run, folder)
    _alter(folder, status="running", name="new")
    (folder / ".lock").touch()
    return folder


def _alter(run: Path, **changed: object) -> None:
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | changed))


def test_a_training_that_stopped_early_is_shown_as_interrupted(gliomap: Run, stopped: Path) -> None:
    assert "interrupted" in gliomap("runs", "list", stopped.parent).out
    for given in (stopped, stopped.with_name("new")):
        shown = gliomap("runs", "show", given)
        assert (shown.code, shown.err) == (0, "")
        assert "interrupted" in shown.out
        assert "Next: repeat the training command with --resume." in shown.out
        assert json.loads(gliomap("runs", "show", given, "--json").out)["state"] == "interrupted"
    with lock_folder(stopped):
        assert "interrupted" not in gliomap("runs", "list", stopped.parent).out
        shown = gliomap("runs", "show", stopped).out
        assert ("training" in shown, "--resume" in shown) == (True, False)


def test_a_fold_is_interrupted_unless_its_run_is_still_training(gliomap: Run, stopped: Path) -> None:
    fold = shutil.copytree(stopped, stopped / "folds" / "ID0001")
    state = ("runs", "show", fold, "--json")
    assert json.loads(gliomap(*state).out)["state"] == "interrupted"
    with lock_folder(stopped):
        assert json.loads(gliomap(*state).out)["state"] == "training"


@pytest.mark.parametrize("words", [("evaluate",), ("report",), ("runs", "list"), ("bundle", "create")], ids=" ".join)
def test_the_final_name_of_an_unfinished_run_is_refused(gliomap: Run, stopped: Path, words: tuple[str, ...]) -> None:
    done = gliomap(*words, stopped.with_name("new"))
    assert done.code == 2
    assert "new: is not finished; until then it is called running_new. Repeat the training command" in done.err


@pytest.mark.parametrize("file", ["run.json", "model.safetensors"])
@pytest.mark.parametrize("words", [("evaluate",), ("report",), ("runs", "list"), ("runs", "show")], ids=" ".join)
def test_a_file_inside_a_run_is_refused_and_its_folder_named(
    gliomap: Run, small_run: Path, words: tuple[str, ...], file: str
) -> None:
    done = gliomap(*words, small_run / file)
    assert (done.code, done.err) == (2, f"error: {small_run / file}: is a file. Give its folder: {small_run}.\n")


def test_a_finished_run_cannot_be_resumed(gliomap: Run, small_study: Path, small_run: Path, stopped: Path) -> None:
    again = ("train", small_study, "--model", "lda", "--test-patient", "ID0003", "--resume", "-q", "-o")
    done = gliomap(*again, small_run)
    assert done.code == 2
    assert f"{small_run}: is finished, so there is nothing to resume. See it with `gliomap runs show" in done.err
    # Beside an unfinished run of the same name, the finished one is in the way.
    done = gliomap(*again, shutil.copytree(small_run, stopped.with_name("new")))
    assert (done.code, "already exists" in done.err) == (2, True)


@pytest.fixture
def evaluated(gliomap: Run, small_run: Path, small_study: Path, tmp_path: Path) -> Path:
    run = shutil.copytree(small_run, tmp_path / "runs" / "first")
    assert gliomap("evaluate", run, "--study", small_study, "-q", "--tracking", "none").code == 0
    return run


def test_comparing_runs_of_different_studies_causes_a_warning(gliomap: Run, evaluated: Path, tmp_path: Path) -> None:
    other = shutil.copytree(evaluated, tmp_path / "runs" / "other")
    words = ("runs", "compare", evaluated.parent, "--overwrite", "-o", tmp_path / "a.png")
    warning = "The runs were made on different files. Make sure that equal names mean the same patients."
    assert warning not in gliomap(*words).out
    study = json.loads((other / "run.json").read_text())["study"]
    _alter(other, study=study | {"fingerprint": "0" * 64})
    assert f"Caution: {warning}\n" in gliomap(*words).out
    assert json.loads(gliomap(*words, "--json").out)["warnings"] == [warning]


def test_runs_that_were_not_evaluated_are_named(gliomap: Run, evaluated: Path, small_run: Path, tmp_path: Path) -> None:
    other = shutil.copytree(small_run, tmp_path / "runs" / "other")
    words = ("runs", "compare", evaluated.parent, "--overwrite", "-o", tmp_path / "a.png")
    assert f"Left out, not evaluated: {other}\nPicture of 1 run: " in gliomap(*words).out
    assert json.loads(gliomap(*words, "--json").out)["not_evaluated"] == [str(other)]


@pytest.mark.parametrize("name", ["lda_holdout_ID0003_1", "fourlayer_kfold-patient_13-patients_1"])
def test_the_list_of_runs_fits_the_terminal_and_keeps_names_whole(
    gliomap: Run, evaluated: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _alter(evaluated, name=name)
    lines = {}
    for width in (80, 160):
        monkeypatch.setenv("COLUMNS", str(width))
        lines[width] = [line.rstrip() for line in gliomap("runs", "list", evaluated.parent).out.splitlines()]
        assert max(map(len, lines[width])) <= width
        assert sum(name in line for line in lines[width]) == 1
    assert "OACC" in "".join(lines[80])
    assert {"run", "model", "protocol", "started"} <= set(" ".join(lines[160]).split())
