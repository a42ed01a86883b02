"""Configurations and cubes as values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gliomap.errors import CubeError, UsageError
from gliomap.preprocessing import HyperCube, PreprocessingConfig, Reason


def small_cube() -> HyperCube:
    data = np.arange(4 * 5 * 3, dtype=np.float32).reshape(4, 5, 3)
    reasons = np.zeros((4, 5), np.uint8)
    reasons[1, 1] = Reason.SATURATED | Reason.DARK
    reasons[2, 3] = Reason.DARK
    return HyperCube(data, np.array([1.0, 2.0, 3.0]), "reflectance", reasons == 0, reasons)


def test_a_configuration_survives_as_plain_values() -> None:
    config = PreprocessingConfig(normalisation="snv", dark_fraction=0.05)
    assert PreprocessingConfig.from_dict(config.as_dict()) == config
    assert PreprocessingConfig.from_dict({}) == PreprocessingConfig()
    assert PreprocessingConfig.from_dict({"dark_fraction": 0}).dark_fraction == 0


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


def test_invalid_pixels_are_counted_by_reason() -> None:
    assert small_cube().invalid_counts() == {"saturated": 1, "dark": 2}
    # How little light is too little is set in each chain: a number here would be wrong for another.
    assert all(reason.text and not any(map(str.isdigit, reason.text)) for reason in Reason)


def test_a_crop_inside() -> None:
    crop = small_cube().cropped(1, 1, 2, 3)
    assert (crop.height, crop.width, crop.n_bands) == (2, 3, 3)
    assert np.array_equal(crop.data, small_cube().data[1:3, 1:4])
    assert crop.invalid_counts() == {"saturated": 1, "dark": 2}


def test_a_crop_over_the_edge_is_outside_there() -> None:
    crop = small_cube().cropped(-1, 3, 3, 4)
    assert crop.invalid_counts() == {"outside": 4 + 2 * 2}
    assert not crop.data[crop.reasons == Reason.OUTSIDE].any()
    assert np.array_equal(crop.data[1:, :2], small_cube().data[:2, 3:])


@pytest.mark.parametrize("window", [(4, 0, 2, 2), (0, 0, 0, 2), (-2, 0, 2, 2), (0, 5, 1, 1)])
def test_a_crop_beside_the_cube_is_refused(window: tuple[int, int, int, int]) -> None:
    with pytest.raises(CubeError, match="misses the cube of 4×5"):
        small_cube().cropped(*window)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"data": np.zeros((4, 5, 3))}, "is float64"),
        ({"data": np.zeros((4, 5), np.float32)}, "has shape"),
        ({"mask": np.ones((5, 4), bool)}, "do not fit"),
        ({"wavelengths_nm": np.arange(4.0)}, "4 wavelengths for 3 bands"),
        ({"data": np.full((4, 5, 3), np.nan, np.float32)}, "NaN"),
        ({"data": np.full((4, 5, 3), np.inf, np.float32)}, "infinite"),
    ],
)
def test_what_is_no_cube(changes: dict[str, np.ndarray], fault: str) -> None:
    with pytest.raises(CubeError, match=fault):
        replace(small_cube(), **changes)
