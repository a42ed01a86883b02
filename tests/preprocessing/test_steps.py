"""The chain's steps on small arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gliomap.errors import CubeError, UsageError
from gliomap.preprocessing import (
    Normalisation,
    brightness,
    calibrate,
    correct_spectra,
    cube_to_mosaic,
    is_normalised,
    mosaic_to_cube,
    normalise,
)

FLOATS = hnp.arrays(
    np.float32, (3, 4, 5), elements=st.floats(-1e3, 1e3, width=32, allow_nan=False, allow_infinity=False)
)


def test_calibration_is_the_quotient_of_differences() -> None:
    raw, white, dark = (np.array([value], np.uint16) for value in (300, 1000, 100))
    assert calibrate(raw, white, dark) == pytest.approx(200 / 900)
    # raw below dark is negative noise and does not wrap round to 65,000
    assert calibrate(dark, white, raw) == pytest.approx(-200 / 700)


def test_calibration_without_light_gives_zero() -> None:
    white, dark = np.array([100, 50, 101], np.uint16), np.full(3, 100, np.uint16)
    assert calibrate(np.full(3, 500, np.uint16), white, dark).tolist() == [0, 0, 400]
    assert calibrate(np.full(3, 500, np.uint16), white, dark, min_light=2).tolist() == [0, 0, 0]


def test_calibration_broadcasts_a_reference_line_over_a_cube() -> None:
    cube, line = np.full((4, 3, 2), 60, np.uint16), np.array([[110, 210]] * 3, np.uint16)
    assert np.allclose(calibrate(cube, line, np.uint16(10) * np.ones_like(line)), [0.5, 0.25])


def test_each_tile_becomes_one_pixel_in_mosaic_order() -> None:
    mosaic = np.arange(6 * 8).reshape(6, 8)
    cube = mosaic_to_cube(mosaic, (3, 2))
    assert cube.shape == (2, 4, 6)
    assert cube[0, 0].tolist() == [0, 1, 8, 9, 16, 17]
    assert cube[1, 2].tolist() == [28, 29, 36, 37, 44, 45]
    for row in range(6):
        for column in range(8):
            position = 2 * (row % 3) + column % 2
            assert cube[row // 3, column // 2, position] == mosaic[row, column]


@settings(max_examples=30)
@given(st.tuples(*[st.integers(1, 5)] * 4))
def test_cube_to_mosaic_reverses_mosaic_to_cube(sizes: tuple[int, int, int, int]) -> None:
    rows, columns, height, width = sizes
    mosaic = np.arange(rows * height * columns * width, dtype=np.uint16).reshape(rows * height, columns * width)
    assert np.array_equal(cube_to_mosaic(mosaic_to_cube(mosaic, (rows, columns)), (rows, columns)), mosaic)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(CubeError, match="not whole tiles of 5×5"):
        mosaic_to_cube(np.zeros((10, 12)), (5, 5))
    with pytest.raises(CubeError, match="not whole tiles of 5×5"):
        mosaic_to_cube(np.zeros((12, 10)), (5, 5))
    with pytest.raises(CubeError, match="not whole tiles of 5×5"):
        mosaic_to_cube(np.zeros((10, 10, 2)), (5, 5))
    with pytest.raises(CubeError, match="25 channels"):
        cube_to_mosaic(np.zeros((2, 2, 24)), (5, 5))
    with pytest.raises(CubeError, match="25 channels"):
        cube_to_mosaic(np.zeros((2, 2, 25, 2)), (5, 5))
    with pytest.raises(CubeError, match="24 channels"):
        correct_spectra(np.zeros((2, 2, 24), np.float32), np.eye(25))


def test_correction_is_a_matrix_product_per_pixel() -> None:
    rng = np.random.default_rng(0)
    data, matrix = rng.random((3, 4, 6)).astype(np.float32), rng.random((2, 6))
    corrected = correct_spectra(data, matrix)
    assert corrected.dtype == np.float32
    for row in range(3):
        for column in range(4):
            assert np.allclose(corrected[row, column], matrix @ data[row, column], rtol=1e-5)


def test_each_normalisation_follows_its_definition() -> None:
    x = np.array([[1.0, 2.0, 4.0, -1.0]], np.float32)
    assert np.allclose(normalise(x, "brightness"), x / np.sqrt(22 / 4))
    assert np.allclose(normalise(x, "snv"), (x - 1.5) / np.std(x))
    assert np.allclose(normalise(x, "minmax"), (x + 1) / 5)
    assert np.allclose(normalise(x, "area"), x / 8)
    assert np.array_equal(normalise(x, "none"), x)
    with pytest.raises(UsageError, match="normalisation 'rms': is not known"):
        normalise(x, "rms")


@pytest.mark.parametrize("kind", ["brightness", "snv", "minmax", "area", "none"])
def test_each_spectrum_is_normalised_by_itself(kind: Normalisation) -> None:
    cube = np.random.default_rng(2).uniform(-0.2, 1, (4, 3, 5)).astype(np.float32)
    alone = [[normalise(spectrum[None], kind)[0] for spectrum in row] for row in cube]
    assert np.allclose(normalise(cube, kind), alone, atol=1e-6)


@pytest.mark.parametrize("kind", ["brightness", "snv", "minmax", "area", "none"])
def test_spectra_without_brightness_become_zero(kind: Normalisation) -> None:
    dim = np.array([[0, 0, 0], [1e-7, -1e-7, 1e-7]], np.float32)
    assert not normalise(dim, kind).any()
    assert not normalise(np.zeros((2, 3), np.float32), kind, min_brightness=0).any()


def test_a_spectrum_must_be_brighter_than_the_limit() -> None:
    even, uneven = np.full((1, 2), 0.5, np.float32), np.array([[2, 3]], np.float32)
    assert not normalise(even, "none", min_brightness=0.5).any()
    assert normalise(even, "none", min_brightness=0.499).tolist() == [[0.5, 0.5]]
    assert not normalise(even, "area", min_brightness=0.5).any()  # although its divisor is 1
    # The divisor, maximum − minimum, is 1.
    assert not normalise(uneven, "minmax", min_brightness=1).any()
    assert normalise(uneven, "minmax", min_brightness=0.999).tolist() == [[0, 1]]
    assert normalise(np.full((1, 3), 1.2e-6, np.float32)).tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("kind", ["snv", "minmax"])
def test_flat_spectra_become_zero(kind: Normalisation) -> None:
    assert not normalise(np.full((1, 4), 0.5, np.float32), kind).any()


@settings(max_examples=40)
@given(FLOATS, st.sampled_from(["brightness", "snv", "minmax", "area", "none"]))
def test_normalised_spectra_are_finite_and_correctly_scaled(data: np.ndarray, kind: Normalisation) -> None:
    result = normalise(data, kind)
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    alive = result.any(axis=-1)
    if kind == "brightness":
        assert np.allclose(brightness(result)[alive], 1, atol=1e-5)
        assert np.array_equal(alive, brightness(data) > 1e-6)
    if kind == "minmax":
        assert result.min() >= 0
        assert np.allclose(result.max(axis=-1)[alive], 1, atol=1e-5)
    if kind == "area":
        assert np.allclose(np.abs(result).sum(axis=-1)[alive], 1, atol=1e-5)
    if kind == "snv":
        assert np.allclose(brightness(result)[alive], 1, atol=1e-4)


@pytest.mark.parametrize("kind", ["brightness", "snv", "minmax", "area"])
def test_normalised_spectra_are_distinguished_from_reflectance(kind: Normalisation) -> None:
    generator = np.random.default_rng(0)
    reflectance = generator.uniform(0.1, 0.9, (400, 25)).astype(np.float32)
    spectra = normalise(reflectance, kind)
    assert is_normalised(spectra, kind)
    assert is_normalised(spectra.round(4), kind), "rounded, as other software may save them"
    assert not is_normalised(reflectance, kind)
    taken_for = {other for other in ("brightness", "snv", "minmax", "area") if is_normalised(spectra, other)}
    assert taken_for == {kind}
    assert is_normalised(reflectance, "none")
    assert is_normalised(np.full((9, 25), 1e-7, np.float32), "none")
    assert is_normalised(reflectance[:0], kind)
    masked = np.concatenate([spectra, np.zeros_like(spectra)])
    assert is_normalised(masked, kind), "masked pixels are zero and do not count"
    # A few outliers do not change the result.
    spectra[:4] *= 2
    assert is_normalised(spectra, kind)
    spectra[4] *= 2
    assert not is_normalised(spectra, kind), "five of 400 are more than a hundredth"


def test_spectra_may_deviate_by_a_hundredth_of_their_brightness() -> None:
    assert is_normalised(np.full((9, 25), 1.009, np.float32), "brightness")
    assert not is_normalised(np.full((9, 25), 1.012, np.float32), "brightness")
