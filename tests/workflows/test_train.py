"""A study becomes a run folder that records how it was made."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import numpy as np
import pytest

from gliomap.bundles import open_bundle
from gliomap.errors import (
    LeakageError,
    ModelError,
    OutputExistsError,
    StudyError,
    UsageError,
)
from gliomap.learning import LabelledCube, PatchSource, predict
from gliomap.preprocessing import HyperCube
from gliomap.studies import Study, open_study, write_capture_files, write_cube, write_map
from gliomap.taxonomy import THESIS_CLASSES
from gliomap.workflows import evaluate, make_bundle, open_run, plan_training, train
from support import shared

QUICK = {"epochs": 4, "batch_size": 64}


def accuracy(run, capture):
    """Share of labelled pixels of one capture that a run's model gets right."""
    study, model = run.study(), run.model()
    cube = LabelledCube.from_cube(capture, "", study.cube(capture), study.codes(capture), THESIS_CLASSES)
    source = PatchSource([cube], model.window)
    return (predict(model, source).argmax(axis=1) + 1 == source.labels).mean()


@pytest.mark.parametrize("model", ["conv2d", "fourlayer", "lda"])
def test_a_run_folder_holds_the_model_its_record_and_its_history(study, model):
    folder = train(study, model=model, test_patients=["ID0003"], overrides=QUICK | {"epochs": 12})
    assert folder == study / "runs" / f"{model}_holdout_ID0003_1"
    assert {path.name for path in folder.iterdir()} == {
        "run.json",
        "split.json",
        "epochs.jsonl",
        "history.json",
        "model.safetensors",
    }
    run = open_run(folder)
    assert accuracy(run, "ID0003C01") > 0.9
    record = run.record
    assert (record.status, record.protocol, record.version) == ("done", "holdout", 1)
    assert record.model.name == model
    assert record.split_fingerprint == run.split().fingerprint
    assert record.started_at < record.finished_at
    assert record.environment.packages["torch"]
    assert record.classes == THESIS_CLASSES
    assert record.sensor is None
    history = run.history()
    assert (len(history.epochs), history.best_epoch) == (record.epochs, record.best_epoch)
    assert run.split().patients_of("test") == ("ID0003",)
    assert not set(run.split().train) & {"ID0003C01"}


def test_labelled_masked_and_ignored_pixels_are_all_counted(study):
    record = open_run(train(study, model="lda", test_patients=["ID0001"])).record
    captures = ["ID0002C01", "ID0002C02", "ID0003C01", "ID0004C01"]
    codes = [open_study(study).codes(capture) for capture in captures]
    labelled = sum(int(np.isin(c, [101, 200, 301, 302, 320]).sum()) for c in codes)
    # Three labelled pixels of each capture are masked, and each has one pixel of a clot.
    assert record.masked == {"train": 12}
    assert sum(record.labelled["train"].values()) == labelled - 12
    assert record.ignored_codes == {"train": {310: 4}, "test": {310: 1}}
    assert set(record.labelled["test"]) == set(THESIS_CLASSES.names)


