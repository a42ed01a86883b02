"""The synthetic RGB picture: which bands it uses, and how it handles extreme values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gliomap.preprocessing import HyperCube
from gliomap.rendering import bands_for_rgb, synthetic_rgb
from rendering.scene import WAVELENGTHS, make_scene


def cube_of(data: np.ndarray, mask: np.ndarray | None = None) -> HyperCube:
    valid = np.ones(data.shape[:2], bool) if mask is None else mask
    return HyperCube(data.astype(np.float32), None, "reflectance", valid, np.where(valid, 0, 1).astype(np.uint8))


def test_bands_are_chosen_by_wavelength_where_known() -> None:
    assert bands_for_rgb(25, WAVELENGTHS) == (1, 9, 19)  # 672, 769 and 890 nm
    assert bands_for_rgb(5, np.array([500.0, 645, 795, 890, 900])) == (1, 2, 3)


def test_bands_are_chosen_by_position_without_suitable_wavelengths() -> None:
    assert bands_for_rgb(25, None) == (1, 10, 19)
    assert bands_for_rgb(25, np.linspace(400, 600, 25)) == (1, 10, 19)
    assert bands_for_rgb(5, np.array([500.0, 644, 795, 890, 900])) == (0, 2, 3), "26 nm from the red"
    assert bands_for_rgb(5, np.array([500.0, 600, 670, 770, 790])) == (0, 2, 3), "no third band is left for blue"


@pytest.mark.parametrize("n_bands", [1, 2, 3, 25, 826])
def test_any_number_of_bands_gives_a_picture(n_bands: int) -> None:
    assert all(0 <= band < n_bands for band in bands_for_rgb(n_bands, None))
    assert synthetic_rgb(cube_of(np.random.default_rng(0).random((4, 5, n_bands)))).shape == (4, 5, 3)


def test_a_glint_does_not_darken_the_rest() -> None:
    data = np.random.default_rng(0).uniform(0.2, 0.4, (40, 40, 5))
    calm = synthetic_rgb(cube_of(data))
    data[3, 3] = 1000
    assert np.abs(synthetic_rgb(cube_of(data)).astype(int) - calm)[10:].max() <= 2


def test_masked_pixels_are_black_and_do_not_stretch_the_others() -> None:
    scene = make_scene(30, 50)
    picture = synthetic_rgb(scene.cube)
    assert (picture[~scene.cube.mask] == 0).all()
    assert picture[scene.cube.mask].max() == 255


def test_a_uniform_cube_is_mid_grey_and_a_masked_one_black() -> None:
    assert (synthetic_rgb(cube_of(np.full((3, 3, 4), 0.7))) == 128).all()
    assert (synthetic_rgb(cube_of(np.zeros((3, 3, 4)), np.zeros((3, 3), bool))) == 0).all()


@settings(max_examples=40)
@given(arrays(np.float32, (3, 4, 5), elements=st.floats(-(2.0**120), 2.0**120, width=32, allow_subnormal=False)))
def test_any_finite_cube_gives_a_picture_without_a_warning(data: np.ndarray) -> None:
    assert synthetic_rgb(cube_of(data)).dtype == np.uint8
