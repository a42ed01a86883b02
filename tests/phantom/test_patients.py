"""Cohorts: repeatable, stratified, and within the ranges of their difficulty."""

from __future__ import annotations

from collections import Counter
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from scipy.special import ndtr

from gliomap.errors import MissingExtraError, UsageError
from gliomap.phantom import DIFFICULTIES, Patient, draw_patients, get_difficulty
from gliomap.phantom._patient import TUMOUR_CODES, normalised_difference


def summary(patient: Patient) -> tuple[object, ...]:
    return (patient.grey, patient.tumour, patient.dura, patient.vein, patient.artery, patient.camera, patient.surface)


def test_the_same_seed_draws_the_same_patients() -> None:
    first, second = draw_patients(5, seed=3), draw_patients(5, seed=3)
    assert [summary(patient) for patient in first] == [summary(patient) for patient in second]
    assert summary(draw_patients(5, seed=4)[0]) != summary(first[0])


def test_captures_are_numbered_like_those_of_a_study() -> None:
    assert [patient.capture_id for patient in draw_patients(3)] == ["ID0001C01", "ID0002C01", "ID0003C01"]


@pytest.mark.parametrize("difficulty", list(DIFFICULTIES))
def test_draws_are_stratified_over_the_cohort(difficulty: str) -> None:
    spread = get_difficulty(difficulty).grey.saturation
    scores = [
        (patient.grey.saturation - spread.centre) / spread.spread
        for patient in draw_patients(13, difficulty=difficulty)
    ]
    assert sorted((13 * ndtr(scores)).astype(int)) == list(range(13))  # one patient in each thirteenth


@pytest.mark.parametrize("difficulty", list(DIFFICULTIES))
@pytest.mark.parametrize("seed", [0, 1])
def test_tumour_and_grey_matter_differ_as_much_as_the_difficulty_says(difficulty: str, seed: int) -> None:
    wanted = get_difficulty(difficulty).tumour
    patients = draw_patients(13, seed=seed, difficulty=difficulty)
    differences = [normalised_difference(patient.tumour, patient.grey) for patient in patients]
    sizes = [float(np.sqrt(np.mean(difference**2))) for difference in differences]
    assert wanted.difference[0] <= min(sizes)
    assert max(sizes) <= wanted.difference[1]
    if wanted.brighter_share is not None:
        brighter = sum(difference[:8].mean() > 0 for difference in differences)
        assert brighter == round(13 * wanted.brighter_share)


def test_tumour_codes_are_balanced_over_the_cohort() -> None:
    counts = Counter(patient.tumour_code for patient in draw_patients(13))
    assert set(counts) == set(TUMOUR_CODES)
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize(
    ("patients", "seed", "difficulty"), [(0, 0, "easy"), (1001, 0, "easy"), (2, -1, "easy"), (2, 0, "hard")]
)
def test_invalid_arguments_are_refused(patients: int, seed: int, difficulty: str) -> None:
    with pytest.raises(UsageError):
        draw_patients(patients, seed=seed, difficulty=difficulty)


def test_an_impossible_tumour_difference_is_refused_with_its_range() -> None:
    easy = get_difficulty("easy")
    impossible = replace(easy, tumour=replace(easy.tumour, difference=(0.9, 0.95)))
    with pytest.raises(UsageError, match=r"0\.9–0\.95"):
        draw_patients(1, difficulty=impossible)


def test_a_difficulty_cannot_be_changed_in_place() -> None:
    with pytest.raises(FrozenInstanceError):
        get_difficulty("easy").name = "hard"


def test_a_cohort_may_have_a_single_patient() -> None:
    (patient,) = draw_patients(1, difficulty="moderate")
    assert patient.number == 1


def test_missing_scipy_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gliomap.phantom._patient.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"gliomap\[train\]"):
        draw_patients(1)
