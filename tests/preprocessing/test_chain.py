"""From raw, white and dark to a cube: values, masks and their reasons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gliomap.captures import Capture, Exposures
from gliomap.errors import CaptureError, ReferenceFrameError
from gliomap.preprocessing import (
    HyperCube,
    PreprocessingConfig,
    Reason,
    References,
    brightness,
    prepare_references,
    preprocess,
    preprocess_capture,
    raw_reasons,
    reflectance,
)
from gliomap.sensors import ActiveArea, MosaicSensor, SpectralCorrection, get_sensor, resized

AFTER = resized(get_sensor("nemesis"), 3, 4)
"""Correction after the division, as in the thesis."""
_MATRIX = get_sensor("nemesis").band_matrix() * np.linspace(0.002, 0.067, 25)[:, None]
BEFORE = replace(
    AFTER,
    name="before",
    frame_shape=(20, 22),
    active_area=ActiveArea(3, 1, 15, 20),
    correction=SpectralCorrection(_MATRIX, after_division=False),
)
"""Rows that do not sum to 1, and an active area that does not begin at the corner."""
SENSORS = pytest.mark.parametrize("sensor", [AFTER, BEFORE], ids=["after", "before"])
PLAIN = PreprocessingConfig(normalisation="none")

UInt16 = npt.NDArray[np.uint16]


def scene(sensor: MosaicSensor, seed: int = 0) -> tuple[UInt16, UInt16, UInt16]:
    """raw, white, dark without anything to mask."""
    rng = np.random.default_rng(seed)
    shape = sensor.frame_shape
    return (
        rng.integers(100, 500, shape).astype(np.uint16),
        rng.integers(600, 900, shape).astype(np.uint16),
        rng.integers(10, 40, shape).astype(np.uint16),
    )


def pixel(sensor: MosaicSensor, row: int, column: int, position: int = 0) -> tuple[int, int]:
    """Frame coordinates of one mosaic position of a tile."""
    area, (rows, columns) = sensor.active_area, sensor.pattern
    return area.top + rows * row + position // columns, area.left + columns * column + position % columns


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
