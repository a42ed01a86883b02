"""Optics agree with published figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliomap.phantom._optics import (
    WAVELENGTHS_NM,
    Optics,
    absorbers,
    blood_absorption,
    diffuse_reflectance,
    tissue_reflectance,
)
from gliomap.phantom._patient import Tissue

AT = [int(np.flatnonzero(nm == WAVELENGTHS_NM)[0]) for nm in (650, 750, 850, 950)]


def one(**values: float) -> Optics:
    grey = {"blood": 0.039, "saturation": 0.5, "amplitude": 11.2, "power": 0.47, "water": 0.75}
    return Optics(**{name: np.array([value], np.float32) for name, value in (grey | values).items()})


@pytest.mark.parametrize(
    ("saturation", "expected"), [(0.98, (2.33, 2.87, 5.63, 6.38)), (0.65, (8.31, 4.44, 4.98, 5.32))]
)
def test_absorption_of_whole_blood_agrees_with_prahl(saturation: float, expected: tuple[float, ...]) -> None:
    np.testing.assert_allclose(blood_absorption(saturation)[AT], expected, rtol=5e-3)


@pytest.mark.parametrize(
    ("absorption", "scattering", "closed_form", "monte_carlo"),
    [(0.1, 10, 0.615, 0.622), (0.5, 10, 0.380, 0.376), (2, 15, 0.242, 0.235), (4, 15, 0.162, 0.151)],
)
def test_diffuse_reflectance_agrees_with_monte_carlo(
    absorption: float, scattering: float, closed_form: float, monte_carlo: float
) -> None:
    reflectance = float(diffuse_reflectance(absorption, scattering))
    assert reflectance == pytest.approx(closed_form, abs=1e-3)
    assert reflectance == pytest.approx(monte_carlo, rel=0.08)


def test_absorbers_cover_the_grid_and_cross_at_the_isosbestic_point() -> None:
    table = absorbers()
    assert table.water.shape == table.oxygenated.shape == WAVELENGTHS_NM.shape
    red, infrared = WAVELENGTHS_NM < 780, WAVELENGTHS_NM > 820
    assert (table.deoxygenated[red] > table.oxygenated[red]).all()
    assert (table.deoxygenated[infrared] < table.oxygenated[infrared]).all()


def test_grey_matter_reflects_a_plausible_share() -> None:
    spectrum = tissue_reflectance(one())[0]
    assert 0.15 < spectrum.min() < spectrum.max() < 0.6


def test_more_blood_darkens_and_more_scattering_brightens() -> None:
    grey = tissue_reflectance(one())
    assert (tissue_reflectance(one(blood=0.08)) < grey).all()
    assert (tissue_reflectance(one(amplitude=20.0)) > grey).all()


def test_oxygenation_brightens_the_short_end_and_darkens_the_long_end() -> None:
    low, high = tissue_reflectance(one(saturation=0.4))[0], tissue_reflectance(one(saturation=0.9))[0]
    assert high[AT[0]] > low[AT[0]]
    assert high[AT[3]] < low[AT[3]]


def test_a_film_of_blood_absorbs_by_the_beer_lambert_law() -> None:
    bare, under = tissue_reflectance(one()), tissue_reflectance(one(), np.array([1e-3], np.float32))
    np.testing.assert_allclose(under / bare, np.exp(-2e-3 * blood_absorption(0.5))[None], rtol=1e-5)


def test_pixels_do_not_depend_on_the_chunk_they_fall_into() -> None:
    many = one().take(np.zeros(20_000, np.intp))
    spectra = tissue_reflectance(many)
    assert (spectra == spectra[0]).all()


def test_a_tissue_gives_the_spectrum_of_its_optics() -> None:
    np.testing.assert_array_equal(Tissue(0.039, 0.5, 11.2, 0.47, 0.75).spectrum(), tissue_reflectance(one())[0])


@settings(max_examples=50)
@given(
    blood=st.floats(0, 0.9),
    saturation=st.floats(0, 1),
    amplitude=st.floats(1, 60),
    power=st.floats(0, 3.5),
    water=st.floats(0, 1),
    film=st.floats(0, 0.01),
)
def test_reflectance_lies_between_zero_and_one_for_any_tissue(
    blood: float, saturation: float, amplitude: float, power: float, water: float, film: float
) -> None:
    optics = one(blood=blood, saturation=saturation, amplitude=amplitude, power=power, water=water)
    spectrum = tissue_reflectance(optics, np.array([film], np.float32))
    assert np.isfinite(spectrum).all()
    assert (spectrum >= 0).all()
    assert (spectrum <= 1).all()
