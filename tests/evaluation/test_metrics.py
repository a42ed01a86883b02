"""Metrics equal those of the thesis, stay within their bounds, and are None if they are not defined."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from sklearn.metrics import cohen_kappa_score, f1_score, precision_score, recall_score

from gliomap.errors import UsageError
from gliomap.evaluation import Metrics, metrics
from support import shared


@st.composite
def classifications(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int, np.ndarray]:
    """True labels, predicted labels (some 0), number of classes, probabilities."""
    n_classes = draw(st.integers(2, 5))
    length = draw(st.integers(1, 40))
    true = np.array(draw(st.lists(st.integers(1, n_classes), min_size=length, max_size=length)))
    predicted = np.array(draw(st.lists(st.integers(0, n_classes), min_size=length, max_size=length)))
    seed = draw(st.integers(0, 2**16))
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(n_classes), length)
    return true, predicted, n_classes, probabilities


def every_number(result: Metrics) -> list[float]:
    content = result.as_dict()
    classes = content.pop("classes")
    content.pop("confusion")
    values = [*content.values(), *(value for entry in classes for value in entry.values())]
    return [value for value in values if isinstance(value, float)]


@pytest.mark.shared
def test_metrics_equal_those_of_the_original_code() -> None:
    golden = json.loads(shared("data", "golden", "golden_dev_metrics.json").read_text())
    result = metrics(np.array(golden["true"]), np.array(golden["pred"]), 5)
    assert result.overall_accuracy == pytest.approx(golden["OACC"], abs=1e-6)
    for name, ours in (("ACC", "accuracy"), ("SEN", "sensitivity"), ("SPE", "specificity"), ("PRECISION", "precision")):
        assert [getattr(entry, ours) for entry in result.classes] == pytest.approx(golden[name], abs=1e-6), name
    assert [list(row) for row in result.confusion] == golden["confusion"]


def test_a_class_neither_labelled_nor_predicted_enters_no_mean() -> None:
    """It is rejected everywhere, but its specificity of 1 is no merit of the model."""
    true, predicted = np.array([1, 1, 1, 2]), np.array([1, 2, 1, 2])
    scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4], [0.5, 0.5]])
    wider = np.hstack([scores, np.zeros((4, 3))])
    absent = metrics(true, predicted, 5, wider).classes[4]
    assert (absent.sensitivity, absent.precision, absent.f1, absent.roc_auc) == (None, None, None, None)
    assert absent.specificity == 1
    for result in (metrics(true, predicted, 2, scores), metrics(true, predicted, 5, wider)):
        assert result.balanced_accuracy == pytest.approx((2 / 3 + 1) / 2)
        assert result.macro_specificity == pytest.approx((1 + 2 / 3) / 2)
        assert result.macro_precision == pytest.approx((1 + 1 / 2) / 2)
        assert result.macro_f1 == pytest.approx((4 / 5 + 2 / 3) / 2)
        assert result.macro_roc_auc == pytest.approx(2 / 3)


def test_a_small_case_by_hand() -> None:
    result = metrics(np.array([1, 1, 1, 2, 2, 3]), np.array([1, 1, 2, 2, 3, 3]), 3)
    assert result.confusion == ((2, 1, 0), (0, 1, 1), (0, 0, 1))
    first, second, third = result.classes
    assert (first.accuracy, first.sensitivity, first.specificity, first.precision) == (5 / 6, 2 / 3, 1, 1)
    assert (second.accuracy, second.sensitivity, second.specificity, second.precision) == (4 / 6, 1 / 2, 3 / 4, 1 / 2)
    assert (third.sensitivity, third.precision, third.f1) == (1, 1 / 2, 2 / 3)
    assert result.overall_accuracy == 4 / 6
    assert result.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    # Gorodkin 2004: (c·s − Σ p·t) / sqrt((s² − Σ p²)(s² − Σ t²)), s = 6, c = 4, p = (2, 2, 2), t = (3, 2, 1)
    assert result.mcc == pytest.approx((4 * 6 - 12) / np.sqrt((36 - 12) * (36 - 14)))
    # s = 4, c = 3, p = (3, 1), t = (2, 2)
    two = metrics(np.array([1, 1, 2, 2]), np.array([1, 1, 2, 1]), 2)
    assert two.mcc == pytest.approx((3 * 4 - 8) / np.sqrt((16 - 10) * (16 - 8)))


class TestUndefinedMetrics:
    def test_an_unlabelled_class_that_is_predicted_enters_every_mean_but_those_of_sensitivity_and_auc(self) -> None:
        scores = np.array([[0.8, 0.1, 0.1], [0.2, 0.2, 0.6], [0.3, 0.6, 0.1], [0.1, 0.9, 0]])
        result = metrics(np.array([1, 1, 2, 2]), np.array([1, 3, 2, 2]), 3, scores)
        unlabelled = result.classes[2]
        assert (unlabelled.sensitivity, unlabelled.roc_auc) == (None, None)
        assert result.balanced_accuracy == pytest.approx((1 / 2 + 1) / 2)
        assert result.macro_roc_auc == pytest.approx((3 / 4 + 1) / 2)
        # Defined, since the class was predicted, wrongly.
        assert (unlabelled.precision, unlabelled.f1, unlabelled.specificity) == (0, 0, 3 / 4)
        assert result.macro_precision == pytest.approx((1 + 1 + 0) / 3)
        assert result.macro_f1 == pytest.approx((2 / 3 + 1 + 0) / 3)
        assert result.macro_specificity == pytest.approx((1 + 1 + 3 / 4) / 3)

    def test_a_class_never_predicted_has_no_precision_but_an_f1_of_0(self) -> None:
        result = metrics(np.array([1, 1, 2, 2]), np.array([1, 1, 1, 1]), 2)
        assert result.classes[1].precision is None
        assert result.classes[1].sensitivity == 0
        assert result.classes[1].f1 == 0
        assert result.macro_f1 == pytest.approx(np.mean([2 / 3, 0]))
        assert result.mcc is None

    def test_a_single_class_has_no_specificity_auc_or_mcc(self) -> None:
        result = metrics(np.array([2, 2, 2]), np.array([2, 2, 2]), 3, np.full((3, 3), 1 / 3))
        assert result.overall_accuracy == 1
        assert result.classes[1].specificity is None
        assert result.classes[1].roc_auc is None
        assert result.mcc is None
        assert result.macro_roc_auc is None
        assert metrics(np.array([2, 2, 2]), np.array([2, 2, 1]), 3).mcc is None

    @pytest.mark.parametrize("true", [[], [1, 2]])
    def test_every_metric_is_undefined_if_nothing_is_classified(self, true: list[int]) -> None:
        labels = np.array(true, np.uint8)
        result = metrics(labels, np.zeros_like(labels), 2, np.zeros((labels.size, 2)))
        assert every_number(result) == []
        assert result.n == 0
        assert result.not_classified == labels.size

    def test_pixels_without_a_prediction_are_counted_and_left_out(self) -> None:
        result = metrics(np.array([1, 1, 2, 2]), np.array([1, 0, 2, 0]), 2)
        assert result.overall_accuracy == 1
        assert (result.n, result.not_classified) == (2, 2)
        assert [entry.not_classified for entry in result.classes] == [1, 1]


class TestProbabilities:
    def test_certain_and_correct_predictions_are_calibrated(self) -> None:
        true = np.array([1, 2, 3, 1])
        result = metrics(true, true, 3, np.eye(3)[true - 1])
        assert result.calibration_error == 0
        assert result.macro_roc_auc == 1

    def test_certain_and_wrong_predictions_have_a_calibration_error_of_1(self) -> None:
        predicted = np.array([2, 1])
        assert metrics(np.array([1, 2]), predicted, 2, np.eye(2)[predicted - 1]).calibration_error == 1

    def test_calibration_error_is_the_gap_between_confidence_and_accuracy(self) -> None:
        true = np.array([1] * 6 + [2] * 4)
        probabilities = np.tile([0.9, 0.1], (10, 1))
        assert metrics(true, np.ones(10, int), 2, probabilities).calibration_error == pytest.approx(0.3)

    def test_roc_auc_counts_ordered_pairs(self) -> None:
        scores = np.array([0.9, 0.4, 0.6, 0.1])
        result = metrics(np.array([1, 1, 2, 2]), np.array([1, 2, 1, 2]), 2, np.stack([scores, 1 - scores], 1))
        assert result.classes[0].roc_auc == 3 / 4

    def test_confidences_fall_into_fifteen_equal_bins(self) -> None:
        """The last begins at 14/15 = 0.933 and includes 1."""
        scores = np.array([1, 0.94, 0.93, 0.6])
        result = metrics(np.array([1, 2, 1, 1]), np.ones(4, int), 2, np.stack([scores, 1 - scores], 1))
        bins = [(one.pixels, one.confidence, one.accuracy) for one in result.reliability]
        assert bins == [(1, 0.6, 1), (1, 0.93, 1), (2, pytest.approx(0.97), 0.5)]
        assert result.calibration_error == pytest.approx((0.4 + 0.07 + 2 * 0.47) / 4)

    def test_tumour_has_no_curve_without_probabilities(self) -> None:
        assert metrics(np.array([1, 2]), np.array([1, 2]), 2, tumour=[2]).tumour is None

    def test_a_single_pixel_of_a_class_has_a_roc_auc(self) -> None:
        scores = np.array([0.5, 0.9, 0.1])
        result = metrics(np.array([1, 2, 2]), np.array([1, 1, 2]), 2, np.stack([scores, 1 - scores], 1))
        assert [entry.roc_auc for entry in result.classes] == [1 / 2, 1 / 2]

    def test_rounding_may_lift_a_probability_above_1(self) -> None:
        true = np.array([1, 2])
        assert metrics(true, true, 2, np.array([[1.000009, 0], [0, 1]])).calibration_error == 0


class TestProperties:
    @settings(max_examples=50)
    @given(classifications())
    def test_metrics_are_finite_and_within_their_bounds(self, case: tuple) -> None:
        result = metrics(*case)
        values = every_number(result)
        assert all(np.isfinite(value) and -1 <= value <= 1 for value in values)
        assert all(value >= 0 for value in every_number(replace(result, mcc=None, cohen_kappa=None)))
        assert sum(map(sum, result.confusion)) + result.not_classified == len(case[0])

    @settings(max_examples=50)
    @given(classifications(), st.integers(0, 2**16))
    def test_the_order_of_pixels_does_not_matter(self, case: tuple, seed: int) -> None:
        true, predicted, n_classes, probabilities = case
        order = np.random.default_rng(seed).permutation(true.size)
        one = metrics(true, predicted, n_classes, probabilities)
        other = metrics(true[order], predicted[order], n_classes, probabilities[order])
        assert other.confusion == one.confusion
        assert every_number(other) == pytest.approx(every_number(one))

    @settings(max_examples=50)
    @given(classifications(), st.integers(0, 2**16))
    def test_permuting_classes_permutes_their_metrics(self, case: tuple, seed: int) -> None:
        true, predicted, n_classes, _ = case
        names = np.array([0, *np.random.default_rng(seed).permutation(n_classes) + 1])
        one, other = metrics(true, predicted, n_classes), metrics(names[true], names[predicted], n_classes)
        assert other.macro_f1 == pytest.approx(one.macro_f1)
        assert other.mcc == pytest.approx(one.mcc)
        for entry in one.classes:
            assert replace(other.classes[names[entry.index] - 1], index=entry.index) == entry

    @settings(max_examples=30)
    @given(classifications())
    def test_a_perfect_prediction_is_perfect(self, case: tuple) -> None:
        true, _, n_classes, _ = case
        result = metrics(true, true, n_classes, np.eye(n_classes)[true - 1])
        assert result.overall_accuracy == result.balanced_accuracy == result.macro_f1 == 1
        assert result.calibration_error == 0
        assert result.mcc in (None, pytest.approx(1))

    @settings(max_examples=50)
    @given(classifications())
    def test_means_match_scikit_learn(self, case: tuple) -> None:
        true, predicted, n_classes, _ = case
        kept = predicted > 0
        present = np.unique(true[kept])
        result = metrics(true, predicted, n_classes)
        if not present.size:
            assert result.macro_f1 is None
            return
        options = {"average": "macro", "zero_division": 0}
        either = np.union1d(present, predicted[kept])
        assert result.macro_f1 == pytest.approx(f1_score(true[kept], predicted[kept], labels=either, **options))
        recall = recall_score(true[kept], predicted[kept], labels=present, **options)
        assert result.balanced_accuracy == pytest.approx(recall)
        given = np.unique(predicted[kept])
        precision = precision_score(true[kept], predicted[kept], labels=given, **options)
        assert result.macro_precision == pytest.approx(precision)
        if present.size > 1:
            kappa = cohen_kappa_score(true[kept], predicted[kept])
            assert result.cohen_kappa == pytest.approx(kappa)
        else:
            assert result.cohen_kappa is None

    @settings(max_examples=30)
    @given(classifications())
    def test_metrics_survive_json(self, case: tuple) -> None:
        result = metrics(*case, tumour=(1,))
        assert TypeAdapter(Metrics).validate_json(json.dumps(result.as_dict(), allow_nan=False)) == result


@pytest.mark.parametrize(
    ("true", "predicted", "probabilities", "told"),
    [
        ([1, 2], [1], None, "one per pixel"),
        ([[1], [2]], [[1], [2]], None, "one per pixel"),
        ([0, 2], [1, 2], None, "true labels"),
        ([1, 2], [1, 3], None, "predicted labels"),
        ([1, 2], [1, 2], [[0.5, 0.5]], r"\(2, 2\)"),
        ([1, 2], [1, 2], [[0.5, 0.5], [np.nan, 0.5]], "0…1"),
        ([1, 2], [1, 2], [[0.5, 0.5], [1.5, 0.5]], "0…1"),
        ([1, 2], [1, 2], [[0.5, 0.5], [1.000012, 0]], "0…1"),
        ([1, 2], [1, 2], [[0.5, 0.5], [0.5, -0.5]], "0…1"),
    ],
)
def test_inconsistent_or_out_of_range_input_is_refused(
    true: list, predicted: list, probabilities: list | None, told: str
) -> None:
    scores = None if probabilities is None else np.array(probabilities)
    with pytest.raises(UsageError, match=told):
        metrics(np.array(true), np.array(predicted), 2, scores)
