"""Names of pictures as in the thesis, and result tables as text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluation.report.scenes import evaluation
from gliomap.evaluation import (
    NOT_DEFINED,
    EvaluationTimes,
    Interval,
    class_table,
    confusion_table,
    interval_text,
    metrics,
    next_version,
    overall_table,
    picture_name,
    picture_stem,
    summarise,
    summary_line,
    tumour_indices,
)
from gliomap.taxonomy import THESIS_CLASSES, ClassSet, TissueClass


class TestNames:
    def test_picture_names_are_those_of_the_thesis(self) -> None:
        stem = picture_stem("Conv2DNet", "ID0018C09", "holdout")
        assert picture_name(stem, 1) == "Conv2DNet_ID0018C09_noCV_version_1.png"
        assert picture_name(stem, 2, "overlay") == "Conv2DNet_ID0018C09_noCV_version_2_overlay.png"

    def test_another_protocol_is_named_as_on_the_command_line(self) -> None:
        assert picture_stem("LDA", "ID1C1", "kfold-patient") == "LDA_ID1C1_kfold-patient"

    def test_slashes_and_backslashes_in_a_picture_name_become_hyphens(self) -> None:
        assert picture_name(picture_stem("a/../b", "c\\d", "../e"), 1) == "a-..-b_c-d_..-e_version_1.png"

    def test_the_first_free_version_is_taken(self, tmp_path: Path) -> None:
        stem = "Conv2DNet_ID0018C09_noCV"
        assert next_version(tmp_path / "not there", [stem]) == 1
        assert next_version(tmp_path, [stem]) == 1
        for name in (
            picture_name(stem, 1),
            picture_name(stem, 2, "overlay"),
            picture_name("LDA_x_noCV", 3),
            "notes.txt",
        ):
            (tmp_path / name).touch()
        assert next_version(tmp_path, [stem]) == 3
        assert next_version(tmp_path, [stem, "LDA_x_noCV"]) == 4


class TestTables:
    RESULT = metrics(np.array([1, 1, 3, 3, 5]), np.array([1, 2, 3, 3, 5]), 5)

    def test_every_row_has_a_cell_for_each_column(self) -> None:
        for table in (
            class_table(self.RESULT, THESIS_CLASSES),
            confusion_table(self.RESULT, THESIS_CLASSES),
            overall_table({"ID0018C09": self.RESULT}, THESIS_CLASSES),
        ):
            assert {len(row) for row in table.rows} == {len(table.columns)} == {len(table.numbers)}

    def test_undefined_values_are_called_not_defined(self) -> None:
        tumour = class_table(self.RESULT, THESIS_CLASSES).rows[1]
        assert tumour[0] == "tumour"
        assert tumour[3] == NOT_DEFINED
        assert overall_table({"x": self.RESULT}, THESIS_CLASSES).rows[0][-1] == NOT_DEFINED
        assert "tumour: nobody labelled any" in summary_line(self.RESULT, THESIS_CLASSES)

    def test_summary_line_gives_tumour_sensitivity_and_precision(self) -> None:
        line = summary_line(metrics(np.array([2, 2, 1]), np.array([2, 1, 1]), 5), THESIS_CLASSES)
        assert "tumour: sensitivity 0.500, precision 1.000" in line
        assert line.endswith("3 labelled pixels")
        masked = summary_line(metrics(np.array([2, 1]), np.array([0, 1]), 5), THESIS_CLASSES)
        assert "tumour: every labelled pixel is masked" in masked

    def test_the_overall_table_ends_with_the_sensitivity_for_tumour(self) -> None:
        table = overall_table({"a": metrics(np.array([2, 2, 1]), np.array([2, 1, 1]), 5)}, THESIS_CLASSES)
        (row,) = table.rows
        assert table.columns[-1] == "tumour sens."
        assert row == ("a", "3", "0.667", "0.750", "0.667", "0.500", NOT_DEFINED, NOT_DEFINED, "0.500")

    def test_an_interval_names_its_bounds_patients_and_method(self) -> None:
        t, bootstrap = Interval(0.7124, 0.64, 0.79, 9, "t"), Interval(0.7124, 0.64, 0.79, 20, "bootstrap")
        assert interval_text(t) == "0.712 (0.640–0.790, 9 patients, Student's t)"
        assert interval_text(bootstrap) == "0.712 (0.640–0.790, 20 patients, bootstrap)"
        assert interval_text(Interval(0.6, None, None, 2, "values", (0.5, 0.7))) == "0.600 (2 patients: 0.500, 0.700)"
        assert interval_text(Interval(0.6, None, None, 1, "values", (0.6,))) == "0.600 (1 patient)"
        assert interval_text(None) == NOT_DEFINED

    @pytest.mark.parametrize(
        ("codes", "tumour"), [((200, 257), (1,)), ((101,), ()), ((300,), ()), ((270, 310), ()), ((), ())]
    )
    def test_tumour_classes_are_recognised_by_their_codes(
        self, codes: tuple[int, ...], tumour: tuple[int, ...]
    ) -> None:
        classes = ClassSet("one", (TissueClass(1, "something", codes, (1, 2, 3), (4, 5, 6)),))
        assert tumour_indices(classes) == tumour
        assert tumour_indices(THESIS_CLASSES) == (2,)


def test_a_summary_has_the_pooled_figures_and_the_times_of_all_folds() -> None:
    record = evaluation(("ID0002", "ID0001", "ID0003"))
    assert summarise(record).times is None
    times = EvaluationTimes(preparing_test_data=1.5, predicting=0.25, generating_maps=0.0004)
    first, second, third = record.folds
    timed = (first.model_copy(update={"times": times}), second.model_copy(update={"times": times}), third)
    found = summarise(record.model_copy(update={"folds": timed}))
    assert found.times == EvaluationTimes(preparing_test_data=3, predicting=0.5, generating_maps=0.001)
    assert found.tested == ("ID0001", "ID0002", "ID0003")
    assert (found.pixels, found.overall_accuracy) == (600, record.pooled.overall_accuracy)
    assert (found.balanced_accuracy, found.macro_f1) == (record.pooled.balanced_accuracy, record.pooled.macro_f1)
    assert found.tumour.sensitivity == record.pooled.classes[1].sensitivity
    assert found.tumour.specificity == record.pooled.classes[1].specificity
