"""Holding out patients: splits are disjoint, reproducible, and tied to the files they were made from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from gliomap.captures import write_frame
from gliomap.errors import LeakageError, StudyError, UsageError
from gliomap.preprocessing import PreprocessingConfig
from gliomap.sensors import MosaicSensor
from gliomap.studies import (
    CaptureSettings,
    Crop,
    ExposureTimes,
    Split,
    Study,
    StudySettings,
    make_folds,
    make_holdout,
    open_study,
    write_cube,
    write_frames,
    write_map,
    write_study_toml,
)
from gliomap.studies._usable import told_lacking
from studies.makers import StudyMaker, make_codes, make_cube, make_frames

SIX = tuple(f"ID000{patient}C0{capture}" for patient in range(1, 7) for capture in (1, 2))


def test_a_patient_is_held_out_with_all_captures_and_another_validates(prepared_study: StudyMaker) -> None:
    split = make_holdout(prepared_study(SIX), test_patients=["ID0002"], validation_patients=["ID0005"])
    assert split.test == ("ID0002C01", "ID0002C02")
    assert split.validation == ("ID0005C01", "ID0005C02")
    assert split.train == tuple(capture for capture in SIX if capture[:6] not in ("ID0002", "ID0005"))
    assert split.patients_of("test") == ("ID0002",)
    assert not split.allow_same_patient


def test_a_patient_in_train_and_test_is_refused_unless_allowed(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    with pytest.raises(LeakageError, match=r"patient ID0001: is in test and, with ID0001C02, in (train|validation)"):
        make_holdout(study, test_captures=["ID0001C01"])
    split = make_holdout(study, test_captures=["ID0001C01"], allow_same_patient=True)
    assert split.allow_same_patient
    assert split.shared_patients == ("ID0001",)
    assert "ID0001C02" in split.train
    named = make_holdout(study, test_captures=["ID0001C01"], train_captures=["ID0002C01"])
    assert (named.train, named.shared_patients) == (("ID0002C01",), ())


def test_a_single_patient_may_train_and_test_if_allowed(prepared_study: StudyMaker) -> None:
    study = prepared_study(("ID0001C01", "ID0001C02"))
    split = make_holdout(study, test_captures=["ID0001C01"], allow_same_patient=True)
    assert (split.train, split.test, split.shared_patients) == (("ID0001C02",), ("ID0001C01",), ("ID0001",))


def test_an_alias_counts_as_the_same_patient(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    write_study_toml(study.root, StudySettings(aliases={"ID0003": "ID0002"}))
    study = open_study(study.root)
    with pytest.raises(LeakageError, match="patient ID0002"):
        make_holdout(study, test_captures=["ID0002C01"])
    assert make_holdout(study, test_patients=["ID0003"]).test == ("ID0002C01", "ID0003C011")


def test_only_captures_with_a_map_and_an_image_are_used(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    study.files("ID0003C011").map.unlink()
    assert make_holdout(study, ["ID0002"]).train == ("ID0001C01", "ID0001C02")
    with pytest.raises(StudyError, match="has no ground-truth map, or neither"):
        make_holdout(study, test_captures=["ID0003C011"])
    with pytest.raises(StudyError, match="has no capture with both a map and an image"):
        make_holdout(study, test_patients=["ID0003"])


@pytest.mark.parametrize("asked", [{}, {"test_patients": ["ID0001"]}, None])
def test_a_study_without_usable_captures_states_what_they_lack(prepared_study: StudyMaker, asked) -> None:
    def use() -> object:
        return make_folds(study, "lopo", {}) if asked is None else make_holdout(study, **asked)

    study = prepared_study()
    study.files("ID0001C01").cube.unlink()
    for capture in study.capture_ids[1:]:
        study.files(capture).map.unlink()
    with pytest.raises(StudyError, match="no capture has both a ground-truth map and an image: ID0001C01 lacks a prep"):
        use()
    study.files("ID0001C01").map.unlink()
    with pytest.raises(StudyError, match="no capture has a ground-truth map, so none can train or test"):
        use()


def test_a_single_usable_patient_is_refused_stating_what_others_lack(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    files = study.files("ID0002C01")
    files.cube.unlink()
    files.raw.parent.mkdir()
    for frame in (files.raw, files.dark):
        frame.touch()
    study.files("ID0003C011").map.unlink()
    with pytest.raises(StudyError, match="patient ID0001: is the only usable one") as raised:
        make_holdout(study, ["ID0001"])
    assert "ID0002C01 lacks tif/ID0002CW01.tif, ID0003C011 lacks its ground-truth map" in raised.value.fault
    study.files("ID0002C01").map.unlink()
    alone = open_study(study.root)
    assert "lacks tif/ID0002CW01.tif and its ground-truth map" in told_lacking(alone)


@pytest.mark.parametrize(
    ("arguments", "error", "fault"),
    [
        ({}, UsageError, "nothing is held out"),
        ({"test_patients": ["ID0009"]}, StudyError, r"patient 'ID0009': is not in .*It has: ID0001, ID0002, ID0003"),
        ({"test_captures": ["ID0009C01"]}, StudyError, "capture 'ID0009C01': is not in"),
        ({"test_patients": ["ID0001", "ID0002", "ID0003"]}, UsageError, "every labelled capture is held out"),
        (
            {"test_captures": ["ID0002C01"], "train_captures": ["ID0002C01", "ID0003C011"]},
            UsageError,
            "ID0002C01 would both train and test",
        ),
        (
            {"test_patients": ["ID0002"], "validation_patients": ["ID0002"]},
            StudyError,
            "not a proper subset of the training",
        ),
        (
            {"test_patients": ["ID0002"], "validation_patients": ["ID0001", "ID0003"]},
            StudyError,
            "leave at least one to train on",
        ),
    ],
)
def test_impossible_splits_are_refused(prepared_study: StudyMaker, arguments, error, fault) -> None:
    with pytest.raises(error, match=fault):
        make_holdout(prepared_study(), **arguments)


def test_the_fingerprint_covers_files_and_assignment(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    split = make_holdout(study, ["ID0002"])
    assert make_holdout(open_study(study.root), ["ID0002"]).fingerprint == split.fingerprint
    assert len(split.fingerprint) == 64
    others = {
        make_holdout(study, ["ID0003"]).fingerprint,
        make_holdout(study, ["ID0002"], validation_patients=["ID0001"]).fingerprint,
        make_holdout(study, ["ID0002"], allow_same_patient=True).fingerprint,
    }
    write_cube(study.root, "ID0003C011", make_cube(seed=99))
    others.add(make_holdout(study, ["ID0002"]).fingerprint)
    assert len(others | {split.fingerprint}) == 5


def test_the_fingerprint_of_a_split_never_changes() -> None:
    """Files written long ago must still match it."""
    patients = {"ID0001C01": "ID0001", "ID0002C01": "ID0002", "ID0003C01": "ID0003"}
    files = {"b.mat": "1" * 64, "a.mat": "2" * 64}
    split = Split("holdout", ("ID0001C01",), ("ID0002C01",), ("ID0003C01",), 5, False, patients, files)
    content = (
        '{"allow_same_patient": false, "files": [["'
        + "1" * 64
        + '", "b.mat"], ["'
        + "2" * 64
        + '", "a.mat"]], "protocol": "holdout", "roles": [["train", "ID0001C01", "ID0001"],'
        ' ["validation", "ID0002C01", "ID0002"], ["test", "ID0003C01", "ID0003"]]}'
    )
    assert split.fingerprint == hashlib.sha256(content.encode()).hexdigest()


def test_a_split_survives_saving_and_loading(prepared_study: StudyMaker, tmp_path: Path) -> None:
    study = prepared_study()
    split = make_holdout(study, ["ID0002"], seed=7)
    split.save(tmp_path / "split.json")
    loaded = Split.load(tmp_path / "split.json")
    assert loaded == split
    loaded.verify(open_study(study.root))


def change_map(study: Study) -> None:
    write_map(study.root, "ID0001C01", make_codes(seed=50))


def remove_cube(study: Study) -> None:
    study.files("ID0001C01").cube.unlink()


def remove_capture(study: Study) -> None:
    files = study.files("ID0003C011")
    for path in (files.cube, files.map, files.dataset):
        path.unlink()


def add_alias(study: Study) -> None:
    write_study_toml(study.root, StudySettings(aliases={"ID0003": "ID0002"}))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (change_map, r"of 8 files 1 changed: GroundTruthMaps/SNAPgtID0001C01"),
        (remove_cube, r"of 8 files 1 changed: preProcessedImages/SNAPimagesID0001C01"),
        (remove_capture, "it no longer has ID0003C011"),
        (add_alias, "now assigned to another patient: ID0003C011"),
    ],
)
def test_a_changed_study_is_refused(prepared_study: StudyMaker, change, fault: str) -> None:
    study = prepared_study()
    split = make_holdout(study, ["ID0002"])
    split.verify(study)
    change(study)
    with pytest.raises(StudyError, match=fault):
        split.verify(open_study(study.root))


def test_a_moved_crop_is_refused(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    write_map(study.root, "ID0001C01", make_codes(4, 5))

    def crop(row: int) -> Study:
        window = CaptureSettings(crop=Crop(row=row, column=0, height=4, width=5))
        write_study_toml(study.root, StudySettings(captures={"ID0001C01": window}))
        return open_study(study.root)

    split = make_holdout(crop(0), ["ID0002"])
    split.verify(crop(0))
    with pytest.raises(StudyError, match=r"of 9 files 1 changed: study.toml crop of ID0001C01"):
        split.verify(crop(1))


def test_changed_exposures_are_refused(prepared_study: StudyMaker) -> None:
    """They change the cubes that are made from frames, although no frame changes."""
    study = prepared_study()

    def exposed(**times: float) -> Study:
        write_study_toml(study.root, StudySettings(exposures=ExposureTimes(**times) if times else None))
        return open_study(study.root)

    alike = {"raw_ms": 40, "white_ms": 40, "dark_ms": 40}
    split = make_holdout(study, ["ID0002"])
    split.verify(exposed(**alike))
    with pytest.raises(StudyError, match=r"files [1-9] changed: study\.toml exposures of ID0001C01"):
        split.verify(exposed(**{**alike, "white_ms": 12}))
    split = make_holdout(exposed(**{**alike, "white_ms": 12}), ["ID0002"])
    split.verify(exposed(**{**alike, "white_ms": 12}))
    for others in ({**alike, "white_ms": 20}, alike, {}):
        with pytest.raises(StudyError, match=r"files [1-9] changed: study\.toml exposures of ID0001C01"):
            split.verify(exposed(**others))


def test_a_capture_added_later_does_not_matter(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    split = make_holdout(study, ["ID0002"])
    write_cube(study.root, "ID0008C01", make_cube())
    split.verify(open_study(study.root))


def test_images_added_later_are_not_read(prepared_study: StudyMaker, small_sensor: MosaicSensor) -> None:
    """A cube would otherwise be read instead of the frames that were hashed, and a second dark with the first."""
    study, shape = prepared_study(), small_sensor.cube_shape
    for seed, capture_id in enumerate(study.capture_ids):
        study.files(capture_id).cube.unlink()
        write_map(study.root, capture_id, make_codes(*shape, seed))
        write_frames(study.root, capture_id, *make_frames(small_sensor, seed))
    study = open_study(study.root)
    split = make_holdout(study, ["ID0002"], sensor=small_sensor)
    before = {capture_id: study.cube(capture_id, small_sensor).data for capture_id in study.capture_ids}
    write_cube(study.root, "ID0001C01", make_cube(*shape, seed=9))
    files = study.files("ID0002C01")
    write_frame(files.white_dark, make_frames(small_sensor, 9)[2] + np.uint16(300))
    again = open_study(study.root)
    assert any((again.cube(one, small_sensor).data != data).any() for one, data in before.items())
    kept = split.verify(again)
    for capture_id, data in before.items():
        np.testing.assert_array_equal(kept.cube(capture_id, small_sensor).data, data)
    assert {path.name for path in kept.unread} == {files.white_dark.name, kept.files("ID0001C01").cube.name}


def test_frames_added_later_do_not_replace_a_cube_that_does_not_fit(
    prepared_study: StudyMaker, small_sensor: MosaicSensor
) -> None:
    study = prepared_study()
    split = make_holdout(study, ["ID0002"])
    write_frames(study.root, "ID0001C01", *make_frames(small_sensor))
    kept = split.verify(open_study(study.root))
    with pytest.raises(StudyError, match="ID0001C01"):
        kept.cube("ID0001C01", small_sensor, PreprocessingConfig(normalisation="snv"))


def test_of_three_duplicates_only_the_pair_that_leaks_is_reported(prepared_study: StudyMaker) -> None:
    study = prepared_study(("ID0001C01", "ID0001C02", "ID0002C01", "ID0003C01"))
    for capture_id in ("ID0001C01", "ID0001C02", "ID0002C01"):
        write_cube(study.root, capture_id, make_cube(seed=5))
    split = make_holdout(open_study(study.root), test_captures=["ID0001C01", "ID0002C01"], allow_same_patient=True)
    assert "ID0001C02" in split.train
    assert [one.captures for one in split.leaking_duplicates] == [("ID0001C02", "ID0002C01")]


def test_a_duplicate_among_training_patients_does_not_leak(prepared_study: StudyMaker) -> None:
    study = prepared_study(("ID0001C01", "ID0002C01", "ID0003C01"))
    for capture_id in ("ID0001C01", "ID0002C01"):
        write_cube(study.root, capture_id, make_cube(seed=5))
    split = make_holdout(open_study(study.root), ["ID0003"])
    assert [one.captures for one in split.duplicates] == [("ID0001C01", "ID0002C01")]
    assert split.leaking_duplicates == ()


def test_patients_and_files_of_a_split_cannot_be_changed() -> None:
    patients, files = {"ID0001C01": "ID0001"}, {"a.mat": "0" * 64}
    split = Split("holdout", ("ID0001C01",), (), (), 0, False, patients, files)
    before = split.fingerprint
    for kept in (split.patients, split.files):
        with pytest.raises(TypeError):
            kept["ID0001C01"] = "ID0002"
    patients["ID0001C01"], files["a.mat"] = "ID0002", "1" * 64
    assert split.fingerprint == before


def edited(path: Path, **changes: object) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **changes}), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "error", "fault"),
    [
        ({"seed": 8, "validation": []}, StudyError, "does not match its own fingerprint"),
        ({"train": ["ID0001C01"], "test": ["ID0001C02"], "validation": []}, LeakageError, "patient ID0001"),
        ({"train": []}, StudyError, "has no training capture"),
        ({"test": ["ID0001C01"], "train": ["ID0001C01"]}, StudyError, r"split\.json: holds ID0001C01 twice"),
        ({"validation": ["ID0001C02", "ID0001C02"]}, StudyError, r"split\.json: holds ID0001C02 twice"),
        ({"test": ["ID0077C01"]}, StudyError, "does not state the patients of ID0077C01"),
        ({"format": 2}, StudyError, "is not a split: format"),
        ({"train": 5}, StudyError, "is not a split: train"),
        ({"more": 1}, StudyError, "is not a split: more"),
    ],
)
def test_an_edited_split_is_refused(prepared_study: StudyMaker, tmp_path: Path, changes, error, fault: str) -> None:
    path = tmp_path / "split.json"
    make_holdout(prepared_study(), ["ID0002"], validation_patients=["ID0001"], seed=7).save(path)
    edited(path, **changes)
    with pytest.raises(error, match=fault):
        Split.load(path)


def test_a_missing_or_malformed_split_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="does not exist"):
        Split.load(tmp_path / "split.json")
    for content in (b"", b"{", b"[1]", b"\xff\xfe"):
        (tmp_path / "split.json").write_bytes(content)
        with pytest.raises(StudyError, match="is not a split"):
            Split.load(tmp_path / "split.json")
