"""Configurations and cubes as values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gliomap.errors import CubeError, UsageError
from gliomap.preprocessing import HyperCube, PreprocessingConfig, Reason


def small_cube() -> HyperCube:
    data = np.arange(4 * 5 * 3, dtype=np.float32).reshape(4, 5, 3)
    reasons = np.zeros((4, 5), np.uint8)
    reasons[1, 1] = Reason.SATURATED | Reason.DARK
    reasons[2, 3] = Reason.DARK
    return HyperCube(data, np.array([1.0, 2.0, 3.0]), "reflectance", reasons == 0, reasons)


def test_a_configuration_survives_conversion_to_a_dictionary() -> None:
    config = PreprocessingConfig(normalisation="snv", dark_fraction=0.05)
    assert PreprocessingConfig.from_dict(config.as_dict()) == config
    assert PreprocessingConfig.from_dict({}) == PreprocessingConfig()
    assert PreprocessingConfig.from_dict({"dark_fraction": 0}).dark_fraction == 0
    assert PreprocessingConfig.from_dict({"min_brightness": 0}).min_brightness == 0


def test_the_default_configuration_is_that_of_the_thesis() -> None:
    assert PreprocessingConfig().as_dict() == {
        "spectral_correction": True,
        "normalisation": "brightness",
        "dark_fraction": 0.02,
        "min_brightness": 1e-6,
    }


@pytest.mark.parametrize(
    "values",
    [
        {"normalization": "snv"},
        {"normalisation": "log"},
        {"normalisation": 1},
        {"spectral_correction": "yes"},
        {"spectral_correction": 1},
        {"dark_fraction": True},
        {"dark_fraction": 1.0},
        {"dark_fraction": float("nan")},
        {"min_brightness": -1},
        {"min_brightness": True},
        {"min_brightness": float("inf")},
    ],
)
def test_a_wrong_configuration_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        PreprocessingConfig.from_dict(values)


def test_units_say_what_the_values_are() -> None:
    assert PreprocessingConfig().units == "brightness-normalised reflectance"
    assert PreprocessingConfig(normalisation="none").units == "reflectance"
    assert PreprocessingConfig(False, "none").units == "reflectance, not spectrally corrected"


def test_the_bits_of_the_reasons_never_change() -> None:
    """Saved cubes and maps hold them."""
    assert {reason.name: int(reason) for reason in Reason} == {
        "SATURATED": 1,
        "DARK": 2,
        "ZERO_BRIGHTNESS": 4,
        "OUTSIDE": 8,
        "DEFECTIVE": 16,
    }


def test_invalid_pixels_are_counted_by_reason() -> None:
    assert small_cube().invalid_counts() == {"saturated": 1, "dark": 2}
    # Each configuration sets its own limits, so the texts of the reasons must not contain numbers.
    assert all(reason.text and not any(map(str.isdigit, reason.text)) for reason in Reason)


@given(st.integers(-4, 5), st.integers(-5, 6), st.integers(1, 9), st.integers(1, 9))
def test_a_crop_is_padded_with_pixels_marked_as_outside(row: int, column: int, height: int, width: int) -> None:
    cube = small_cube()
    data = np.pad(cube.data, ((9, 18), (9, 18), (0, 0)))
    reasons = np.pad(cube.reasons, (9, 18), constant_values=int(Reason.OUTSIDE))
    window = np.s_[9 + row : 9 + row + height, 9 + column : 9 + column + width]
    assume((reasons[window] != Reason.OUTSIDE).any())
    crop = cube.cropped(row, column, height, width)
    assert np.array_equal(crop.data, data[window])
    assert np.array_equal(crop.reasons, reasons[window])
    assert np.array_equal(crop.mask, reasons[window] == 0)
    assert bool(crop.invalid_counts()) == bool(reasons[window].any())


@pytest.mark.parametrize("window", [(4, 0, 2, 2), (0, 0, 0, 2), (-2, 0, 2, 2), (0, 5, 1, 1)])
def test_a_crop_that_misses_the_cube_is_refused(window: tuple[int, int, int, int]) -> None:
    with pytest.raises(CubeError, match="misses the cube of 4×5"):
        small_cube().cropped(*window)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"data": np.zeros((4, 5, 3))}, "is float64"),
        ({"data": np.zeros((4, 5), np.float32)}, "has shape"),
        ({"mask": np.ones((5, 4), bool)}, r"has mask of bool \(5, 4\) for data of"),
        ({"mask": np.ones((4, 5), np.uint8)}, "mask of uint8"),
        ({"reasons": np.zeros((4, 5), np.int64)}, "reasons of int64"),
        ({"wavelengths_nm": np.arange(4.0)}, "4 wavelengths for 3 bands"),
        ({"data": np.full((4, 5, 3), np.nan, np.float32)}, "NaN"),
        ({"data": np.full((4, 5, 3), np.inf, np.float32)}, "infinite"),
    ],
)
def test_an_invalid_cube_is_refused(changes: dict[str, np.ndarray], fault: str) -> None:
    with pytest.raises(CubeError, match=fault):
        replace(small_cube(), **changes)
