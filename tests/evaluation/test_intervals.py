"""Intervals of means over patients, and comparisons of two runs patient by patient."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t, wilcoxon

from gliomap.evaluation import compare_over_patients, interval_over_patients


class TestIntervals:
    def test_each_patient_counts_once_and_undefined_values_are_ignored(self) -> None:
        interval = interval_over_patients([0.2, None, 0.4, 0.9])
        assert interval is not None
        assert interval.mean == pytest.approx(0.5)
        assert interval.patients == 3

    @pytest.mark.parametrize("patients", [1, 2, 5])
    def test_few_patients_give_values_instead_of_an_interval(self, patients: int) -> None:
        values = [0.9 - 0.1 * k for k in range(patients)]
        interval = interval_over_patients(values)
        assert interval is not None
        assert (interval.low, interval.high, interval.method) == (None, None, "values")
        assert interval.values == pytest.approx(sorted(values))

    def test_fewer_than_twenty_patients_give_a_student_t_interval(self) -> None:
        values = [0.5, 0.6, 0.7, 0.55, 0.65, 0.6]
        interval = interval_over_patients(values)
        assert interval is not None
        assert interval.method == "t"
        low, high = t.interval(0.95, 5, np.mean(values), np.std(values, ddof=1) / np.sqrt(6))
        assert (interval.low, interval.high) == (pytest.approx(low), pytest.approx(high))

    def test_twenty_patients_give_a_bootstrap_interval(self) -> None:
        values = np.random.default_rng(1).beta(5, 2, 20).tolist()
        interval = interval_over_patients(values)
        assert interval is not None
        assert interval.method == "bootstrap"
        assert min(values) < interval.low < interval.mean < interval.high < max(values)
        assert interval == interval_over_patients(values)

    def test_an_interval_stays_within_the_bounds(self) -> None:
        interval = interval_over_patients([1.0, 1.0, 1.0, 1.0, 1.0, 0.5])
        assert interval is not None
        assert interval.high == 1
        free = interval_over_patients([1.0, 1.0, 1.0, 1.0, 1.0, 0.5], bounds=(-9, 9))
        assert free is not None
        assert free.high > 1

    @pytest.mark.parametrize("patients", [6, 20])
    def test_equal_values_give_an_interval_without_width(self, patients: int) -> None:
        interval = interval_over_patients([0.5] * patients)
        assert interval is not None
        assert (interval.low, interval.high) == (0.5, 0.5)

    @pytest.mark.parametrize("patients", [6, 20])
    def test_values_that_differ_only_by_rounding_give_no_width(self, patients: int) -> None:
        interval = interval_over_patients([1.0] * (patients - 1) + [1 - 2**-52])
        assert interval is not None
        assert (interval.low, interval.high) == (pytest.approx(1, abs=1e-12), pytest.approx(1, abs=1e-12))

    def test_no_defined_value_gives_no_interval(self) -> None:
        assert interval_over_patients([None, None]) is None

    @settings(max_examples=40)
    @given(st.lists(st.floats(0, 1), min_size=6, max_size=25))
    def test_the_mean_lies_inside_the_interval(self, values: list[float]) -> None:
        interval = interval_over_patients(values)
        assert interval is not None
        assert 0 <= interval.low <= interval.mean + 1e-9
        assert interval.mean - 1e-9 <= interval.high <= 1


class TestComparison:
    def test_patients_are_paired_and_the_others_are_left_out(self) -> None:
        first = {"a": 0.5, "b": 0.6, "c": None, "d": 0.4}
        found = compare_over_patients(first, {"b": 0.7, "a": 0.6, "c": 0.9, "e": 0.1})
        assert found is not None
        assert found.difference.mean == pytest.approx(0.1)
        assert found.difference.patients == 2
        assert (found.better, found.worse, found.equal) == (2, 0, 0)

    def test_the_difference_has_an_interval(self) -> None:
        gains = [0.1, -0.2, 0.3, 0.1, 0.2, -0.3]
        first = {str(k): 0.5 for k in range(6)}
        found = compare_over_patients(first, {str(k): 0.5 + gain for k, gain in enumerate(gains)})
        assert found is not None
        low, high = t.interval(0.95, 5, np.mean(gains), np.std(gains, ddof=1) / np.sqrt(6))
        assert (found.difference.low, found.difference.high) == (pytest.approx(low), pytest.approx(high))
        assert found.difference.low < 0 < found.difference.high

    @pytest.mark.parametrize("sign", [1, -1])
    def test_two_figures_between_minus_1_and_1_differ_by_2_at_most(self, sign: int) -> None:
        first = {str(k): -1.0 * sign for k in range(6)}
        found = compare_over_patients(first, first | dict.fromkeys("01234", 1.0 * sign))
        assert found is not None
        assert found.difference.mean == pytest.approx(sign * 10 / 6)
        assert (found.difference.high if sign == 1 else found.difference.low) == sign * 2

    def test_too_few_patients_give_no_p_value(self) -> None:
        first = {str(k): 0.5 for k in range(5)}
        found = compare_over_patients(first, dict.fromkeys(first, 0.9))
        assert found is not None
        assert found.p_value is None
        assert found.least_p_value == pytest.approx(0.0625)

    def test_the_p_value_is_that_of_the_signed_rank_test(self) -> None:
        generator = np.random.default_rng(3)
        first = {str(k): float(value) for k, value in enumerate(generator.random(9))}
        second = {name: value + float(generator.normal(0.05, 0.1)) for name, value in first.items()}
        found = compare_over_patients(first, second)
        assert found is not None
        assert found.p_value == pytest.approx(wilcoxon([second[name] - first[name] for name in first]).pvalue)

    def test_improvement_of_all_patients_gives_the_least_p_value(self) -> None:
        first = {str(k): 0.1 * k for k in range(6)}
        found = compare_over_patients(first, {name: value + 0.01 * (1 + int(name)) for name, value in first.items()})
        assert found is not None
        assert found.p_value == pytest.approx(found.least_p_value) == pytest.approx(2 / 2**6)

    def test_patients_without_a_difference_give_no_p_value(self) -> None:
        same = {str(k): 0.5 for k in range(8)}
        found = compare_over_patients(same, same)
        assert found is not None
        assert (found.equal, found.p_value, found.least_p_value) == (8, None, None)

    def test_a_rounding_error_is_not_a_difference(self) -> None:
        first = {str(k): 0.1 + 0.2 + 0.3 for k in range(8)}
        found = compare_over_patients(first, dict.fromkeys(first, 0.3 + 0.2 + 0.1))
        assert first["0"] != 0.3 + 0.2 + 0.1
        assert found is not None
        assert (found.better, found.worse, found.equal, found.p_value) == (0, 0, 8, None)

    def test_no_common_patient_gives_no_comparison(self) -> None:
        assert compare_over_patients({"a": 0.5}, {"b": 0.5}) is None
