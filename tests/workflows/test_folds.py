"""Protocols of several folds, from a study to an evaluation and a bundle."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gliomap.bundles import open_bundle
from gliomap.errors import RunError, StudyError, UsageError
from gliomap.evaluation import read_evaluation
from gliomap.studies import Folds, PixelParts, Split, open_study, write_cube, write_map
from gliomap.tracking import write_record
from gliomap.workflows import (
    FoldsPlan,
    TrainingPlan,
    draw_folds,
    evaluate,
    make_bundle,
    open_run,
    plan_protocol,
    report,
    train,
)
from gliomap.workflows import _test_pictures as test_pictures
from workflows.conftest import write_study

ALL = ("ID0001", "ID0002", "ID0003", "ID0004")


def pixels_tested(run: Path) -> dict[str, np.ndarray]:
    """Capture → rows and columns of the pixels that were tested and have a valid spectrum."""
    found = {}
    for path in sorted((run / "evaluation" / "predictions").glob("*.npz")):
        with np.load(path) as kept:
            found[path.stem] = np.stack([kept["rows"], kept["columns"]])[:, kept["predicted"] > 0]
    return found


class TestLeaveOnePatientOut:
    def test_each_fold_is_a_run_and_a_final_model_uses_all_patients(self, lopo: Path) -> None:
        assert lopo.name == "lda_lopo_1"
        assert {path.name for path in lopo.iterdir()} == {"run.json", "splits.json", "folds", "evaluation"}
        assert {path.name for path in (lopo / "folds").iterdir()} == {*ALL, "final"}
        for patient in ALL:
            fold = open_run(lopo / "folds" / patient)
            assert fold.split().patients_of("test") == (patient,)
            assert patient not in fold.split().patients_of("train")
        final = open_run(lopo).model_run
        assert final.split().patients_of("train") == ALL
        assert final.split().test == ()

    def test_held_out_data_do_not_change_the_model_of_a_fold(self, lopo: Path, tmp_path: Path) -> None:
        other = write_study(tmp_path / "study")
        study = open_study(other)
        cube = study.cube("ID0003C01")
        write_cube(other, "ID0003C01", replace(cube, data=np.where(cube.mask[..., np.newaxis], -cube.data, 0)))
        run = train(other, model="lda", protocol="lopo", final=False)
        same = {
            patient: (run / "folds" / patient / "model.safetensors").read_bytes()
            == (lopo / "folds" / patient / "model.safetensors").read_bytes()
            for patient in ALL
        }
        assert same == {patient: patient == "ID0003" for patient in ALL}

    def test_every_labelled_pixel_is_tested_once(self, lopo: Path) -> None:
        record = json.loads((lopo / "evaluation" / "metrics.json").read_text())
        study = open_run(lopo).study()
        assert set(record["captures"]) == set(study.labelled)
        assert set(record["patients"]) == set(ALL)
        assert [fold["tested"] for fold in record["folds"]] == [[patient] for patient in ALL]
        assert all(fold["tested"][0] not in fold["trained"] for fold in record["folds"])
        assert record["warning"] is None
        assert record["same_patient"] == []
        assert record["graph"] is None
        assert record["pooled"]["n"] == sum(one["metrics"]["n"] for one in record["captures"].values())

    def test_the_bundle_holds_the_final_model_and_explains_its_figures(self, lopo: Path, tmp_path: Path) -> None:
        make_bundle(lopo, tmp_path / "bundle")
        manifest = open_bundle(tmp_path / "bundle").manifest
        assert manifest.training.patients["train"] == ALL
        assert manifest.training.protocol == "lopo"
        assert "not trained on its patient" in manifest.measured_on
        assert any("no patient is left to test this model on" in note for note in manifest.notes)
        assert "overall accuracy" in manifest.metrics

    def test_the_bundle_names_the_patient_who_calibrated_the_final_model(self, study: Path, tmp_path: Path) -> None:
        run = train(study, model="svm-linear", protocol="lopo")
        evaluate(run)
        manifest = make_bundle(run, tmp_path / "bundle").manifest
        (aside,) = manifest.training.patients["validation"]
        assert any(
            note.startswith(f"Trained on all patients except {aside}, who calibrated it") for note in manifest.notes
        )

    def test_the_bundle_says_that_a_network_was_retrained_on_all_patients(self, study: Path, tmp_path: Path) -> None:
        settings = {"epochs": 2, "min_epochs": 1, "patience": 1}
        run = train(study, model="fourlayer", protocol="lopo", overrides=settings)
        evaluate(run)
        manifest = make_bundle(run, tmp_path / "bundle").manifest
        assert any(note.startswith("Trained on all patients. ") for note in manifest.notes)
        assert any("retrained on all 4 patients" in note for note in manifest.training.notes)

    def test_without_a_final_model_there_is_no_bundle(self, study: Path, tmp_path: Path) -> None:
        run = train(study, model="lda", protocol="lopo", final=False)
        with pytest.raises(RunError, match="--no-final"):
            make_bundle(run, tmp_path / "bundle")
        assert not (tmp_path / "bundle").exists()

    def test_a_fold_can_be_evaluated_by_itself(self, lopo: Path) -> None:
        alone = evaluate(lopo / "folds" / "ID0002").record
        together = json.loads((lopo / "evaluation" / "metrics.json").read_text())
        assert alone.patients["ID0002"].confusion == tuple(
            tuple(row) for row in together["patients"]["ID0002"]["confusion"]
        )

    def test_each_fold_of_a_network_has_one_separate_validation_patient(self, study: Path) -> None:
        plan = plan_protocol(study, {"protocol": "lopo", "model": "fourlayer"})
        assert isinstance(plan, FoldsPlan)
        for split in plan.folds.splits.values():
            assert len(split.patients_of("validation")) == 1
            assert split.shared_patients == ()


class TestPatientFolds:
    def test_each_patient_is_tested_once(self, study: Path) -> None:
        run = train(study, model="lda", protocol="kfold-patient", folds=4)
        record = evaluate(run).record
        assert set(record.patients) == set(ALL)
        assert all(len(fold.validated) == 1 for fold in record.folds)

    def test_only_the_final_model_is_refitted_on_validation_patients(self, study: Path) -> None:
        plan = plan_protocol(study, {"model": "fourlayer", "protocol": "kfold-patient", "folds": 4})
        assert isinstance(plan, FoldsPlan)
        assert plan.final is not None
        assert not any(one.config.refit for one in plan.plans.values())
        assert plan.final.config.refit


class TestMixing:
    def test_pooled_tests_other_pixels_than_it_trains_on(self, study: Path) -> None:
        run = train(study, model="lda", protocol="pooled")
        record = evaluate(run).record
        assert "overstate" in record.warning
        assert record.same_patient == ALL
        labelled = sum(int(np.count_nonzero(open_study(study).codes(one))) for one in record.captures)
        trained = sum(open_run(run / "folds" / "pooled").record.labelled["train"].values())
        assert record.pooled.n == pytest.approx(0.2 * (record.pooled.n + trained), abs=1)
        assert record.pooled.n + trained < labelled

    def test_double_cv_tests_every_pixel_once_and_keeps_one_of_its_models(self, study: Path, lopo: Path) -> None:
        run = train(study, model="lda", protocol="double-cv", folds=3)
        record = evaluate(run).record
        kept = open_run(run).record
        assert len(kept.folds) == 9
        assert len(kept.chosen) == 3
        assert kept.kept in kept.chosen
        assert "chosen by its test" in kept.notes[0]
        assert "overstate" in record.warning
        # The same pixels as in leave-one-patient-out: each labelled pixel once.
        mine, other = pixels_tested(run), pixels_tested(lopo)
        assert mine.keys() == other.keys()
        for capture, places in mine.items():
            assert places.tolist() == other[capture].tolist()

    def test_no_false_tumour_is_counted_if_training_pixels_are_tumour(self, study: Path) -> None:
        """All labels of a capture decide whether it has tumour, not only those that happen to be tested."""
        codes = open_study(study).codes("ID0001C01")
        tumour = np.argwhere(codes == 200)
        codes[tuple(tumour[:-1].T)] = 0
        write_map(study, "ID0001C01", codes)
        run = train(study, model="lda", protocol="pooled", seed=1)
        record = evaluate(run).record
        with np.load(run / "evaluation" / record.captures["ID0001C01"].predictions) as tested:
            assert not (tested["true"] == 2).any(), "the only tumour pixel should be a training pixel here"
        assert record.captures["ID0001C01"].false_tumour is None

    def test_the_figures_on_a_map_are_those_of_the_model_that_drew_it(
        self, study: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: dict[str, str] = {}
        draw = test_pictures.map_picture

        def listening(*arguments: object, title: str, subtitle: str, **options: object) -> object:
            told[title] = subtitle
            return draw(*arguments, title=title, subtitle=subtitle, **options)

        monkeypatch.setattr(test_pictures, "map_picture", listening)
        run = train(study, model="lda", protocol="double-cv", folds=2)
        # Keep the model of the last outer fold, so that all others are tested before it.
        kept = open_run(run).record
        write_record(run, kept.model_copy(update={"kept": kept.chosen[-1]}))
        record = evaluate(run).record
        counts = [int(re.search(r"([\d,]+) labelled pixels", one)[1].replace(",", "")) for one in told.values()]
        assert len(counts) == 5
        assert sum(counts) == record.folds[-1].metrics.n

    @pytest.mark.parametrize("protocol", ["pooled", "double-cv", "lopo"])
    def test_pictures_show_and_count_the_tested_pixels_alone(
        self, study: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
    ) -> None:
        drawn: list[tuple[int, str]] = []
        draw = test_pictures.map_picture

        def listening(*arguments: object, truth: np.ndarray, subtitle: str, **options: object) -> object:
            drawn.append((int(np.count_nonzero(truth)), subtitle))
            return draw(*arguments, truth=truth, subtitle=subtitle, **options)

        monkeypatch.setattr(test_pictures, "map_picture", listening)
        run = train(study, model="lda", protocol=protocol, **({"folds": 2} if protocol == "double-cv" else {}))
        record = evaluate(run).record
        for labelled, subtitle in drawn:
            told = re.search(r" ([\d,]+) labelled pixels( tested of ([\d,]+); only these are drawn)?", subtitle)
            masked = labelled - int(told[1].replace(",", ""))
            assert (told[2] is None) == (protocol == "lopo")
            assert masked == 0 if told[3] else masked >= 0
            assert told[3] is None or labelled < int(told[3].replace(",", ""))
        if protocol == "pooled":
            maps = [np.load(run / "evaluation" / "maps" / f"{one}.npz")["truth"] for one in record.captures]
            assert sum(map(np.count_nonzero, maps)) == record.pooled.n

    def test_the_bundle_warns_that_figures_overstate(self, study: Path, tmp_path: Path) -> None:
        run = train(study, model="lda", protocol="pooled")
        evaluate(run)
        made = make_bundle(run, tmp_path / "bundle").manifest
        assert any("overstate" in note for note in made.notes)
        tested = read_evaluation(run / "evaluation" / "metrics.json").pooled
        names = [one.name for one in made.classes.classes]
        assert [made.training.labelled["test"][name] for name in names] == [one.labelled for one in tested.classes]

    def test_a_double_cv_bundle_says_that_its_figures_are_of_several_models(self, study: Path, tmp_path: Path) -> None:
        run = train(study, model="lda", protocol="double-cv", folds=2)
        evaluate(run)
        notes = make_bundle(run, tmp_path / "bundle").manifest.notes
        assert "The figures are those of 2 models together, each on its own test pixels." in notes
        assert open_run(run).record.notes[0] in notes


class TestSharedSplits:
    def test_folds_of_one_run_can_be_used_for_another(self, lopo: Path, tmp_path: Path) -> None:
        shutil.copytree(lopo.parent.parent, tmp_path / "study")
        run = train(tmp_path / "study", model="lda", split=lopo / "splits.json")
        assert open_run(run).record.split_fingerprint == open_run(lopo).record.split_fingerprint

    def test_folds_of_a_changed_study_are_refused_naming_the_file(self, lopo: Path, study: Path) -> None:
        changed = open_study(study).files("ID0002C01").map
        changed.write_bytes(open_study(study).files("ID0001C01").map.read_bytes())
        with pytest.raises(StudyError, match=changed.name):
            train(study, model="lda", split=lopo / "splits.json")
        assert not (study / "runs").exists()

    def test_folds_of_another_protocol_are_refused(self, lopo: Path, study: Path) -> None:
        with pytest.raises(UsageError, match=r"protocol pooled: is not that of .*splits\.json, lopo"):
            plan_protocol(study, {"model": "lda", "split": lopo / "splits.json", "protocol": "pooled"})

    def test_a_single_split_gives_a_single_run(self, study: Path) -> None:
        first = train(study, model="lda", test_patients=["ID0003"])
        plan = plan_protocol(study, {"model": "lda", "split": first / "split.json"})
        assert isinstance(plan, TrainingPlan)
        assert plan.split == open_run(first).split()

    @pytest.mark.parametrize(
        "named",
        [{"test_patients": ["ID0001"]}, {"allow_same_patient": True}, {"validation_patients": ["ID0002"]}],
    )
    def test_patients_cannot_be_named_if_the_protocol_chooses_them(self, study: Path, named: dict[str, object]) -> None:
        with pytest.raises(UsageError, match="determines who trains and tests"):
            plan_protocol(study, {"protocol": "lopo", **named})

    @pytest.mark.parametrize("protocol", ["kfold-patient", "pooled", "double-cv"])
    def test_the_number_of_validation_patients_can_be_given_for_lopo_only(self, study: Path, protocol: str) -> None:
        with pytest.raises(UsageError, match="validation patients cannot be given"):
            plan_protocol(study, {"protocol": protocol, "folds": 3, "validation_patients": 2})
        assert plan_protocol(study, {"protocol": "lopo", "validation_patients": 2}).any.split.patients_of("validation")

    @pytest.mark.parametrize("protocol", ["holdout", "lopo"])
    def test_a_number_of_folds_is_refused_where_the_protocol_has_no_choice(self, study: Path, protocol: str) -> None:
        told = f"protocol {protocol}: offers no choice of folds; a number of 3 cannot be given"
        with pytest.raises(UsageError, match=told):
            plan_protocol(study, {"model": "lda", "protocol": protocol, "folds": 3})

    def test_a_number_of_folds_is_refused_for_a_file_of_folds(self, study: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="protocol lopo: offers no choice of folds"):
            draw_folds(study, {"protocol": "lopo", "folds": 3})
        draw_folds(study, {"protocol": "pooled", "folds": 3}).save(tmp_path / "splits.json")
        with pytest.raises(UsageError, match="a file of folds: determines their number; 4 cannot be given"):
            plan_protocol(study, {"split": tmp_path / "splits.json", "folds": 4})


class TestUnusualStudies:
    def test_the_same_image_under_two_names_gives_a_hint(self, study: Path) -> None:
        files = open_study(study)
        shutil.copyfile(files.files("ID0001C01").cube, files.files("ID0003C01").cube)
        plan = plan_protocol(study, {"model": "lda", "protocol": "lopo"})
        assert "duplicate: ID0001C01 and ID0003C01 (two patients) are the same image; remove one of them" in plan.hints

    def test_an_image_in_training_and_test_marks_figures_as_overstated(
        self, study: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        files = open_study(study)
        for what in ("cube", "map"):
            shutil.copyfile(getattr(files.files("ID0001C01"), what), getattr(files.files("ID0003C01"), what))
        run = train(study, model="lda", protocol="lopo", final=False)
        told = "ID0001C01 and ID0003C01 (two patients) are the same image"
        assert [one.levelname for one in caplog.records if told in one.getMessage()] == ["WARNING"]
        record = evaluate(run).record
        assert record.duplicates == (told,)
        html = report([run]).html.read_text()
        assert "These figures overstate." in html
        assert f"But {told}: a model trained on one knew the other" in html

    def test_an_image_twice_in_training_does_not_mark_figures(self, study: Path) -> None:
        files = open_study(study)
        shutil.copyfile(files.files("ID0001C01").cube, files.files("ID0003C01").cube)
        record = evaluate(train(study, model="lda", test_patients=["ID0002"])).record
        assert record.duplicates == ()

    def test_lopo_works_with_two_patients_but_not_with_one(self, make_study: Callable[..., Path]) -> None:
        two = make_study(captures=("ID0001C01", "ID0002C01"))
        record = evaluate(train(two, model="lda", protocol="lopo")).record
        assert len(record.folds) == 2
        shutil.rmtree(two)
        one = make_study(captures=("ID0001C01", "ID0001C02"))
        with pytest.raises(UsageError, match="needs 2 patients"):
            train(one, model="lda", protocol="lopo")


def test_test_captures_are_not_read_while_a_fold_trains(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    reading = open_study(study).__class__.cube

    def spy(self: object, capture: str, *rest: object) -> object:
        opened.append(capture)
        return reading(self, capture, *rest)

    folds = plan_protocol(study, {"model": "lda", "protocol": "lopo"})
    assert isinstance(folds, FoldsPlan)
    folds.plans["ID0002"].split.save(study / "split.json")
    monkeypatch.setattr("gliomap.studies._study.Study.cube", spy)
    train(study, model="lda", split=study / "split.json", out=study.parent / "run")
    assert opened
    assert not {one for one in opened if one.startswith("ID0002")}


def test_the_seed_changes_the_fingerprint_only_of_a_split_by_pixel() -> None:
    by_patient = Split("holdout", ("A",), (), ("B",), 1, False, {"A": "a", "B": "b"}, {"A.mat": "12", "B.mat": "34"})
    assert replace(by_patient, seed=2).fingerprint == by_patient.fingerprint
    by_pixel = replace(by_patient, protocol="pooled", test=("A",), pixels=PixelParts(5, test=(0,)))
    other = replace(by_pixel, seed=2)
    assert other.fingerprint != by_pixel.fingerprint
    assert Folds("pooled", {"a": other}).fingerprint != Folds("pooled", {"a": by_pixel}).fingerprint


def test_fingerprints_are_those_of_earlier_versions() -> None:
    """Otherwise every earlier run would be refused as edited."""
    by_patient = Split("holdout", ("A",), (), ("B",), 1, False, {"A": "a", "B": "b"}, {"A.mat": "12", "B.mat": "34"})
    by_pixel = replace(by_patient, protocol="pooled", test=("A",), pixels=PixelParts(5, test=(0,)))
    assert by_patient.fingerprint == "d98fea94995e17f61caa4ebfcc172b53568e208594ce20cbc6abed4208e4d3e6"
    assert by_pixel.fingerprint == "ac97ea3fb5e6ca7fcb1fb0e51c815590514c02514b6dd28a4bdd4754b939c3ee"


def test_a_runs_folder_outside_any_study_does_not_hide_the_study(study: Path, tmp_path: Path) -> None:
    run = train(study, model="lda", test_patients=["ID0003"], out=tmp_path / "elsewhere" / "runs" / "mine")
    assert open_run(run).study().root.resolve() == study.resolve()
