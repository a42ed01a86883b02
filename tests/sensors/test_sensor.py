"""What a sensor is: bands, positions, fingerprints, smaller frames."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from gliomap.errors import SensorError
from gliomap.sensors import (
    ActiveArea,
    MosaicSensor,
    Responses,
    SpectralCorrection,
    get_sensor,
    resized,
    sensor_table,
)


def two_by_two(**changes: object) -> MosaicSensor:
    """A small sensor of four bands without correction; positions shuffled."""
    values: dict[str, object] = {
        "name": "small",
        "description": "",
        "frame_shape": (9, 13),
        "active_area": ActiveArea(1, 2, 8, 10),
        "pattern": (2, 2),
        "bit_depth": 12,
        "saturation": 4000,
        "wavelengths_nm": np.array([500.0, 600.0, 700.0, 800.0]),
        "wavelengths_nominal": False,
        "band_of_position": (2, 0, 3, 1),
    } | changes
    return MosaicSensor(**cast("dict[str, Any]", values))


def test_without_correction_channels_are_sorted_by_wavelength() -> None:
    sensor = two_by_two()
    # position 1 feeds band 0, position 3 band 1, position 0 band 2, position 2 band 3
    assert np.array_equal(sensor.band_matrix() @ [10, 11, 12, 13], [11, 13, 10, 12])
    assert sensor.uncorrected() is sensor
    assert sensor.correction_after_division
    corrected = replace(sensor, correction=SpectralCorrection(np.eye(4) * 0.5))
    assert np.array_equal(corrected.uncorrected().band_matrix(), sensor.band_matrix())
    assert corrected.uncorrected().band_of_position == sensor.band_of_position


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"active_area": ActiveArea(2, 2, 8, 10)}, "extends beyond the frame"),
        ({"active_area": ActiveArea(0, 0, 7, 10)}, "not whole tiles"),
        ({"saturation": 4096}, "does not fit 12 bits"),
        ({"band_of_position": (0, 1, 2)}, "band_of_position has 3 entries"),
        ({"band_of_position": (0, 1, 2, 2)}, "a band twice"),
        ({"band_of_position": (0, 1, 2, 4)}, "outside 0…3"),
        ({"wavelengths_nm": np.array([500.0, 600.0, 550.0, 800.0])}, "ascending"),
        ({"wavelengths_nm": np.array([500.0, 600.0, 700.0, np.nan])}, "ascending"),
        ({"wavelengths_nm": np.array([500.0])}, "4 wavelengths"),
        ({"correction": SpectralCorrection(np.eye(3))}, "3 columns for 4 positions"),
        ({"defective_pixels": np.array([[9, 0]])}, "defective pixel"),
        ({"responses": Responses(np.arange(3.0), np.ones((3, 3)))}, "responses have shape"),
        ({"peaks_nm": np.array([700.0, 500.0, 800.0])}, "4 peaks"),
        ({"peaks_nm": np.array([700.0, 500.0, 800.0, np.inf])}, "4 peaks"),
    ],
)
def test_a_description_that_contradicts_itself_is_refused(changes: dict[str, object], fault: str) -> None:
    with pytest.raises(SensorError, match=fault):
        two_by_two(**changes)


def test_correction_after_division_needs_rows_that_sum_to_one() -> None:
    SpectralCorrection(np.array([[0.6, 0.40005]]), after_division=True)
    with pytest.raises(SensorError, match=r"only within 0\.001"):
        SpectralCorrection(np.array([[0.6, 0.401]]), after_division=True)
    with pytest.raises(SensorError, match="finite"):
        SpectralCorrection(np.array([[np.nan, 1.0]]))


@pytest.mark.parametrize(
    ("grid", "values", "rejection"),
    [
        (np.arange(3.0), np.ones((4, 2)), None),
        (np.array([1.0, 1.0, 2.0]), np.ones((4, 3)), None),
        (np.arange(3.0), np.full((4, 3), np.inf), None),
        (np.arange(3.0), np.ones((4, 3)), np.ones(2)),
        (np.arange(3.0), np.eye(4, 3), np.zeros(3)),
    ],
)
def test_responses_must_fit_their_grid(grid: np.ndarray, values: np.ndarray, rejection: np.ndarray | None) -> None:
    with pytest.raises(SensorError):
        Responses(grid, values, rejection)


def test_the_arrays_of_a_sensor_are_copies_and_read_only() -> None:
    waves = np.array([500.0, 600.0, 700.0, 800.0])
    sensor = two_by_two(wavelengths_nm=waves)
    waves[0] = 1.0
    assert sensor.wavelengths_nm[0] == 500.0
    responses, correction = Responses(np.arange(3.0), np.ones((4, 3)), np.ones(3)), SpectralCorrection(np.eye(4))
    for array in (
        sensor.wavelengths_nm,
        sensor.defective_pixels,
        correction.matrix,
        responses.wavelengths_nm,
        responses.values,
        responses.rejection_filter,
    ):
        assert array is not None
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1


def test_the_fingerprint_covers_all_that_affects_a_cube_and_nothing_else() -> None:
    sensor = get_sensor("nemesis")
    same = replace(sensor, name="other", description="x", source="y")
    assert same.fingerprint() == sensor.fingerprint()
    assert len(sensor.fingerprint()) == 64
    correction = sensor.correction
    assert correction is not None
    matrix = correction.matrix.copy()
    matrix[3, 3] += 1e-5
    others = [
        replace(sensor, correction=SpectralCorrection(matrix, after_division=True)),
        replace(sensor, correction=SpectralCorrection(correction.matrix, after_division=False)),
        replace(sensor, wavelengths_nm=sensor.wavelengths_nm + 0.5),
        replace(sensor, active_area=ActiveArea(3, 0, 1085, 2045)),
        replace(sensor, defective_pixels=np.array([[5, 5]])),
        replace(sensor, saturation=1000),
        sensor.uncorrected(),
        resized(sensor, 10, 10),
    ]
    assert len({sensor.fingerprint(), *(other.fingerprint() for other in others)}) == len(others) + 1


@pytest.mark.parametrize(
    "change",
    [
        {"frame_shape": (10, 13)},
        {"frame_shape": (9, 14)},
        {"active_area": ActiveArea(0, 2, 8, 10)},
        {"active_area": ActiveArea(1, 1, 8, 10)},
        {"active_area": ActiveArea(1, 2, 6, 10)},
        {"active_area": ActiveArea(1, 2, 8, 8)},
        {"pattern": (4, 1)},
        {"bit_depth": 13},
        {"band_of_position": (0, 2, 3, 1)},
        {"has_bias_offset": False},
        {"correction": SpectralCorrection(np.eye(4)[[1, 3, 0, 2]], after_division=True)},
    ],
    ids=str,
)
def test_every_property_of_a_camera_changes_the_fingerprint(change: dict[str, object]) -> None:
    assert two_by_two(**change).fingerprint() != two_by_two().fingerprint()


def test_the_active_area_is_the_part_of_a_frame_with_filters() -> None:
    rows, columns = np.indices((9, 13))
    sensor = two_by_two()
    assert np.array_equal(sensor.active(rows), np.broadcast_to(np.arange(1, 9)[:, None], (8, 10)))
    assert np.array_equal(sensor.active(columns), np.broadcast_to(np.arange(2, 12), (8, 10)))


def test_a_smaller_frame_keeps_the_camera() -> None:
    sensor = replace(get_sensor("nemesis"), defective_pixels=np.array([[7, 7], [33, 7], [7, 43], [900, 900]]))
    small = resized(sensor, 6, 8)
    assert small.frame_shape == (33, 43)
    assert small.cube_shape == (6, 8)
    assert small.defective_pixels.tolist() == [[7, 7]]
    assert small.correction is sensor.correction
    with pytest.raises(SensorError):
        resized(sensor, 0, 8)


def test_uncorrected_channels_take_the_peaks_of_the_responses() -> None:
    grid = np.arange(400.0, 900.0)
    peaks = np.array([700.0, 500.0, 800.0, 600.0])
    values = np.exp(-(((grid - peaks[:, None]) / 10) ** 2))
    sensor = two_by_two(
        wavelengths_nm=np.array([590.0, 690.0]),
        band_of_position=(1, 0, 1, 0),
        correction=SpectralCorrection(np.array([[0, 0.5, 0, 0.5], [0.5, 0, 0.5, 0]]), after_division=True),
        responses=Responses(grid, values),
    )
    plain = sensor.uncorrected()
    assert plain.wavelengths_nm.tolist() == [500, 600, 700, 800]
    assert plain.n_bands == 4
    # Each wavelength names the position that peaks there, also where several positions feed one band.
    assert np.array_equal(plain.band_matrix() @ peaks, plain.wavelengths_nm)
    swapped = replace(sensor, responses=Responses(grid, values[[2, 3, 0, 1]]))
    assert np.array_equal(swapped.uncorrected().band_matrix() @ peaks[[2, 3, 0, 1]], plain.wavelengths_nm)
    with pytest.raises(SensorError, match="no known wavelengths"):
        replace(sensor, responses=None).uncorrected()


def test_a_lobe_outside_the_bands_does_not_give_a_channel_its_wavelength() -> None:
    """An example is a camera behind a long-pass filter whose responses were measured without it."""
    grid, first = np.arange(400.0, 1001.0), np.array([760.0, 700.0, 900.0, 820.0])
    curves = np.exp(-(((grid - first[:, None]) / 8) ** 2)) * 0.4
    curves[2] += 0.6 * np.exp(-(((grid - 520) / 8) ** 2))
    sensor = two_by_two(
        wavelengths_nm=np.sort(first),
        band_of_position=(1, 0, 3, 2),
        correction=SpectralCorrection(np.eye(4)[[1, 0, 3, 2]] * 0.5),
        responses=Responses(grid, curves),
    )
    plain = sensor.uncorrected()
    assert plain.wavelengths_nm.tolist() == [700, 760, 820, 900]
    assert np.array_equal(plain.band_matrix() @ first, plain.wavelengths_nm)
    assert [row.peak_nm for row in sensor_table(sensor)] == [700, 760, 820, 900]
    # With a known rejection filter, the highest sample that it lets through counts, wherever it lies.
    assert sensor.responses is not None
    behind = replace(sensor.responses, rejection_filter=(grid < 850).astype(float))
    assert behind.peaks_nm(sensor.wavelengths_nm).tolist() == [760, 700, 520, 820]
    # Neither the flank of a distant lobe nor a very faint response is a peak among the bands.
    assert sensor.responses.peaks_nm(np.array([700.0, 760.0, 820.0])).tolist() == [760, 700, 520, 820]
    faint = Responses(grid, np.where(grid < 600, curves, 0.2 * curves))
    assert faint.peaks_nm(sensor.wavelengths_nm).tolist() == [760, 700, 520, 820]
    assert sensor.responses.peaks_nm(np.array([1200.0, 1300.0])).tolist() == [760, 700, 520, 820]


@pytest.mark.parametrize("bands", [[500.0, 600.0, 700.0, 701.0], [500.0, 650.0]])
def test_peaks_that_contradict_the_order_of_the_bands_are_not_used(bands: list[float]) -> None:
    """The channels then have the wavelengths of the bands that they feed, marked as nominal."""
    grid, few = np.arange(450.0, 851.0), len(bands) == 2
    peaks = np.array([701.0, 500.0, 700.0, 600.0])
    sensor = two_by_two(
        wavelengths_nm=np.array(bands),
        band_of_position=(1, 0, 0, 1) if few else (2, 0, 3, 1),
        correction=SpectralCorrection(np.eye(4)[: len(bands)] * 0.5),
        responses=Responses(grid, np.exp(-(((grid - peaks[:, None]) / 10) ** 2)), np.ones_like(grid)),
    )
    plain = sensor.uncorrected()
    assert plain.wavelengths_nm.tolist() == ([500, 500, 650, 650] if few else bands)
    assert plain.wavelengths_nominal
    assert np.argsort(plain.band_of_position).tolist() == ([1, 2, 3, 0] if few else [1, 3, 0, 2])


def test_packaged_sensors_keep_the_fingerprints_stored_in_runs() -> None:
    nemesis, generic = get_sensor("nemesis"), get_sensor("generic-nir-5x5")
    assert nemesis.fingerprint() == "664583d51cd3c86d0fc4284c9cac047c4b6d199a1a8e018796720c26fcb3162f"
    assert nemesis.uncorrected().fingerprint() == "272a1fa0351afd2c2d65b1a525009c07e14c3cada07f035f56357da42ac189b1"
    assert generic.uncorrected().fingerprint() == "cad25920815fe5617884bf3e1e52a5daabf4fdb55752dbf062a24049be619ee0"


def test_the_wavelengths_of_uncorrected_nemesis_are_nominal() -> None:
    plain = get_sensor("nemesis").uncorrected()
    assert plain.wavelengths_nominal
    assert plain.correction is None
    assert plain.band_matrix().sum() == 25


def test_the_table_has_a_row_for_each_band() -> None:
    rows = sensor_table(get_sensor("generic-nir-5x5"))
    assert [row.band for row in rows] == list(range(25))
    assert all(row.peak_nm is not None and abs(row.peak_nm - row.wavelength_nm) <= 1 for row in rows)
    assert all(row.fwhm_nm is not None and 8.5 < row.fwhm_nm < 17 for row in rows)
    assert sorted(position for row in rows for position in row.positions) == list(range(25))


def test_the_width_of_a_filter_ends_with_its_measured_range() -> None:
    grid = np.arange(500.0, 601.0)
    curves = np.exp(-4 * np.log(2) * ((grid - np.array([[550.0], [500.0], [600.0]])) / [[10.0], [12.0], [16.0]]) ** 2)
    sensor = two_by_two(
        wavelengths_nm=np.array([500.0, 550.0, 560.0, 600.0]),
        band_of_position=(1, 0, 3, 2),
        responses=Responses(grid, np.vstack([curves, np.ones_like(grid)])),
    )
    assert [row.fwhm_nm for row in sensor_table(sensor)] == pytest.approx([6, 10, 100, 8], abs=0.05)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    ("curve", "width"),
    [
        ([1.0, 0.3, 0.0, 0.0], 50 / 7),  # from the end to where it is half, 0.5 / 0.7 of a step
        ([0.9, 0.8, 1.0, 0.0], 25.0),  # a flank that falls and rises, and does not reach half
        ([1.0, 1.0, 1.0, 1.0], 30.0),
        ([0.5, 1.0, 0.5, 0.0], 20.0),
    ],
)
def test_the_width_of_a_filter_that_peaks_at_an_end_of_its_grid(
    curve: list[float], width: float, mirrored: bool
) -> None:
    values = np.tile(curve[::-1] if mirrored else curve, (4, 1))
    sensor = two_by_two(responses=Responses(np.array([500.0, 510.0, 520.0, 530.0]), values))
    assert [row.fwhm_nm for row in sensor_table(sensor)] == pytest.approx([width] * 4)


def test_a_filter_that_sees_no_light_has_no_peak() -> None:
    """An example is a filter that lies outside the range of the mounted band-pass filter."""
    values = np.ones((4, 3))
    values[2] = 0
    sensor = two_by_two(responses=Responses(np.array([500.0, 550.0, 600.0]), values))
    rows = {row.positions[0]: row for row in sensor_table(sensor)}
    assert (rows[2].peak_nm, rows[2].fwhm_nm) == (None, None)
    assert rows[1].fwhm_nm == 100


def test_the_table_without_responses_has_noise_gains_but_no_peaks() -> None:
    rows = sensor_table(get_sensor("nemesis"))
    assert all(row.peak_nm is None and row.fwhm_nm is None and row.nominal for row in rows)
    # the last band is poorly determined
    assert rows[24].noise_gain == pytest.approx(2.35, abs=0.005)
    assert rows[24].noise_gain == max(row.noise_gain for row in rows)
    assert all(row.row_sum == pytest.approx(1, abs=1e-5) for row in rows)
