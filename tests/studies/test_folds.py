"""Protocols of several folds: which patients are kept apart or mixed, and the file that records it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliomap.errors import LeakageError, StudyError, UsageError
from gliomap.studies import PROTOCOLS, Folds, PixelParts, Split, Study, deal_patients, make_folds, make_holdout
from studies.makers import StudyMaker

SIX = tuple(f"ID000{patient}C0{capture}" for patient in range(1, 7) for capture in (1, 2))


def counts_of(study: Study, present: dict[str, list[int]] | None = None) -> dict[str, np.ndarray]:
    """Labelled pixels of each capture: ten of every class, unless `present` states others for its patient."""
    return {
        capture: np.array((present or {}).get(study.patient_of(capture), [10] * 5), np.int64)
        for capture in study.labelled
    }


def test_lopo_tests_each_patient_once_with_all_captures(prepared_study: StudyMaker) -> None:
    study = prepared_study(SIX)
    folds = make_folds(study, "lopo", counts_of(study))
    assert list(folds.splits) == [f"ID000{n}" for n in range(1, 7)]
    for patient, split in folds.splits.items():
        assert split.test == (f"{patient}C01", f"{patient}C02")
        assert set(split.train) == set(SIX) - set(split.test)
        assert split.shared_patients == ()


def test_kfold_tests_each_patient_once_and_validates_on_others(prepared_study: StudyMaker) -> None:
    study = prepared_study(tuple(f"ID00{n:02}C01" for n in range(1, 11)))
    folds = make_folds(study, "kfold-patient", counts_of(study), folds=5)
    tested = [patient for split in folds.splits.values() for patient in split.patients_of("test")]
    assert sorted(tested) == [f"ID00{n:02}" for n in range(1, 11)]
    for split in folds.splits.values():
        sizes = [len(split.patients_of(role)) for role in ("train", "validation", "test")]
        assert sizes == [6, 2, 2]
        assert split.shared_patients == ()


def test_rare_classes_are_spread_over_the_folds() -> None:
    counts = {f"ID00{n:02}": np.array([5, 5 if n <= 5 else 0, 0, 5, 5]) for n in range(1, 16)}
    for seed in range(5):
        groups = deal_patients(counts, 5, np.random.default_rng(seed))
        assert [sum(int(patient[2:]) <= 5 for patient in group) for group in groups] == [1] * 5
        assert [len(group) for group in groups] == [3] * 5


@settings(max_examples=40)
@given(
    has=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=3, max_size=20),
    groups=st.integers(2, 6),
    seed=st.integers(0, 100),
)
def test_patients_are_dealt_out_completely_and_evenly(has: list[list[bool]], groups: int, seed: int) -> None:
    counts = {f"p{n:02}": np.array(row, np.int64) for n, row in enumerate(has)}
    if groups > len(counts):
        return
    dealt = deal_patients(counts, groups, np.random.default_rng(seed))
    assert sorted(patient for group in dealt for patient in group) == sorted(counts)
    sizes = [len(group) for group in dealt]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("protocol", ["pooled", "double-cv"])
def test_protocols_that_mix_patients_say_so(prepared_study: StudyMaker, protocol: str) -> None:
    study = prepared_study(SIX)
    folds = make_folds(study, protocol, counts_of(study))
    assert "overstate" in PROTOCOLS[protocol].warning
    for split in folds.splits.values():
        assert split.pixels is not None
        assert split.test == split.train == SIX
        assert split.shared_patients == tuple(f"ID000{n}" for n in range(1, 7))


def test_double_cv_tests_and_validates_each_part_equally_often(prepared_study: StudyMaker) -> None:
    study = prepared_study(SIX)
    splits = make_folds(study, "double-cv", counts_of(study)).splits
    assert len(splits) == 25
    tested = np.bincount([part for split in splits.values() for part in split.pixels.test], minlength=25)
    validated = np.bincount([part for split in splits.values() for part in split.pixels.validation], minlength=25)
    assert set(tested) == {5}
    assert set(validated) == {4}
    for split in splits.values():
        assert [len(split.pixels.of_role(role)) for role in ("train", "validation", "test")] == [16, 4, 5]
        assert split.pixels.unit == 16


@pytest.mark.parametrize(
    ("captures", "protocol", "folds", "named"),
    [
        (("ID0001C01", "ID0001C02"), "lopo", 5, "needs 2 patients"),
        (SIX[:4], "kfold-patient", 5, "needs 5 patients.*Add patients, or leave one patient out with --protocol lopo"),
        (SIX[:8], "kfold-patient", 5, "needs 5 patients.*--folds 4"),
        (SIX, "kfold-patient", 2, "leave none to train on"),
        (SIX, "pooled", 1, "divide nothing"),
        (SIX, "bootstrap", 5, "lopo"),
    ],
)
def test_protocols_that_do_not_fit_the_study_are_refused(
    prepared_study: StudyMaker, captures, protocol, folds, named
) -> None:
    study = prepared_study(captures)
    with pytest.raises(UsageError, match=named):
        make_folds(study, protocol, counts_of(study), folds=folds)


@pytest.mark.parametrize(("protocol", "needed"), [("lopo", 2), ("kfold-patient", 5)])
def test_too_few_usable_patients_are_reported_with_what_the_others_lack(
    prepared_study: StudyMaker, protocol: str, needed: int
) -> None:
    study = prepared_study(SIX[:4])
    for capture in ("ID0002C01", "ID0002C02"):
        study.files(capture).map.unlink()
    with pytest.raises(UsageError) as caught:
        make_folds(study, protocol, counts_of(study), folds=5)
    assert caught.value.fault == (
        f"needs {needed} patients, and only ID0001 can train and test: ID0002C01 lacks its ground-truth map,"
        " ID0002C02 lacks its ground-truth map"
    )
    assert caught.value.remedy.startswith("Add what is lacking, or train with --protocol pooled")


@pytest.mark.parametrize("protocol", ["lopo", "kfold-patient", "double-cv", "pooled"])
def test_folds_survive_saving_and_loading(prepared_study: StudyMaker, tmp_path: Path, protocol: str) -> None:
    study = prepared_study(SIX)
    folds = make_folds(study, protocol, counts_of(study), folds=3, seed=4)
    folds.save(tmp_path / "splits.json")
    again = Folds.load(tmp_path / "splits.json")
    assert again == folds
    assert again.fingerprint == folds.fingerprint
    again.verify(study)


def test_a_single_split_loads_as_one_fold(prepared_study: StudyMaker, tmp_path: Path) -> None:
    split = make_holdout(prepared_study(SIX), ["ID0002"])
    split.save(tmp_path / "split.json")
    assert Folds.load(tmp_path / "split.json").splits == {"holdout": split}


def test_the_seed_is_part_of_the_fingerprint_where_it_divides_pixels(prepared_study: StudyMaker) -> None:
    study = prepared_study(SIX)
    marks = {make_folds(study, "pooled", counts_of(study), seed=seed).fingerprint for seed in range(3)}
    assert len(marks) == 3
    assert len({make_folds(study, "lopo", counts_of(study), seed=seed).fingerprint for seed in range(3)}) == 1


def test_a_duplicate_within_one_patient_is_not_a_leak(prepared_study: StudyMaker) -> None:
    study = prepared_study(SIX)
    for name in ("ID0001C02", "ID0002C01"):
        shutil.copyfile(study.files("ID0001C01").cube, study.files(name).cube)
    split = make_folds(study, "pooled", counts_of(study)).first
    assert [one.captures for one in split.duplicates] == [("ID0001C01", "ID0001C02"), ("ID0001C01", "ID0002C01")]
    assert [str(one) for one in split.duplicates] == [
        "ID0001C01 and ID0001C02 (one patient) are the same image",
        "ID0001C01 and ID0002C01 (two patients) are the same image",
    ]
    leaking = [("ID0001C01", "ID0002C01"), ("ID0001C02", "ID0002C01")]
    assert [one.captures for one in split.leaking_duplicates] == leaking


def test_an_edited_file_is_refused(prepared_study: StudyMaker, tmp_path: Path) -> None:
    study = prepared_study(SIX)
    path = tmp_path / "splits.json"
    make_folds(study, "lopo", counts_of(study)).save(path)
    content = json.loads(path.read_text())
    content["folds"][0]["train"].remove("ID0002C01")
    path.write_text(json.dumps(content))
    with pytest.raises(StudyError, match="edited"):
        Folds.load(path)


def test_a_leak_in_a_file_is_refused(prepared_study: StudyMaker, tmp_path: Path) -> None:
    study = prepared_study(SIX)
    path = tmp_path / "splits.json"
    make_folds(study, "lopo", counts_of(study)).save(path)
    content = json.loads(path.read_text())
    content["folds"][0]["train"].append("ID0001C02")
    content["folds"][0]["test"].remove("ID0001C02")
    path.write_text(json.dumps(content))
    with pytest.raises(LeakageError, match="ID0001"):
        Folds.load(path)


@pytest.mark.parametrize("content", ["", "[]", '{"folds": []}', '{"protocol": "lopo"}'])
def test_a_file_without_folds_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "splits.json"
    path.write_text(content)
    with pytest.raises(StudyError, match=str(path)):
        Folds.load(path)


def test_a_missing_file_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="does not exist"):
        Folds.load(tmp_path / "none.json")
    with pytest.raises(StudyError, match="folder"):
        Folds.load(tmp_path)


def test_a_study_with_a_changed_file_is_refused(prepared_study: StudyMaker) -> None:
    study = prepared_study(SIX)
    folds = make_folds(study, "lopo", counts_of(study))
    path = study.files("ID0003C01").map
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(StudyError, match=path.name):
        folds.verify(study)


@pytest.mark.parametrize(
    ("test", "validation", "unit"), [((5,), (), 1), ((0,), (0,), 1), ((0, 1, 2, 3, 4), (), 1), ((0,), (1,), 0)]
)
def test_inconsistent_pixel_parts_are_refused(test, validation, unit) -> None:
    with pytest.raises(StudyError, match="pixel parts"):
        PixelParts(5, test, validation, unit)


def test_folds_without_splits_of_their_own_protocol_are_refused(prepared_study: StudyMaker) -> None:
    split: Split = make_holdout(prepared_study(SIX), ["ID0002"])
    with pytest.raises(StudyError, match="not all of protocol 'lopo'"):
        Folds("lopo", {"one": split})
    with pytest.raises(StudyError, match="there are none"):
        Folds("lopo", {})
    with pytest.raises(StudyError, match="not all of protocol 'holdout'"):
        Folds("holdout", {"one": split, "two": replace(split, protocol="lopo")})


def test_splits_cannot_be_added_to_folds(prepared_study: StudyMaker) -> None:
    splits = {"one": make_holdout(prepared_study(SIX), ["ID0002"])}
    folds = Folds("holdout", splits)
    with pytest.raises(TypeError):
        folds.splits["two"] = folds.first
    splits["two"] = folds.first
    assert list(folds.splits) == ["one"]
