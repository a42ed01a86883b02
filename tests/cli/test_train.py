"""`gliomap train` and `gliomap evaluate`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cli.conftest import Run
from gliomap.cli._runs import MIXING
from gliomap.cli._train_options import split_list
from gliomap.studies import PROTOCOLS
from gliomap.workflows import open_run
from support import shared


def test_lists_may_be_repeated_or_written_with_commas() -> None:
    assert split_list(["a,b", " c "]) == ["a", "b", "c"]
    assert split_list(None) == []


def test_a_network_is_trained_and_tested(installed: Run, study: Path) -> None:
    trained = installed("train", study, "--test-patient", "ID0003", "--epochs", 2, "--seed", 3, "--json")
    assert trained.code == 0, trained.err
    told = json.loads(trained.out)
    assert told["split"]["test"]["captures"] == ["ID0003C01"]
    assert told["epochs"] == 2
    run = Path(told["run"])
    assert run == study / "runs" / "conv2d_holdout_ID0003_1"
    assert open_run(run).record.training.seed == 3
    evaluated = installed("evaluate", run)
    assert evaluated.code == 0, evaluated.err
    assert "healthy" in evaluated.out
    assert "not a medical device" in evaluated.out
    assert (run / "evaluation" / "metrics.json").is_file()
    assert (run / "evaluation" / "Conv2DNet_ID0003C01_noCV_version_1.png").is_file()


def test_a_dry_run_shows_the_split_and_trains_nothing(gliomap: Run, study: Path) -> None:
    result = gliomap("train", study, "--dry-run")
    assert result.code == 0
    assert "last patient, ID0003, is held out" in result.err
    assert "Would train conv2d" in result.out
    told = json.loads(gliomap("train", study, "--dry-run", "--model", "lda", "--threads", 2, "--json").out)
    assert told["settings"]["threads"] == 2
    assert told["split"]["train"]["patients"] == ["ID0001", "ID0002"]
    assert not (study / "runs").exists()


def test_pixels_divided_between_folds_are_counted_once(gliomap: Run, study: Path) -> None:
    words = ("train", study, "--model", "lda", "--protocol", "pooled", "--fold", 1)
    dry = gliomap(*words, "--dry-run").out
    assert "to be divided" in dry
    assert "1 of 5" in dry
    told = json.loads(gliomap(*words, "--json").out)["split"]
    train, test = (sum(told[role]["labelled"].values()) for role in ("train", "test"))
    assert train == pytest.approx(4 * test, abs=8)


def test_the_last_epoch_is_not_called_best_unless_it_was_selected(gliomap: Run, study: Path) -> None:
    words = ["--model", "fourlayer", "--preset", "thesis", "--epochs", 2, "--validation-patient", "ID0001"]
    out = study / "runs" / "kept"
    assert "fourlayer: 2 epochs (all 2 epochs done)," in gliomap("train", study, *words, "-o", out).out
    assert "the best" not in gliomap("runs", "show", out).out


def test_the_next_command_names_a_camera_that_has_a_file_of_its_own(gliomap: Run, study: Path, tmp_path: Path) -> None:
    camera = study / "sensor.toml"
    words = ["train", study, "--model", "lda", "--test-patient", "ID0003", "-o"]
    told = gliomap(*words, tmp_path / "run", "--sensor", camera).out
    assert f"Next: gliomap evaluate {tmp_path / 'run'} --sensor {camera}\n" in told
    assert f"Next: gliomap evaluate {tmp_path / 'again'}\n" in gliomap(*words, tmp_path / "again").out


def test_the_list_of_runs_warns_of_protocols_that_mix_patients(gliomap: Run, study: Path) -> None:
    assert set(MIXING) == {name for name, one in PROTOCOLS.items() if one.warning is not None}
    run = study / "runs" / "mixed"
    assert gliomap("train", study, "--model", "lda", "--protocol", "pooled", "-o", run).code == 0
    assert "are too high" not in gliomap("runs", "list", study).out
    assert gliomap("evaluate", run).code == 0
    assert "Figures of double-cv and pooled are too high" in gliomap("runs", "list", study).out


def test_training_captures_can_be_chosen(gliomap: Run, study: Path) -> None:
    flags = ["--model", "lda", "--test-capture", "ID0003C01", "--train-capture", "ID0002C01", "--dry-run", "--json"]
    told = json.loads(gliomap("train", study, *flags).out)
    assert told["split"]["train"]["captures"] == ["ID0002C01"]


def test_training_on_one_patient_says_there_is_no_early_stopping(gliomap: Run, study: Path) -> None:
    flags = ["--test-patient", "ID0003", "--train-capture", "ID0001C01", "--dry-run"]
    assert "no early stopping" in gliomap("train", study, *flags).err


def test_a_patient_in_train_and_test_is_refused_or_recorded_if_allowed(gliomap: Run, study: Path) -> None:
    for folder in ("tif", "preProcessedImages", "GroundTruthMaps", "datasets"):
        for path in (study / folder).glob("*ID0002C*01*"):
            shutil.copy(path, path.with_name(path.name.replace("01", "02", 1)))
    names = sorted(path.name for path in (study / "tif").glob("ID0002*"))
    assert "ID0002C02.tif" in names
    flags = ["train", study, "--model", "lda", "--test-capture", "ID0002C02", "-o", study / "run"]
    refused = gliomap(*flags)
    assert refused.code == 2
    assert "ID0002" in refused.err
    assert "--allow-same-patient" in refused.err
    assert not (study / "run").exists()
    assert gliomap(*flags, "--allow-same-patient").code == 0
    assert open_run(study / "run").split().allow_same_patient
    caution = "In both training and test: ID0002. Their figures overstate."
    assert f"Caution: {caution}" in gliomap("evaluate", study / "run").out
    assert f"Caution: run: {caution}" in gliomap("runs", "compare", study / "run", "-o", study / "runs.png").out


def test_a_finished_run_is_kept_unless_overwriting(gliomap: Run, study: Path, small_run: Path) -> None:
    run = Path(shutil.copytree(small_run, study / "run"))
    before = (run / "run.json").read_bytes()
    refused = gliomap("train", study, "--model", "lda", "-o", run)
    assert refused.code == 2
    assert f"{run}: already exists" in refused.err
    assert (run / "run.json").read_bytes() == before
    assert gliomap("train", study, "--model", "lda", "-o", run, "--overwrite").code == 0
    assert (run / "run.json").read_bytes() != before


def test_one_epoch_is_written_in_the_singular(gliomap: Run, study: Path, tmp_path: Path) -> None:
    words = ["train", study, "--model", "fourlayer", "--epochs", "1"]
    assert ": at most 1 epoch, batches of" in gliomap(*words, "--dry-run").out
    trained = gliomap(*words, "-o", tmp_path / "run").out
    assert " 1 epoch, best epoch 1 (the only epoch done; retrained on all 2 patients for 1 epoch)," in trained


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--model", "resnet"], "conv2d"),
        (["--preset", "fast"], "thesis"),
        (["--protocol", "leave-one-out"], "holdout"),
        (["--test-patient", "ID0009"], "ID0001"),
        (["--test-capture", "ID0003C07"], "ID0003C01"),
        (["--test-patient", "ID0001,ID0002,ID0003"], "leaves none to train on"),
        (["--test-capture", "ID0003C01", "--train-capture", "ID0003C01"], "both train and test"),
        (["--epochs", "0"], "--epochs"),
        (["--learning-rate", "-1"], "learning_rate"),
        (["--resume"], "no unfinished training"),
        (["--model", "lda", "--resume"], "no unfinished training"),
        (["--sensor", "nemesis"], "of sensor 'nemesis' has 217×409 pixels and its map 48×72"),
    ],
)
def test_bad_options_are_refused(gliomap: Run, study: Path, flags: list[str], told: str) -> None:
    result = gliomap("train", study, *flags)
    assert (result.code, result.out) == (2, "")
    assert told in result.err
    assert not list(study.glob("runs/*"))


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("model", ["conv2d", "fourlayer", "lda"])
def test_one_real_patient_trains_and_the_other_is_tested(gliomap: Run, tmp_path: Path, model: str) -> None:
    run = tmp_path / "run"
    flags = ["--model", model, "--epochs", "2", "--test-patient", "ID0070", "-o", run]
    trained = gliomap("train", shared("data", "real"), *flags)
    assert trained.code == 0, trained.err
    evaluated = gliomap("evaluate", run, "--json")
    assert evaluated.code == 0, evaluated.err
    assert json.loads(evaluated.out)["captures"]["ID0070C02"]["pictures"]


class TestEvaluate:
    def test_a_folder_that_is_not_a_run_is_refused(self, gliomap: Run, tmp_path: Path) -> None:
        result = gliomap("evaluate", tmp_path)
        assert (result.code, result.out) == (2, "")
        assert str(tmp_path) in result.err

    def test_a_damaged_run_is_refused(self, gliomap: Run, small_run: Path, tmp_path: Path) -> None:
        for name in ("run.json", "split.json", "model.safetensors"):
            run = Path(shutil.copytree(small_run, tmp_path / name))
            (run / name).write_bytes((run / name).read_bytes()[:60])
            result = gliomap("evaluate", run)
            assert (result.code, result.out) == (2, ""), name
            assert name in result.err
            assert not (run / "evaluation").exists()

    def test_a_changed_study_is_refused(self, gliomap: Run, study: Path, small_run: Path, tmp_path: Path) -> None:
        run = Path(shutil.copytree(small_run, tmp_path / "run"))
        path = next((study / "GroundTruthMaps").glob("*ID0003C01*"))
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        result = gliomap("evaluate", run, "--study", study)
        assert result.code == 2
        assert "ID0003C01" in result.err
        assert not (run / "evaluation").exists()
