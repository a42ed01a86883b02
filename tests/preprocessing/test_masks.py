"""Pixels that preprocessing masks, with their reasons; whatever the frames hold, no cube has a NaN."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gliomap.preprocessing import (
    HyperCube,
    PreprocessingConfig,
    Reason,
    References,
    brightness,
    prepare_references,
    preprocess,
    raw_reasons,
)
from gliomap.sensors import MosaicSensor, SpectralCorrection
from preprocessing.scenes import AFTER, BEFORE, PLAIN, SENSORS, UInt16, pixel, scene


class TestMasks:
    @SENSORS
    def test_one_saturated_pixel_masks_its_tile(self, sensor: MosaicSensor) -> None:
        raw, white, dark = scene(sensor)
        raw[pixel(sensor, 1, 2, 13)] = 1023
        references = prepare_references(white, dark, sensor)
        cube = preprocess(raw, references)
        assert cube.invalid_counts() == {"saturated": 1}
        assert cube.reasons[1, 2] == Reason.SATURATED
        assert not cube.data[1, 2].any()
        assert np.array_equal(raw_reasons(raw, references), cube.reasons)

    @SENSORS
    def test_saturation_outside_the_active_area_masks_nothing(self, sensor: MosaicSensor) -> None:
        raw, white, dark = scene(sensor)
        raw[-1], raw[:, -1] = 1023, 1023
        references = prepare_references(white, dark, sensor)
        assert preprocess(raw, references).mask.all()
        assert not raw_reasons(raw, references).any()

    @SENSORS
    @pytest.mark.parametrize("share", [0.003, 0.05, 0.9])
    def test_each_saturated_pixel_is_found(self, sensor: MosaicSensor, share: float) -> None:
        raw, white, dark = scene(sensor)
        saturated = np.random.default_rng(1).random(raw.shape) < share
        raw[saturated] = 1023
        area, (rows, columns) = sensor.active_area, sensor.pattern
        active = saturated[area.top : area.top + area.height, area.left : area.left + area.width]
        tiles = active.reshape(area.height // rows, rows, area.width // columns, columns).any(axis=(1, 3))
        reasons = raw_reasons(raw, prepare_references(white, dark, sensor))
        np.testing.assert_array_equal(reasons == Reason.SATURATED, tiles)

    @SENSORS
    def test_a_saturated_pixel_is_found_at_every_position(self, sensor: MosaicSensor) -> None:
        raw, white, dark = scene(sensor)
        references = prepare_references(white, dark, sensor)
        area, (rows, columns) = sensor.active_area, sensor.pattern
        for row, column in np.ndindex(area.height, area.width):
            one = raw.copy()
            one[area.top + row, area.left + column] = 1023
            found = np.argwhere(raw_reasons(one, references))
            assert found.tolist() == [[row // rows, column // columns]]

    @SENSORS
    def test_a_saturated_white_pixel_masks_its_tile(self, sensor: MosaicSensor) -> None:
        raw, white, dark = scene(sensor)
        white[pixel(sensor, 0, 3, 24)] = 1023
        assert preprocess(raw, prepare_references(white, dark, sensor)).reasons[0, 3] == Reason.SATURATED

    @SENSORS
    def test_a_white_pixel_equal_to_the_dark_masks_its_tile(self, sensor: MosaicSensor) -> None:
        raw, white, dark = scene(sensor)
        place = pixel(sensor, 2, 0, 7)
        white[place] = dark[place]
        cube = preprocess(raw, prepare_references(white, dark, sensor))
        assert cube.reasons[2, 0] == Reason.DARK
        assert cube.invalid_counts() == {"dark": 1}

    @pytest.mark.parametrize(("light", "valid"), [(20, False), (21, True)])
    def test_a_white_pixel_needs_two_percent_of_full_scale_above_the_dark(self, light: int, valid: bool) -> None:
        raw, white, dark = scene(AFTER)
        place = pixel(AFTER, 2, 0, 7)
        white[place] = dark[place] + light  # 2 % of 1023 is 20.46
        assert preprocess(raw, prepare_references(white, dark, AFTER)).mask[2, 0] == valid

    @pytest.mark.parametrize(("light", "valid"), [(19, False), (20, True)])
    def test_exactly_two_percent_of_full_scale_are_enough(self, light: int, valid: bool) -> None:
        raw, white, dark = scene(AFTER)
        white[:] = dark + np.uint16(light)
        cube = preprocess(raw, prepare_references(white, dark, replace(AFTER, saturation=1000)))
        assert cube.mask.all() == valid

    @SENSORS
    def test_a_white_equal_to_the_dark_everywhere_masks_all_tiles(self, sensor: MosaicSensor) -> None:
        raw, _, dark = scene(sensor)
        cube = preprocess(raw, prepare_references(dark, dark, sensor))
        assert cube.invalid_counts() == {"dark": 12}
        assert not cube.data.any()

    def test_a_corrected_white_that_is_not_safely_positive_masks_its_tile(self) -> None:
        raw, white, dark = scene(BEFORE)
        # The strongest positions of band 0 become dim, none of them too dark by itself: the negative weights then dominate.
        row = BEFORE.band_matrix()[0]
        for position in np.flatnonzero(row > 0):
            place = pixel(BEFORE, 1, 1, int(position))
            white[place] = dark[place] + 30
        cube = preprocess(raw, prepare_references(white, dark, BEFORE))
        assert cube.invalid_counts() == {"dark": 1}
        assert cube.reasons[1, 1] == Reason.DARK

    def test_a_band_weakened_by_the_correction_is_not_masked(self) -> None:
        raw, _, dark = scene(BEFORE)
        matrix = BEFORE.band_matrix().copy()
        matrix[3] = 0
        matrix[3, :2] = 0.010, -0.009  # 10 % is left of band 3: little, but it can be divided by
        weak = replace(BEFORE, correction=SpectralCorrection(matrix, after_division=False))
        cube = preprocess(raw, prepare_references(dark + np.uint16(200), dark, weak, PLAIN))
        assert cube.mask.all()
        tile = (raw.astype(float) - dark)[3, 1:3]
        assert cube.data[0, 0, 3] == pytest.approx(matrix[3, :2] @ tile / (matrix[3, :2].sum() * 200), rel=1e-4)

    @pytest.mark.parametrize("sign", [1, -1])
    def test_a_band_that_cancels_out_up_to_rounding_is_masked(self, sign: int) -> None:
        raw, _, dark = scene(BEFORE)
        matrix = BEFORE.band_matrix().copy()
        matrix[3] = 0
        matrix[3, :3] = sign * 0.1, sign * 0.2, -sign * 0.3
        hopeless = replace(BEFORE, correction=SpectralCorrection(matrix, after_division=False))
        assert preprocess(raw, prepare_references(dark + np.uint16(200), dark, hopeless)).invalid_counts() == {
            "dark": 12
        }

    @pytest.mark.parametrize("size", [0.01, 1, 100])
    @pytest.mark.parametrize(("left", "valid"), [(5e-6, False), (1e-5, True)])
    def test_a_band_is_masked_below_a_millionth_of_full_scale_after_amplification(
        self, size: float, left: float, valid: bool
    ) -> None:
        """The limit is 1e-6 · 1023 · √2 · size; 200 · left · size remains of the light."""
        _, _, dark = scene(BEFORE)
        matrix = BEFORE.band_matrix().copy()
        matrix[3] = 0
        matrix[3, :2] = size, -size * (1 - left)
        sensor = replace(BEFORE, correction=SpectralCorrection(matrix, after_division=False))
        assert prepare_references(dark + np.uint16(200), dark, sensor).reasons.any() != valid

    @SENSORS
    def test_a_raw_frame_equal_to_the_dark_has_zero_brightness(self, sensor: MosaicSensor) -> None:
        _, white, dark = scene(sensor)
        raw = dark.copy()
        raw[pixel(sensor, 0, 0, 5)] += 200
        cube = preprocess(raw, prepare_references(white, dark, sensor))
        assert cube.invalid_counts() == {"zero_brightness": 11}
        assert cube.mask[0, 0]

    @SENSORS
    def test_a_defective_pixel_masks_its_tile(self, sensor: MosaicSensor) -> None:
        raw, white, dark = scene(sensor)
        inside, (last_row, last_column) = pixel(sensor, 2, 3, 11), np.array(sensor.frame_shape) - 1
        outside = [(last_row, last_column), (last_row, inside[1]), (inside[0], last_column)]
        broken = replace(sensor, defective_pixels=np.array([inside, *outside]))
        cube = preprocess(raw, prepare_references(white, dark, broken))
        assert cube.invalid_counts() == {"defective": 1}
        assert cube.reasons[2, 3] == Reason.DEFECTIVE

    def test_reasons_are_combined(self) -> None:
        raw, white, dark = scene(AFTER)
        place = pixel(AFTER, 1, 1, 3)
        raw[place], white[place] = 1023, dark[place]
        cube = preprocess(raw, prepare_references(white, dark, AFTER))
        assert cube.reasons[1, 1] == Reason.SATURATED | Reason.DARK

    @SENSORS
    def test_masked_tiles_have_scale_zero(self, sensor: MosaicSensor) -> None:
        _, white, dark = scene(sensor)
        white[pixel(sensor, 1, 2, 6)] = 0
        references = prepare_references(white, dark, sensor)
        assert not references.scale[:, 1, 2].any()
        assert references.scale[:, references.reasons == 0].all()


FRAMES = {
    sensor.name: hnp.arrays(
        np.uint16, sensor.frame_shape, elements=st.integers(0, 2**16 - 1), fill=st.integers(0, 1100)
    )
    for sensor in (AFTER, BEFORE)
}


def _invariants(cube: HyperCube, raw: UInt16, references: References) -> None:
    assert np.isfinite(cube.data).all()
    assert np.array_equal(cube.mask, cube.reasons == 0)
    assert not cube.data[~cube.mask].any()
    levels = brightness(cube.data)
    if references.config.normalisation == "brightness":
        assert np.allclose(levels[cube.mask], 1, atol=1e-4)
    without_brightness = cube.reasons & ~np.uint8(Reason.ZERO_BRIGHTNESS)
    assert np.array_equal(without_brightness, raw_reasons(raw, references))
    for array in (references.dark, references.gain, references.scale):
        assert np.isfinite(array).all()


@settings(max_examples=40)
@given(
    st.data(),
    st.sampled_from([AFTER, BEFORE]),
    st.sampled_from(["brightness", "none", "snv", "minmax", "area"]),
    st.sampled_from([0.0, 0.02]),
    st.booleans(),
)
def test_arbitrary_frames_never_give_nan(
    data: st.DataObject, sensor: MosaicSensor, kind: str, dark_fraction: float, corrected: bool
) -> None:
    raw, white, dark = (data.draw(FRAMES[sensor.name]) for _ in range(3))
    config = PreprocessingConfig.from_dict(
        {"normalisation": kind, "dark_fraction": dark_fraction, "spectral_correction": corrected}
    )
    references = prepare_references(white, dark, sensor, config)
    _invariants(preprocess(raw, references), raw, references)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([AFTER, BEFORE]), st.integers(1, 1023))
def test_masks_are_correct_on_partly_valid_frames(seed: int, sensor: MosaicSensor, spread: int) -> None:
    rng = np.random.default_rng(seed)
    raw, white, dark = (
        np.clip(base + rng.integers(-spread, spread + 1, sensor.frame_shape), 0, 1023).astype(np.uint16)
        for base in (400, 800, 30)
    )
    references = prepare_references(white, dark, sensor)
    cube = preprocess(raw, references)
    _invariants(cube, raw, references)
    for row in range(3):
        for column in range(4):
            places = tuple(np.array([pixel(sensor, row, column, position) for position in range(25)]).T)
            light = white[places].astype(int) - dark[places]
            bad = (raw[places] >= 1023).any() or (white[places] >= 1023).any() or (light < 0.02 * 1023).any()
            if bad or sensor is AFTER:
                assert cube.mask[row, column] != bad
