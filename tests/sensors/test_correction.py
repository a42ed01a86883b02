"""The correction matrix computed from responses, and its effect on spectra."""

from __future__ import annotations

import numpy as np
import pytest

from gliomap.errors import SensorError
from gliomap.sensors import (
    ResponseModel,
    Responses,
    correction_matrix_from_responses,
    get_sensor,
    modelled_responses,
)


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
    # The first band is left out: half of its virtual band lies on the edge of the pass-band.
    error, before = (np.sqrt(np.mean((spectra - truth)[1:] ** 2)) for spectra in (corrected, uncorrected))
    assert error < 0.5 * before
    assert error < 0.004


def test_rows_for_reflectance_sum_to_one() -> None:
    sensor = get_sensor("generic-nir-5x5")
    assert sensor.responses is not None
    matrix = correction_matrix_from_responses(sensor.responses, sensor.wavelengths_nm, for_reflectance=True)
    assert np.allclose(matrix.sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("for_reflectance", [True, False])
def test_the_matrix_is_the_regularised_least_squares_solution(for_reflectance: bool) -> None:
    """Least squares over wavelength, on a grid that is finer at one end, with the penalty as further equations."""
    rng = np.random.default_rng(1)
    grid = np.concatenate([np.arange(500.0, 600.0, 0.5), np.arange(600.0, 700.0, 2.0)])
    curves = np.exp(-(((grid - np.array([[545.0], [570.0], [625.0], [660.0]])) / 30) ** 2)) + 0.1
    responses = Responses(grid, curves, 0.5 + 0.5 * rng.random(grid.size))
    centres = np.array([540.0, 580.0, 620.0, 660.0])
    matrix = correction_matrix_from_responses(responses, centres, 20, 0.05, for_reflectance=for_reflectance)

    nm_per_sample = np.gradient(grid)
    real = responses.effective()
    if for_reflectance:
        real = real / (real * nm_per_sample).sum(axis=1, keepdims=True)
    virtual = np.exp(-4 * np.log(2) * ((grid - centres[:, None]) / 20) ** 2)  # half of its height 10 nm from its centre
    virtual /= (virtual * nm_per_sample).sum(axis=1, keepdims=True)
    penalty = 0.05 * np.mean((real**2 * nm_per_sample).sum(axis=1))
    equations = np.vstack([(real * np.sqrt(nm_per_sample)).T, np.sqrt(penalty) * np.eye(4)])
    wanted = np.vstack([(virtual * np.sqrt(nm_per_sample)).T, np.zeros((4, 4))])
    expected = np.linalg.lstsq(equations, wanted, rcond=None)[0].T
    if for_reflectance:
        expected /= expected.sum(axis=1, keepdims=True)
    assert np.allclose(matrix, expected, rtol=1e-6)


def test_more_ridge_gives_less_noise() -> None:
    sensor = get_sensor("generic-nir-5x5")
    assert sensor.responses is not None
    gains = [
        np.sqrt((correction_matrix_from_responses(sensor.responses, sensor.wavelengths_nm, ridge=r) ** 2).sum(axis=1))
        for r in (0.002, 0.02, 0.2)
    ]
    assert (gains[0] > gains[1]).all()
    assert (gains[1] > gains[2]).all()


def test_the_generic_camera_has_its_documented_lobe_and_pass_band() -> None:
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


def test_a_position_without_response_is_refused() -> None:
    responses = Responses(np.arange(500.0, 600.0), np.eye(2, 1) * np.ones(100))
    with pytest.raises(SensorError, match="no response"):
        correction_matrix_from_responses(responses, np.array([550.0]))


def test_a_virtual_band_outside_the_grid_is_refused() -> None:
    responses = Responses(np.arange(500.0, 600.0), np.ones((1, 100)))
    with pytest.raises(SensorError, match="no response"):
        correction_matrix_from_responses(responses, np.array([5000.0]))


def test_a_row_that_sums_to_zero_is_refused() -> None:
    """No filter responds where the band lies."""
    grid = np.arange(500.0, 700.0)
    responses = Responses(grid, np.exp(-(((grid - 520) / 8) ** 2))[None])
    with pytest.raises(SensorError, match="a row sums to"):
        correction_matrix_from_responses(responses, np.array([650.0]), for_reflectance=True)


class TestModelledResponses:
    """Each parameter of a model by itself. Positions of the 2×3 mosaic peak at 600, 620 … 700 nm."""

    PEAKS = (600.0, 620.0, 640.0, 660.0, 680.0, 700.0)

    def curves(self, **figures: float) -> tuple[np.ndarray, Responses]:
        plain = {"neighbour_leak": 0.0, "lobe_height": 0.0, "efficiency_at_end": 1.0, "edge_nm": 6.0}
        model = ResponseModel(
            peaks_nm=self.PEAKS,
            fwhm_nm=(10.0,) * 6,
            lobe_ratio=0.75,
            lobe_fwhm_nm=14.0,
            passband_nm=(450.0, 850.0),
            grid_nm=(400.0, 900.0, 1.0),
            **plain | figures,
        )
        responses = modelled_responses(model, (2, 3))
        return responses.values, responses

    def test_a_filter_is_a_gaussian_of_its_width(self) -> None:
        values, responses = self.curves()
        assert responses.wavelengths_nm.tolist() == list(range(400, 901))
        assert responses.wavelengths_nm[values.argmax(axis=1)].tolist() == list(self.PEAKS)
        assert np.allclose(values[:, [200, 220, 240, 260, 280, 300]].diagonal(), 1)
        assert values[0, [195, 205]] == pytest.approx(0.5)

    def test_the_second_lobe_grows_with_the_peak(self) -> None:
        values, _ = self.curves(lobe_height=0.3)
        lobes = [values[position, round(0.75 * peak) - 400] for position, peak in enumerate(self.PEAKS)]
        assert lobes == pytest.approx([0, 0.06, 0.12, 0.18, 0.24, 0.3], abs=3e-3)
        assert values[5, 525 - 400 + 7] == pytest.approx(0.15)

    def test_efficiency_falls_towards_the_longest_wavelength(self) -> None:
        values, _ = self.curves(efficiency_at_end=0.5)
        assert values.max(axis=1) == pytest.approx([1, 0.9, 0.8, 0.7, 0.6, 0.5])

    def test_light_leaks_in_from_neighbours_in_adjacent_tiles(self) -> None:
        values, _ = self.curves(neighbour_leak=0.2)
        # Position 0 has position 2 on its left, 1 on its right, and 3 above and below.
        leaked = [values[0, int(peak) - 400] for peak in self.PEAKS]
        assert leaked == pytest.approx([0.8, 0.05, 0.05, 0.1, 0, 0], abs=1e-4)

    def test_the_mounted_filter_limits_the_range(self) -> None:
        _, responses = self.curves(edge_nm=20.0)
        passed = responses.rejection_filter
        assert passed is not None
        assert passed[[50, 450]] == pytest.approx(0.5)
        assert passed[[40, 60, 440, 460]] == pytest.approx([0.1, 0.9, 0.9, 0.1], abs=1e-3)
