"""The phantom's camera has the filters, leaks, noise, saturation and vignetting of a real one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gliomap.errors import SensorError
from gliomap.phantom import get_difficulty
from gliomap.phantom._camera import (
    BIAS_DN,
    Exposer,
    check_phantom_sensor,
    filter_weights,
    light_change,
    mosaic,
    vignetting,
)
from gliomap.phantom._optics import WAVELENGTHS_NM
from gliomap.phantom._patient import CameraDraw
from gliomap.sensors import MosaicSensor, get_sensor, resized

PERFECT = CameraDraw(light_tilt=0, light_bend=0, peak_shift_nm=0, pedestal=0, leak=0, exposure=1)


def centroid(weights: np.ndarray) -> np.ndarray:
    return (weights * WAVELENGTHS_NM).sum(axis=1) / weights.sum(axis=1)


def test_filters_of_a_perfect_camera_peak_at_their_wavelengths(small_sensor: MosaicSensor) -> None:
    weights = filter_weights(small_sensor, PERFECT)
    peaks = WAVELENGTHS_NM[np.argmax(weights, axis=1)]
    expected = small_sensor.wavelengths_nm[list(small_sensor.band_of_position)]
    assert np.abs(peaks - expected).max() <= 5.0


def test_a_peak_shift_moves_every_filter(small_sensor: MosaicSensor) -> None:
    moved = filter_weights(small_sensor, replace(PERFECT, peak_shift_nm=2.0))
    shift = centroid(moved) - centroid(filter_weights(small_sensor, PERFECT))
    # The pass-band does not move, so filters at its ends move by less.
    assert shift.min() > 0.5
    assert shift.max() < 2.1
    assert np.median(shift) == pytest.approx(2.0, abs=0.1)


def test_a_pedestal_adds_its_share_without_moving_peaks(small_sensor: MosaicSensor) -> None:
    clean, flat = filter_weights(small_sensor, PERFECT), filter_weights(small_sensor, replace(PERFECT, pedestal=0.2))
    np.testing.assert_array_equal(np.argmax(flat, axis=1), np.argmax(clean, axis=1))
    added = (flat - clean).sum(axis=1) / flat.sum(axis=1)
    assert added.min() > 0.1
    assert added.max() < 0.35


def test_a_leak_affects_only_filters_of_long_wavelengths(small_sensor: MosaicSensor) -> None:
    clean, leaking = filter_weights(small_sensor, PERFECT), filter_weights(small_sensor, replace(PERFECT, leak=0.3))
    order = np.argsort(small_sensor.band_of_position)
    share = ((leaking - clean).sum(axis=1) / clean.sum(axis=1))[order]
    np.testing.assert_allclose(share[:10], 0, atol=1e-9)
    assert share[-1] > 0.15
    short = WAVELENGTHS_NM < 720
    assert (leaking - clean)[order[-1], short].sum() > 0.9 * (leaking - clean)[order[-1]].sum()


def test_unchanged_light_has_no_effect() -> None:
    np.testing.assert_array_equal(light_change(PERFECT), 1.0)


def test_mosaic_interpolates_a_ramp_exactly() -> None:
    rows, columns = np.mgrid[0:12, 0:9].astype(np.float32)
    bands = np.repeat((3 * rows + 2 * columns)[..., None], 25, axis=2)
    result = mosaic(bands, (5, 5))
    fine_rows, fine_columns = (np.arange(60) - 2) / 5, (np.arange(45) - 2) / 5
    expected = 3 * fine_rows[:, None] + 2 * fine_columns[None, :]
    np.testing.assert_allclose(result[2:-2, 2:-2], expected[2:-2, 2:-2], rtol=1e-5, atol=1e-4)


def test_mosaic_puts_each_position_in_its_place() -> None:
    bands = np.broadcast_to(np.arange(25, dtype=np.float32), (3, 4, 25))
    result = mosaic(np.ascontiguousarray(bands), (5, 5))
    np.testing.assert_allclose(result[5:10, 10:15].ravel(), np.arange(25), rtol=1e-6)


def test_noise_has_the_variance_of_shot_and_read_noise(small_sensor: MosaicSensor) -> None:
    spread = get_difficulty("realistic").camera
    rng = np.random.default_rng(1)
    exposer = Exposer.make(small_sensor, spread, rng)
    exposer = replace(exposer, sensitivity=np.ones_like(exposer.sensitivity))
    light = np.full(exposer.sensitivity.shape, 5000, np.float32)
    first, second = (exposer.expose(light, rng).astype(float) for _ in range(2))
    area = np.s_[: light.shape[0], : light.shape[1]]
    gain = (1023 - BIAS_DN) / spread.full_well
    variance = (first - second)[area].var() / 2
    assert variance == pytest.approx(gain**2 * (5000 + spread.read_noise**2) + 1 / 12, rel=0.03)
    assert first[area].mean() == pytest.approx(BIAS_DN + gain * 5000, rel=0.005)


def test_frames_saturate_and_darks_are_dark(small_sensor: MosaicSensor) -> None:
    rng = np.random.default_rng(1)
    exposer = Exposer.make(small_sensor, get_difficulty("realistic").camera, rng)
    flooded = exposer.expose(np.full(exposer.sensitivity.shape, 1e6, np.float32), rng)
    dark = exposer.expose(None, rng)
    assert (flooded == small_sensor.saturation).all()
    assert dark.dtype == np.uint16
    assert dark.shape == small_sensor.frame_shape
    assert 5 < dark.mean() < 20


def test_vignetting_darkens_the_corners() -> None:
    field = vignetting((50, 80), (0.0, 0.0))
    assert field.max() <= 1
    assert field[0, 0] < 0.75 < 0.95 < field[25, 40]


def test_a_sensor_without_responses_is_refused() -> None:
    with pytest.raises(SensorError, match="generic-nir-5x5"):
        check_phantom_sensor(get_sensor("nemesis"))


def test_a_sensor_of_another_spectral_range_is_refused(small_sensor: MosaicSensor) -> None:
    assert small_sensor.responses is not None
    visible = replace(small_sensor.responses, wavelengths_nm=small_sensor.responses.wavelengths_nm - 450)
    with pytest.raises(SensorError, match="1000 nm"):
        check_phantom_sensor(replace(small_sensor, responses=visible))


def test_a_frame_too_small_for_a_scene_is_refused() -> None:
    with pytest.raises(SensorError, match="8×12"):
        check_phantom_sensor(resized(get_sensor("generic-nir-5x5"), 8, 12))
