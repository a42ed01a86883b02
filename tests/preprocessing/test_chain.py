"""From raw, white and dark to a cube: its values, and the exposures behind them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gliomap.captures import Capture, Exposures
from gliomap.errors import CaptureError, ReferenceFrameError
from gliomap.preprocessing import (
    PreprocessingConfig,
    prepare_references,
    preprocess,
    preprocess_capture,
    raw_reasons,
    reflectance,
)
from gliomap.sensors import MosaicSensor, SpectralCorrection
from preprocessing.scenes import AFTER, PLAIN, SENSORS, UInt16, pixel, scene


def by_hand(raw: UInt16, white: UInt16, dark: UInt16, sensor: MosaicSensor, row: int, column: int) -> np.ndarray:
    """The spectrum of one tile in float64, straight from the definition."""
    places = [pixel(sensor, row, column, position) for position in range(25)]
    values = [np.array([frame[place] for place in places], float) for frame in (raw, white, dark)]
    matrix = sensor.band_matrix()
    if sensor.correction_after_division:
        reflectance = matrix @ ((values[0] - values[2]) / (values[1] - values[2]))
    else:
        reflectance = (matrix @ (values[0] - values[2])) / (matrix @ (values[1] - values[2]))
    return reflectance / np.sqrt(np.mean(reflectance**2))


@SENSORS
def test_every_pixel_follows_the_definition(sensor: MosaicSensor) -> None:
    raw, white, dark = scene(sensor)
    cube = preprocess(raw, prepare_references(white, dark, sensor))
    assert cube.data.shape == (3, 4, 25)
    assert cube.mask.all()
    assert cube.wavelengths_nm is not None
    assert np.array_equal(cube.wavelengths_nm, sensor.wavelengths_nm)
    for row in range(3):
        for column in range(4):
            assert np.allclose(cube.data[row, column], by_hand(raw, white, dark, sensor, row, column), atol=2e-4)


@SENSORS
def test_reflectance_is_the_cube_before_normalisation(sensor: MosaicSensor) -> None:
    raw, white, dark = scene(sensor)
    plain = reflectance(raw, prepare_references(white, dark, sensor))
    assert plain.units == "reflectance"
    spectrum = plain.data[1, 2] / np.sqrt(np.mean(plain.data[1, 2] ** 2))
    assert np.allclose(spectrum, by_hand(raw, white, dark, sensor, 1, 2), atol=2e-4)


def test_the_order_of_correction_and_division_matters() -> None:
    raw, white, dark = scene(AFTER)
    correction = AFTER.correction
    assert correction is not None
    other = replace(AFTER, correction=SpectralCorrection(correction.matrix, after_division=False))
    cubes = [preprocess(raw, prepare_references(white, dark, sensor)).data for sensor in (AFTER, other)]
    assert np.abs(cubes[0] - cubes[1]).max() > 0.05


@SENSORS
def test_without_correction_positions_are_sorted_into_bands(sensor: MosaicSensor) -> None:
    raw, white, dark = scene(sensor)
    config = PreprocessingConfig(spectral_correction=False, normalisation="none")
    cube = preprocess(raw, prepare_references(white, dark, sensor, config))
    for position, band in enumerate(sensor.band_of_position):
        place = pixel(sensor, 1, 2, position)
        expected = (float(raw[place]) - dark[place]) / (float(white[place]) - dark[place])
        assert cube.data[1, 2, band] == pytest.approx(expected, rel=1e-5)
    assert cube.units == "reflectance, not spectrally corrected"


class TestExposures:
    @SENSORS
    def test_a_white_of_half_the_exposure_gives_the_same_reflectance(self, sensor: MosaicSensor) -> None:
        """The shorter white is scaled by the ratio of the exposures."""
        raw, white, dark = scene(sensor)
        white = dark + (white - dark) // 2 * np.uint16(2)
        short = dark + (white - dark) // 2
        full = preprocess(raw, prepare_references(white, dark, sensor, PLAIN))
        halved = preprocess(
            raw,
            prepare_references(short, dark, sensor, PLAIN, exposures=Exposures(10, 5, 10), white_dark=dark),
        )
        assert np.allclose(full.data, halved.data, rtol=1e-4, atol=1e-6)

    def test_the_white_uses_its_own_dark(self) -> None:
        _, white, dark = scene(AFTER)
        own = dark + np.uint16(20)
        a = prepare_references(white + np.uint16(20), dark, AFTER, exposures=Exposures(10, 10, 10), white_dark=own)
        # Both darks have the exposure of the white; it uses its own.
        b = prepare_references(white, dark, AFTER)
        assert np.array_equal(a.gain, b.gain)
        assert np.array_equal(a.dark, b.dark)

    def test_a_camera_without_bias_scales_its_dark(self) -> None:
        raw, white, dark = scene(AFTER)
        sensor = replace(AFTER, has_bias_offset=False)
        long_dark = dark * np.uint16(4)
        scaled = prepare_references(white, long_dark, sensor, exposures=Exposures(10, 10, 40))
        assert np.array_equal(scaled.dark, dark)
        assert np.array_equal(
            preprocess(raw, scaled).data, preprocess(raw, prepare_references(white, dark, AFTER)).data
        )
        with pytest.raises(ReferenceFrameError, match="bias offset"):
            prepare_references(white, long_dark, AFTER, exposures=Exposures(10, 10, 40))

    def test_a_capture_passes_on_its_exposures_and_white_dark(self) -> None:
        raw, white, dark = scene(AFTER)
        capture = Capture(raw, white, dark, AFTER, white_dark=dark, exposures=Exposures(10, 5, 10, 5))
        expected = prepare_references(white, dark, AFTER, PLAIN, exposures=Exposures(10, 5, 10, 5), white_dark=dark)
        assert np.array_equal(preprocess_capture(capture, PLAIN).data, preprocess(raw, expected).data)


@SENSORS
def test_references_hold_the_inputs_of_the_frame_graph(sensor: MosaicSensor) -> None:
    """A convolution of kernel and stride 5×5 on (raw − dark) · gain, times scale, gives the same reflectance."""
    raw, white, dark = scene(sensor)
    references = prepare_references(white, dark, sensor, PLAIN)
    assert references.dark.shape == references.gain.shape == sensor.frame_shape
    assert references.scale.shape == (25, 3, 4)
    assert {references.dark.dtype, references.gain.dtype, references.scale.dtype} == {np.dtype(np.float32)}
    area = sensor.active_area
    calibrated = ((raw - references.dark) * references.gain)[
        area.top : area.top + area.height, area.left : area.left + area.width
    ]
    kernels = references.matrix.reshape(25, 5, 5)
    reflectance = np.einsum("hiwj,bij->bhw", calibrated.reshape(3, 5, 4, 5), kernels) * references.scale
    assert np.allclose(reflectance.transpose(1, 2, 0), preprocess(raw, references).data, rtol=1e-3, atol=1e-5)
    if sensor.correction_after_division:
        assert (references.scale == 1).all()
    else:
        assert (references.gain == 1).all()


def test_reasons_are_read_only_and_frames_are_not_modified() -> None:
    raw, white, dark = scene(AFTER)
    references = prepare_references(white, dark, AFTER)
    with pytest.raises(ValueError, match="read-only"):
        raw_reasons(raw, references)[0, 0] = 1
    before = raw.copy(), white.copy(), dark.copy()
    preprocess(raw, references)
    assert all(np.array_equal(a, b) for a, b in zip(before, (raw, white, dark), strict=True))


def test_frames_of_another_shape_or_type_are_refused() -> None:
    raw, white, dark = scene(AFTER)
    references = prepare_references(white, dark, AFTER)
    for wrong in (raw[1:], raw.astype(np.uint8), raw.astype(np.float32)):
        with pytest.raises(CaptureError, match="raw frame"):
            preprocess(wrong, references)
    with pytest.raises(CaptureError, match="white reference"):
        prepare_references(white[1:], dark, AFTER)
    with pytest.raises(CaptureError, match="dark reference: is uint16 of shape"):
        prepare_references(white, dark[1:], AFTER)
    with pytest.raises(CaptureError, match="dark reference of the white"):
        prepare_references(white, dark, AFTER, white_dark=dark[1:])
