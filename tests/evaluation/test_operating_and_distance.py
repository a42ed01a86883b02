"""Operating points of tumour against the rest, and accuracy by distance from training pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from gliomap.evaluation import (
    TumourFigures,
    distance_accuracy,
    metrics,
    pooled_distances,
    tumour_curve,
    tumour_figures,
)
from gliomap.taxonomy import ClassSet, TissueClass


class TestTumourCurve:
    def test_operating_points_reach_the_wanted_specificity(self) -> None:
        generator = np.random.default_rng(0)
        truth = generator.random(2000) < 0.3
        probability = np.clip(0.35 + 0.25 * truth + generator.normal(0, 0.2, 2000), 0, 1)
        curve = tumour_curve(truth, probability)
        assert curve is not None
        assert curve.area == pytest.approx(roc_auc_score(truth, probability))
        for point in curve.working:
            called = probability >= point.threshold
            assert (called & truth).sum() / truth.sum() == pytest.approx(point.sensitivity)
            assert (~called & ~truth).sum() / (~truth).sum() == pytest.approx(point.specificity)
            assert point.specificity >= point.wanted - 1e-9
        assert curve.working[0].sensitivity >= curve.working[1].sensitivity
        assert len(curve.points) <= 100

    def test_a_specificity_that_is_just_reached_counts(self) -> None:
        truth = np.arange(25) < 5
        probability = np.where(truth, 0.8, 0.1)
        probability[[5, 6]] = 0.9  # two of twenty: 90 %, but in floating point 1 - 0.9 is less than 0.1
        curve = tumour_curve(truth, probability)
        assert curve is not None
        assert [(point.sensitivity, point.specificity) for point in curve.working] == [(1, 0.9), (0, 1)]

    def test_thresholds_between_collinear_corners_are_not_skipped(self) -> None:
        """Votes of neighbours and trees give few distinct probabilities and corners on one line.

        scikit-learn keeps only the ends of such a line.
        """
        truth = np.tile([True, False], 20)
        curve = tumour_curve(truth, np.repeat(np.arange(20, 0, -1) / 20, 2))
        assert curve is not None
        assert [(point.sensitivity, point.specificity) for point in curve.working] == [(0.1, 0.9), (0.05, 0.95)]

    def test_an_uninformative_score_reaches_no_sensitivity(self) -> None:
        curve = tumour_curve(np.arange(100) < 50, np.full(100, 0.5))
        assert curve is not None
        assert [point.sensitivity for point in curve.working] == [0, 0]
        assert curve.working[0].threshold > 1

    @pytest.mark.parametrize("truth", [[True, True], [False, False]])
    def test_tumour_or_other_tissue_alone_has_no_curve(self, truth: list[bool]) -> None:
        assert tumour_curve(np.array(truth), np.array([0.1, 0.9])) is None

    def test_metrics_contain_the_curve_if_tumour_classes_are_given(self) -> None:
        true = np.array([1, 1, 2, 2])
        probabilities = np.eye(2)[true - 1]
        assert metrics(true, true, 2, probabilities).tumour is None
        found = metrics(true, true, 2, probabilities, [2]).tumour
        assert found is not None
        assert [point.sensitivity for point in found.working] == [1, 1]

    @settings(max_examples=30)
    @given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=2, max_size=60))
    def test_the_curve_rises_from_corner_to_corner(self, cases: list[tuple[bool, float]]) -> None:
        curve = tumour_curve(np.array([one for one, _ in cases]), np.array([score for _, score in cases]))
        if curve is None:
            return
        points = np.array(curve.points)
        assert points[0].tolist() == [0, 0]
        assert points[-1].tolist() == [1, 1]
        assert (np.diff(points, axis=0) >= 0).all()


class TestTumourFigures:
    """Two tumour classes of three: taken for each other, they are still tumour."""

    CLASSES = ClassSet(
        "three",
        (
            TissueClass(1, "healthy", (101,), (0, 255, 0), (0, 158, 115)),
            TissueClass(2, "glioma", (200,), (255, 0, 0), (213, 94, 0)),
            TissueClass(3, "metastasis", (250,), (200, 0, 0), (200, 94, 0)),
        ),
    )

    def figures(self, confusion: list[list[int]]) -> TumourFigures:
        true = np.repeat([1, 2, 3], np.sum(confusion, axis=1))
        predicted = np.repeat(np.tile([1, 2, 3], 3), np.ravel(confusion))
        return tumour_figures(metrics(true, predicted, 3), self.CLASSES)

    def test_all_tumour_classes_stand_against_the_rest(self) -> None:
        # 12 pixels are tumour and 9 of them are found; 5 of 8 others are rejected.
        found = self.figures([[5, 1, 2], [1, 3, 1], [2, 1, 4]])
        assert (found.accuracy, found.sensitivity, found.specificity) == (14 / 20, 9 / 12, 5 / 8)

    @pytest.mark.parametrize(
        ("confusion", "expected"),
        [
            ([[3, 1, 0], [0, 0, 0], [0, 0, 0]], (3 / 4, None, 3 / 4)),
            ([[0, 0, 0], [1, 2, 0], [0, 0, 1]], (3 / 4, 3 / 4, None)),
            ([[0, 0, 0], [0, 0, 0], [0, 0, 0]], (None, None, None)),
        ],
        ids=["no tumour", "tumour alone", "nothing"],
    )
    def test_figures_without_pixels_are_not_defined(
        self, confusion: list[list[int]], expected: tuple[float | None, ...]
    ) -> None:
        found = self.figures(confusion)
        assert (found.accuracy, found.sensitivity, found.specificity) == expected

    def test_classes_without_tumour_have_no_figures(self) -> None:
        blood = TissueClass(2, "blood", (300,), (0, 0, 255), (0, 114, 178))
        others = ClassSet("two", (self.CLASSES.classes[0], blood))
        found = tumour_figures(metrics(np.array([1, 2]), np.array([1, 2]), 2), others)
        assert (found.accuracy, found.sensitivity, found.specificity) == (None, None, None)


class TestDistance:
    def test_pixels_fall_into_the_bin_of_their_distance(self) -> None:
        reference = np.zeros((1, 60), bool)
        reference[0, 0] = True
        tested = ~reference
        right = np.zeros_like(tested)
        right[0, :4] = True
        bins = distance_accuracy(tested, right, reference)
        assert [one.pixels for one in bins] == [1, 1, 2, 4, 8, 16, 27]
        assert [one.right for one in bins] == [1, 1, 1, 0, 0, 0, 0]
        assert [one.least for one in bins] == [0, 1.5, 2.5, 4.5, 8.5, 16.5, 32.5]
        assert [one.most for one in bins] == [*(one.least for one in bins[1:]), None]

    def test_an_empty_reference_gives_no_bins(self) -> None:
        nothing = np.zeros((3, 3), bool)
        assert distance_accuracy(~nothing, ~nothing, nothing) == ()

    def test_captures_add_up(self) -> None:
        reference = np.eye(5, dtype=bool)
        bins = distance_accuracy(~reference, ~reference, reference)
        both = pooled_distances([bins, (), bins])
        assert [one.pixels for one in both] == [2 * one.pixels for one in bins]
        assert [(one.least, one.most) for one in both] == [(one.least, one.most) for one in bins]
        assert pooled_distances([(), ()]) == ()
