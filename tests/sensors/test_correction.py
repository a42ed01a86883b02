"""The matrix from responses: what it should do to spectra."""

from __future__ import annotations

import numpy as np
import pytest

from gliomap.errors import SensorError
from gliomap.sensors import Responses, correction_matrix_from_responses, get_sensor


def smooth_spectra(grid: np.ndarray) -> np.ndarray:
    """Reflectance with the slopes and dips that tissue has over the near infrared."""
    slope = 0.6 - 0.3 * (grid - 600) / 400
    dip = 1 - 0.25 * np.exp(-0.5 * ((grid - 760) / 18) ** 2)
    edge = 0.3 + 0.5 / (1 + np.exp(-(grid - 690) / 25))
    return np.stack([slope * dip, edge, slope * edge])


def virtual_truth(grid: np.ndarray, centres: np.ndarray, spectra: np.ndarray) -> np.ndarray:
    bands = np.exp(-4 * np.log(2) * ((grid - centres[:, None]) / 15) ** 2)
    return (bands / bands.sum(axis=1, keepdims=True)) @ spectra.T


@pytest.mark.parametrize("for_reflectance", [True, False])
def test_correction_brings_spectra_closer_to_the_virtual_bands(for_reflectance: bool) -> None:
    sensor = get_sensor("generic-nir-5x5")
    assert sensor.responses is not None
    grid, real = sensor.responses.wavelengths_nm, sensor.responses.effective()
    spectra, lamp = smooth_spectra(grid), 0.5 + (grid - 400) / 1200
    truth = virtual_truth(grid, sensor.wavelengths_nm, spectra)
    signal, white = real @ (spectra * lamp).T, (real @ lamp)[:, None]
    matrix = correction_matrix_from_responses(sensor.responses, sensor.wavelengths_nm, for_reflectance=for_reflectance)
    corrected = matrix @ (signal / white) if for_reflectance else (matrix @ signal) / (matrix @ white)
    uncorrected = (signal / white)[np.argsort(sensor.band_of_position)]
    # Not at the first band: half of its virtual band lies on the edge of the pass-band.
    error, before = (np.sqrt(np.mean((spectra - truth)[1:] ** 2)) for spectra in (corrected, uncorrected))
    assert error < 0.5 * before
    assert error < 0.004


def test_rows_for_reflectance_sum_to_one() -> None:
    sensor = get_sensor("generic-nir-5x5")
    assert sensor.responses is not None
    matrix = correction_matrix_from_responses(sensor.responses, sensor.wavelengths_nm, for_reflectance=True)
    assert np.allclose(matrix.sum(axis=1), 1, atol=1e-12)


def test_it_is_the_regularised_least_squares_solution() -> None:
    rng = np.random.default_rng(1)
    grid = np.arange(500.0, 700.0)
    responses = Responses(grid, rng.random((4, grid.size)), 0.5 + 0.5 * rng.random(grid.size))
    centres = np.array([540.0, 580.0, 620.0, 660.0])
    matrix = correction_matrix_from_responses(responses, centres, 20, 0.05)
    real = responses.effective()
    virtual = np.exp(-4 * np.log(2) * ((grid - centres[:, None]) / 20) ** 2)
    virtual /= virtual.sum(axis=1, keepdims=True)
    penalty = 0.05 * np.mean(np.sum(real**2, axis=1))

    def cost(m: np.ndarray) -> float:
        return float(np.sum((m @ real - virtual) ** 2) + penalty * np.sum(m**2))

    best = cost(matrix)
    assert all(cost(matrix + 1e-3 * rng.standard_normal(matrix.shape)) > best for _ in range(20))


def test_more_ridge_gives_less_noise() -> None:
    sensor = get_sensor("generic-nir-5x5")
    assert sensor.responses is not None
    gains = [
        np.sqrt((correction_matrix_from_responses(sensor.responses, sensor.wavelengths_nm, ridge=r) ** 2).sum(axis=1))
        for r in (0.002, 0.02, 0.2)
    ]
    assert (gains[0] > gains[1]).all()
    assert (gains[1] > gains[2]).all()


def test_the_generic_camera_has_the_figures_it_names() -> None:
    sensor = get_sensor("generic-nir-5x5")
    assert sensor.responses is not None
    grid, curves = sensor.responses.wavelengths_nm, sensor.responses.effective()
    longest = curves[sensor.band_of_position.index(24)]
    lobe = longest[(grid > 690) & (grid < 720)].max() / longest.max()
    assert 0.05 < lobe < 0.16  # the 10 % lobe, plus what leaks in from neighbours
    assert (curves[:, grid < 620] < 1e-3).all()


@pytest.mark.parametrize(("width", "ridge"), [(0, 0.02), (15, 0), (15, -1), (float("nan"), 0.02)])
def test_impossible_parameters_are_refused(width: float, ridge: float) -> None:
    responses = Responses(np.arange(3.0), np.ones((1, 3)))
    with pytest.raises(SensorError, match="must be positive"):
        correction_matrix_from_responses(responses, np.array([1.0]), width, ridge)


def test_a_blind_position_is_refused() -> None:
    responses = Responses(np.arange(500.0, 600.0), np.zeros((1, 100)))
    with pytest.raises(SensorError, match="no response"):
        correction_matrix_from_responses(responses, np.array([550.0]))