def test_the_same_command_gives_the_same_weights(study):
    first, second = (train(study, test_patients=["ID0003"], overrides=QUICK) for _ in range(2))
    assert [path.name for path in (first, second)] == ["conv2d_holdout_ID0003_1", "conv2d_holdout_ID0003_2"]
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
    assert [open_run(path).record.version for path in (first, second)] == [1, 2]
    other = train(study, test_patients=["ID0003"], overrides=QUICK, seed=1)
    assert (first / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()


def test_spectra_of_test_patients_are_not_read_in_training(study, monkeypatch):
    read = []
    cube = Study.cube
    monkeypatch.setattr(Study, "cube", lambda self, capture, *more: read.append(capture) or cube(self, capture, *more))
    run = train(study, model="lda", test_patients=["ID0002"])
    assert sorted(read) == ["ID0001C01", "ID0003C01", "ID0004C01"]
    evaluate(run)
    assert {"ID0002C01", "ID0002C02"} <= set(read)


def test_the_last_patient_is_held_out_by_default_with_a_hint(study, caplog):
    caplog.set_level(logging.INFO)
    record = open_run(train(study, model="lda")).record
    assert any("the last patient, ID0004, is held out" in hint for hint in record.hints)
    assert "ID0004, is held out" in caplog.text


@pytest.mark.parametrize("protocol", ["holdout", "lopo"])
def test_cubes_not_normalised_as_described_are_warned_of_and_recorded(study, caplog, protocol):
    for capture in ("ID0001C01", "ID0002C01"):
        cube = open_study(study).cube(capture)
        write_cube(study, capture, dataclasses.replace(cube, data=cube.data / 2))
    caplog.set_level(logging.WARNING)
    run = open_run(train(study, model="lda", protocol=protocol))
    told = "the spectra of ID0001C01, ID0002C01 are not normalised by 'brightness'"
    assert len([one for one in caplog.messages if "not normalised" in one]) == (1 if protocol == "holdout" else 2)
    assert any(told in hint for hint in run.model_run.record.hints)
    make_bundle(run.path)
    assert told in open_bundle(run.path / "bundle").card


def test_settings_that_a_model_ignores_give_a_hint(study):
    asked = {"overrides": {"epochs": 3, "learning_rate": 0.1}, "test_patients": ["ID0003"]}
    told = "model lda is fitted in one step and ignores epochs, learning rate"
    assert told in plan_training(study, {"model": "lda", **asked}).hints
    assert not any("one step" in hint for hint in plan_training(study, {"model": "conv2d", **asked}).hints)
    assert not any(
        "one step" in hint for hint in plan_training(study, {**asked, "model": "lda", "overrides": {}}).hints
    )


def test_validation_uses_a_separate_patient_who_is_named_in_a_hint(study):
    run = open_run(train(study, test_patients=["ID0003"], overrides=QUICK))
    split = run.split()
    assert len(split.patients_of("validation")) == 1
    assert not set(split.patients_of("validation")) & {*split.patients_of("train"), "ID0003"}
    assert any(split.patients_of("validation")[0] in hint for hint in run.record.hints)
    assert run.history().epochs[0].validation_macro_recall is not None
    assert set(run.record.labelled) == {"train", "validation", "test"}


def test_all_patients_retrain_for_the_epochs_that_validation_chose(study):
    folder = train(study, test_patients=["ID0003"], overrides=QUICK)
    run = open_run(folder)
    history = run.history()
    assert len(history.refit) == history.best_epoch
    assert all(record.validation_loss is None for record in history.refit)
    assert "retrained on all 3 patients" in run.record.stopped

    # The result equals training on all patients for that number of epochs from the start.
    fixed = {"epochs": history.best_epoch, "batch_size": 64, "patience": None}
    direct = train(study, test_patients=["ID0003"], overrides=fixed)
    assert (direct / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    kept = train(study, test_patients=["ID0003"], overrides=QUICK | {"refit": False})
    assert (kept / "model.safetensors").read_bytes() != (folder / "model.safetensors").read_bytes()
    assert open_run(kept).history().refit == ()


def test_validation_patients_can_be_named_counted_and_left_out(study):
    def validating(**options):
        return plan_training(study, {"test_patients": ["ID0001"], **options}).split.patients_of("validation")

    assert validating(validation_patients=["ID0002"]) == ("ID0002",)
    assert len(validating(validation_patients=2)) == 2
    assert validating(validation_patients=0) == ()
    assert validating(preset="thesis") == ()
    assert validating(model="lda") == ()
    assert validating(preset="thesis", validation_patients=["ID0004"]) == ("ID0004",)
    with pytest.raises(UsageError, match="3 of 3 training patients"):
        validating(validation_patients=3)
    with pytest.raises(StudyError, match="ID0001"):
        validating(validation_patients=["ID0001"])


def test_the_seed_decides_who_validates(make_study):
    study = make_study(captures=tuple(f"ID000{number}C01" for number in range(1, 7)))

    def drawn(seed):
        options = {"model": "fourlayer", "test_patients": ["ID0003"], "seed": seed}
        return plan_training(study, options).split.patients_of("validation")

    assert len({drawn(seed) for seed in range(8)}) > 1
    assert [drawn(seed) for seed in range(4)] == [drawn(seed) for seed in range(4)]


@pytest.mark.parametrize("protocol", ["holdout", "lopo"])
def test_a_misspelt_option_is_refused(study, protocol):
    """Otherwise the very patient who was meant for the test would be trained on."""
    with pytest.raises(UsageError, match=r"has no option test_patient\. Choose from: .*test_patients"):
        train(study, model="lda", protocol=protocol, test_patient="ID0001")


def test_a_single_training_patient_means_fixed_epochs_and_a_hint(study):
    run = open_run(train(study, test_patients=["ID0001"], train_captures=["ID0003C01"], overrides=QUICK))
    assert run.history().stopped == "all 4 epochs done"
    assert run.history().epochs[0].validation_loss is None
    assert "ID0003 is the only training patient: no early stopping, training ends after 4 epochs" in run.record.hints


def test_validation_does_not_take_the_only_patient_with_a_class(make_study):
    study = make_study()
    for capture in ("ID0001C01", "ID0003C01"):
        codes = open_study(study).codes(capture)
        write_map(study, capture, np.where(codes == 320, 0, codes).astype(np.uint16))
    # Of the training patients only ID0002 still has dura mater, so it must not be used for validation.
    for seed in range(6):
        plan = plan_training(study, {"test_patients": ["ID0004"], "seed": seed})
        assert plan.split.patients_of("validation") != ("ID0002",)
        assert plan.counts("train")["dura mater"] > 0


def test_captures_can_be_chosen_as_the_thesis_did(study):
    plan = plan_training(
        study, {"preset": "thesis", "test_captures": ["ID0004C01"], "train_captures": ["ID0001C01", "ID0002C02"]}
    )
    assert plan.split.train == ("ID0001C01", "ID0002C02")
    assert plan.split.test == ("ID0004C01",)
    assert plan.config.batch_size == 16
    assert plan.base_name() == "conv2d_holdout_ID0004"
    part = plan_training(study, {"test_captures": ["ID0002C01"], "train_captures": ["ID0001C01"]})
    assert part.base_name() == "conv2d_holdout_ID0002C01"


def test_a_patient_in_training_and_test_is_refused_or_recorded_if_allowed(study):
    with pytest.raises(LeakageError, match="ID0002"):
        train(study, test_captures=["ID0002C01"])
    assert not (study / "runs").exists()
    folder = train(study, model="lda", test_captures=["ID0002C01"], allow_same_patient=True)
    assert open_run(folder).split().allow_same_patient


def test_out_names_the_folder_and_is_replaced_only_with_overwrite(study, tmp_path):
    out = tmp_path / "elsewhere" / "run"
    assert train(study, model="lda", out=out) == out
    assert open_run(out).study().root == study
    before = (out / "run.json").read_text()
    with pytest.raises(OutputExistsError):
        train(study, model="lda", out=out)
    assert (out / "run.json").read_text() == before
    train(study, model="fourlayer", out=out, overwrite=True, overrides=QUICK)
    assert open_run(out).record.model.name == "fourlayer"
    assert [path.name for path in out.parent.iterdir()] == ["run"]


def test_overrides_and_hidden_reach_the_model(study):
    run = open_run(train(study, model="fourlayer", hidden=8, overrides=QUICK))
    assert run.model().tensors()["linear1.weight"].shape == (8, 25)
    assert (run.record.model.hidden, run.record.training.epochs, run.record.training.preset) == (8, 4, "default")


@pytest.mark.parametrize(
    ("options", "kind", "told"),
    [
        ({"model": "wood"}, ModelError, "conv2d, fourlayer, lda"),
        ({"preset": "fast"}, UsageError, "default, thesis"),
        ({"protocol": "leave-one-out"}, UsageError, "holdout"),
        ({"overrides": {"rate": 1}}, UsageError, "'rate'"),
        ({"test_patients": ["ID0009"]}, StudyError, "ID0009"),
        ({"test_captures": ["ID0009C01"]}, StudyError, "ID0009C01"),
        ({"train_captures": ["ID0009C01"]}, StudyError, "ID0009C01"),
        ({"test_captures": ["ID0001C01"], "train_captures": ["ID0001C01"]}, UsageError, "both train and test"),
        ({"model": "lda", "hidden": 3}, UsageError, "hidden"),
    ],
)
def test_invalid_options_are_refused_and_leave_nothing(study, options, kind, told):
    with pytest.raises(kind, match=told):
        train(study, **options)
    assert not (study / "runs").exists()


def relabel(study, capture, change):
    codes = open_study(study).codes(capture).copy()
    change(codes)
    write_map(study, capture, codes)


def test_a_class_with_one_pixel_is_refused_by_name(study):
    def one_venous(codes):
        codes[codes == 301] = 0
        codes[12, 12] = 301

    relabel(study, "ID0001C01", one_venous)
    with pytest.raises(ModelError, match=r"ID0001C01.*'venous' has one labelled pixel"):
        train(study, test_patients=["ID0004"], train_captures=["ID0001C01"], overrides=QUICK)
    assert not (study / "runs").exists()


def test_a_patient_with_one_class_gives_a_hint_and_is_refused_alone(study):
    relabel(study, "ID0001C01", lambda codes: codes.__setitem__(codes > 0, 101))
    record = open_run(train(study, model="lda", test_patients=["ID0004"])).record
    assert "patient ID0001 (train) has labels of healthy only" in record.hints
    with pytest.raises(ModelError, match="hold only class 1 'healthy'"):
        train(study, model="lda", test_patients=["ID0004"], train_captures=["ID0001C01"])


def test_captures_without_labels_are_refused(study):
    relabel(study, "ID0001C01", lambda codes: codes.fill(0))
    with pytest.raises(ModelError, match=r"ID0001C01.*no valid labelled pixel"):
        train(study, test_patients=["ID0004"], train_captures=["ID0001C01"])
    with pytest.raises(StudyError, match=r"ID0001C01.*no valid labelled pixel.*--validation-patient"):
        train(study, test_patients=["ID0004"], validation_patients=["ID0001"])


def test_cubes_of_two_cameras_are_refused(study):
    shape = open_study(study).codes("ID0003C01").shape
    cube = HyperCube(
        np.ones((*shape, 20), np.float32), None, "reflectance", np.ones(shape, bool), np.zeros(shape, np.uint8)
    )
    write_capture_files(study, "ID0003C01", cube=cube)
    with pytest.raises(StudyError, match=r"ID0003C01.*20 bands"):
        train(study, test_patients=["ID0004"])


def test_a_class_without_labels_is_noted(study, caplog):
    for capture in open_study(study).capture_ids:
        relabel(study, capture, lambda codes: codes.__setitem__(codes == 302, 0))
    record = open_run(train(study, model="lda")).record
    assert any("'arterial' has no training pixel" in note for note in record.notes)
    assert "arterial" in caplog.text


def test_the_observer_is_called_for_each_epoch(study):
    heard = []
    folder = train(study, model="fourlayer", overrides=QUICK, observer=heard.append)
    assert heard == list(open_run(folder).history().epochs)


def test_the_record_is_plain_json_with_known_fields(study):
    record = json.loads((train(study, model="lda") / "run.json").read_text())
    assert record["format"] == 1
    assert record["training"]["seed"] == 0
    assert record["study"]["name"] == "study"
    assert Path(record["study"]["path"]) == study


@pytest.mark.shared
@pytest.mark.parametrize("model", ["conv2d", "fourlayer", "lda"])
def test_real_patients_can_be_trained_on_and_tested(tmp_path, model):
    folder = train(
        shared("data", "real"), model=model, test_patients=["ID0070"], out=tmp_path / "run", overrides={"epochs": 3}
    )
    run = open_run(folder)
    assert run.split().train == ("ID0067C01",)
    assert 0.3 < accuracy(run, "ID0070C02") <= 1
