"""Which dark belongs to which exposure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gliomap.captures import DarkPlan, Exposures, plan_darks
from gliomap.captures._exposures import dark_of_raw, dark_of_white
from gliomap.errors import CaptureError, ReferenceFrameError
from gliomap.sensors import get_sensor

BIASED = get_sensor("nemesis")
UNBIASED = replace(BIASED, has_bias_offset=False)
SAME, OWN = DarkPlan(False, 1.0), DarkPlan(True, 1.0)


def test_equal_exposures_share_one_dark() -> None:
    assert plan_darks(None, BIASED, has_white_dark=False) == (SAME, SAME)
    assert plan_darks(Exposures(10, 10, 10), BIASED, has_white_dark=False) == (SAME, SAME)
    assert plan_darks(Exposures(10, 10.005, 9.995), BIASED, has_white_dark=False) == (SAME, SAME)


def test_a_second_dark_belongs_to_the_white() -> None:
    assert plan_darks(None, BIASED, has_white_dark=True) == (SAME, OWN)
    assert plan_darks(Exposures(10, 5, 10), BIASED, has_white_dark=True) == (SAME, OWN)
    assert plan_darks(Exposures(10, 5, 10, 5), BIASED, has_white_dark=True) == (SAME, OWN)
    # Both fit both frames.
    assert plan_darks(Exposures(10, 10, 10), BIASED, has_white_dark=True) == (SAME, OWN)


def test_the_dark_with_the_matching_exposure_is_used() -> None:
    # Only the second dark has the raw frame's exposure.
    assert plan_darks(Exposures(5, 10, 10, 5), BIASED, has_white_dark=True) == (OWN, SAME)


@pytest.mark.parametrize(
    ("exposures", "what"),
    [
        (Exposures(10, 5, 10), "white for 5 ms"),
        (Exposures(10, 5, 5), "raw frame for 10 ms"),
        (Exposures(9, 9, 3), "9 ms"),
        (Exposures(10, 10.015, 10), "white for 10.015 ms"),
    ],
)
def test_a_biased_camera_needs_matching_darks(exposures: Exposures, what: str) -> None:
    with pytest.raises(ReferenceFrameError, match=what):
        plan_darks(exposures, BIASED, has_white_dark=False)


def test_an_unbiased_camera_scales_its_dark_by_time() -> None:
    raw, white = plan_darks(Exposures(10, 5, 20), UNBIASED, has_white_dark=False)
    assert raw == DarkPlan(False, 0.5)
    assert white == DarkPlan(False, 0.25)
    raw, white = plan_darks(Exposures(10, 5, 20, 4), UNBIASED, has_white_dark=True)
    assert raw == DarkPlan(False, 0.5)
    assert white == DarkPlan(True, 1.25)


DARK, SECOND = np.array([[20, 21]], np.uint16), np.array([[40, 60_000]], np.uint16)


def test_a_scaled_dark_is_rounded_and_stays_within_sixteen_bits() -> None:
    times = Exposures(15, 20, 10, 16)
    assert dark_of_raw(DARK, SECOND, UNBIASED, times).tolist() == [[30, 32]]  # 31.5 is rounded to even
    assert dark_of_white(DARK, SECOND, UNBIASED, times).tolist() == [[50, 65_535]]
    assert dark_of_white(DARK, None, UNBIASED, times).tolist() == [[40, 42]]


def test_if_no_dark_fits_each_frame_has_its_own_as_recorded() -> None:
    times = Exposures(5, 7, 20, 30)
    assert dark_of_raw(DARK, SECOND, BIASED, times).tolist() == DARK.tolist()
    assert dark_of_white(DARK, SECOND, BIASED, times).tolist() == SECOND.tolist()
    assert dark_of_white(DARK, None, BIASED, times).tolist() == DARK.tolist()


@pytest.mark.parametrize("time", [0, -1, float("nan"), float("inf"), 1e9, 0.9e-3, 3.7e6])
def test_an_invalid_exposure_time_is_refused(time: float) -> None:
    with pytest.raises(CaptureError, match="exposure white_ms"):
        Exposures(10, time, 10)


def test_exposures_of_a_microsecond_and_an_hour_are_accepted() -> None:
    assert Exposures(1e-3, 3.6e6, 10).white_over_raw == 3.6e9
