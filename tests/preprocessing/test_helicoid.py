"""The push-broom chain on a synthetic cube of 826 bands."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gliomap.errors import CubeError
from gliomap.preprocessing import Reason, decimate, drop_bands, helicoid_chain, moving_average

WAVES = np.linspace(400, 1000, 826)


@pytest.fixture
def cube() -> np.ndarray:
    rng = np.random.default_rng(0)
    slope = rng.uniform(0.2, 0.8, (4, 6, 1)) * (1 + 0.5 * np.sin(WAVES / rng.uniform(60, 120, (4, 6, 1))))
    return (slope + 0.01 * rng.standard_normal((4, 6, 826))).astype(np.float32)


def test_the_moving_average_shrinks_at_the_ends() -> None:
    ramp = np.arange(8, dtype=np.float32)
    assert np.allclose(moving_average(ramp), [1, 1.5, 2, 3, 4, 5, 5.5, 6])
    assert np.array_equal(moving_average(ramp, 1), ramp)
    assert np.allclose(moving_average(np.array([1.0, 3.0], np.float32)), [2, 2])  # shorter than its window
    assert moving_average(ramp.astype(np.float64)).dtype == np.float32
    for window in (4, 0, -1):
        with pytest.raises(CubeError, match=f"window of {window}"):
            moving_average(ramp, window)


def test_bands_are_dropped_and_decimated_with_their_wavelengths() -> None:
    kept = drop_bands(WAVES)
    assert kept.size == 826 - 56 - 126
    assert (kept[0], kept[-1]) == (WAVES[56], WAVES[699])
    few = decimate(kept)
    assert few.size == 128
    assert (few[0], few[-1]) == (kept[0], kept[-1])
    assert set(np.diff(np.searchsorted(kept, few))) == {5, 6}


def test_no_band_or_all_but_one_may_be_dropped() -> None:
    assert np.array_equal(drop_bands(WAVES, 0, 0), WAVES)
    assert drop_bands(WAVES, 400, 425).tolist() == [WAVES[400]]
    assert np.array_equal(decimate(WAVES, 826), WAVES)
    assert decimate(WAVES, 1).tolist() == [WAVES[0]]


@pytest.mark.parametrize(("first", "last"), [(-1, 0), (0, -1)])
def test_a_negative_number_of_bands_cannot_be_dropped(first: int, last: int) -> None:
    with pytest.raises(CubeError, match=f"dropping {first} and {last}"):
        drop_bands(WAVES, first, last)


@pytest.mark.parametrize(
    "call", [lambda: drop_bands(WAVES[:182]), lambda: decimate(WAVES[:100]), lambda: decimate(WAVES, 0)]
)
def test_too_few_bands_are_refused(call: Callable[[], object]) -> None:
    with pytest.raises(CubeError):
        call()


def test_the_chain_matches_a_calculation_by_hand(cube: np.ndarray) -> None:
    result = helicoid_chain(cube, WAVES)
    assert result.data.shape == (4, 6, 128)
    assert result.wavelengths_nm is not None
    assert result.wavelengths_nm[[0, -1]].tolist() == [WAVES[56], WAVES[699]]
    assert result.mask.all()
    assert np.array_equal(result.data.min(axis=2), np.zeros((4, 6)))
    assert np.allclose(result.data.max(axis=2), 1)
    by_hand = cube[1, 2].astype(np.float64)
    by_hand = np.array([by_hand[max(i - 2, 0) : i + 3].mean() for i in range(826)])[56:-126]
    by_hand = by_hand[np.round(np.linspace(0, 643, 128)).astype(int)]
    by_hand = (by_hand - by_hand.min()) / np.ptp(by_hand)
    assert np.allclose(result.data[1, 2], by_hand, atol=1e-5)


def test_flat_and_broken_pixels_are_masked(cube: np.ndarray) -> None:
    cube[0, 0], cube[1, 1] = 0.25, 0
    cube[2, 2, 400] = np.nan
    result = helicoid_chain(cube, WAVES)
    assert result.invalid_counts() == {"zero_brightness": 2, "defective": 1}
    assert result.reasons[2, 2] == Reason.DEFECTIVE
    assert not result.data[~result.mask].any()


def test_the_number_of_wavelengths_must_match_the_bands(cube: np.ndarray) -> None:
    with pytest.raises(CubeError, match="825 wavelengths"):
        helicoid_chain(cube, WAVES[1:])


def test_spectra_without_rows_and_columns_are_refused(cube: np.ndarray) -> None:
    with pytest.raises(CubeError, match=r"of shape \(6, 826\) comes with 826 wavelengths"):
        helicoid_chain(cube[0], WAVES)
