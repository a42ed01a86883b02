"""Two runs are compared over the patients that both tested, and too few patients give no p-value."""

from __future__ import annotations

import pytest
from scipy.stats import wilcoxon

from evaluation.report.scenes import evaluation, reported
from gliomap.errors import UsageError
from gliomap.evaluation.report._comparison import compare_runs
from gliomap.taxonomy import THESIS_CLASSES, ClassSet

MANY = tuple(f"ID{number:04}" for number in range(1, 10))


def cells(run: object, label: str) -> list[str]:
    (row,) = [row for row in run.table.rows if row[0].text == label]
    return [cell.text for cell in row]


def test_four_patients_are_too_few_for_a_p_value() -> None:
    part = compare_runs([reported(), reported(evaluation(right=0.3, seed=2, run="other"))])
    _, first, second, difference, better, p = cells(part.pairs[0], "Overall accuracy")
    assert float(difference) == pytest.approx(float(second) - float(first), abs=0.0011)
    assert float(difference) < -0.2
    assert (better, p) == ("0 of 4", "too few to tell")
    assert part.warnings == ()


def test_p_value_of_nine_patients_matches_scipy() -> None:
    first, second = evaluation(MANY, right=0.8), evaluation(MANY, right=0.75, seed=3, run="other")
    part = compare_runs([reported(first), reported(second)])
    differences = [second.patients[one].macro_f1 - first.patients[one].macro_f1 for one in MANY]
    assert float(cells(part.pairs[0], "Macro F1")[-1]) == pytest.approx(wilcoxon(differences).pvalue, abs=0.0006)


def test_warnings_name_how_the_runs_differ() -> None:
    other = evaluation(("ID0001", "ID0002", "ID0009"), protocol="pooled", run="other")
    part = compare_runs([reported(), reported(other, study_fingerprint="8" * 64)])
    told = " ".join(part.warnings)
    assert "overstate" in told
    both = evaluation(run="both").model_copy(update={"same_patient": ("ID0002",)})
    assert "In both training and test: ID0002. " in " ".join(compare_runs([reported(), reported(both)]).warnings)
    assert "did not divide the patients in the same way" in told
    assert "made on different files" in told
    assert "left out: ID0003, ID0004, ID0009" in part.pairs[0].words[0]


def test_patients_tested_on_different_pixels_are_named() -> None:
    record = evaluation(run="other")
    capture = record.captures.pop("ID0003C01")
    record.captures["ID0003C02"] = capture
    (told,) = compare_runs([reported(), reported(record)]).warnings
    assert "different pixels of ID0003 than" in told


def test_runs_without_common_patients_or_with_other_classes_are_refused() -> None:
    with pytest.raises(UsageError, match="different patients"):
        compare_runs([reported(), reported(evaluation(("ID0008", "ID0009")))])
    fewer = ClassSet("two", THESIS_CLASSES.classes[:2])
    with pytest.raises(UsageError, match="same classes"):
        compare_runs([reported(), reported(evaluation().model_copy(update={"classes": fewer}))])
