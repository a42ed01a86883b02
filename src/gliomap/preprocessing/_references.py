"""A pair of references, prepared once and applied to every frame that follows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from gliomap.captures import Exposures, plan_darks, require_frame
from gliomap.preprocessing._config import PreprocessingConfig
from gliomap.preprocessing._cube import Reason
from gliomap.preprocessing._steps import correct_spectra, mosaic_to_cube
from gliomap.sensors import MosaicSensor

__all__ = ["References", "chain_sensor", "prepare_references", "raw_reasons"]

_UInt16 = npt.NDArray[np.uint16]
_Float32 = npt.NDArray[np.float32]
_Bool = npt.NDArray[np.bool_]
_Indices = npt.NDArray[np.int64]

_SMALLEST_FRACTION = 1e-6
"""Smallest divisor as a share of full scale, even if `dark_fraction` is 0."""


@dataclass(frozen=True, eq=False)
class References:
    """A prepared pair of references: the inputs of `frame.onnx` other than the raw frame.

    A cube is M · tiles((raw − dark) · gain) · scale, then normalised.

    Attributes
    ----------
    dark
        float32 (frame), digital numbers: the dark for the raw frame's exposure.
    gain
        float32 (frame): 1 / (white − dark) with correction after the division, else 1. 0 where there is no light.
    scale
        float32 (bands, h, w): 1 with correction after the division, else 1 / (M · (white − dark)). 0 where masked.
    reasons
        uint8 (h, w): bits of `Reason` that follow from the references and the sensor.
    sensor, config
        Sensor and configuration of the preparation.
    """

    dark: _Float32
    gain: _Float32
    scale: _Float32
    reasons: npt.NDArray[np.uint8]
    sensor: MosaicSensor
    config: PreprocessingConfig

    def __post_init__(self) -> None:
        for array in (self.dark, self.gain, self.scale, self.reasons):
            array.setflags(write=False)

    @cached_property
    def chain(self) -> MosaicSensor:
        """The sensor as the chain sees it: without its correction if the configuration omits it."""
        return chain_sensor(self.sensor, self.config)

    @cached_property
    def matrix(self) -> _Float32:
        """float32 (bands, positions): M."""
        return self.chain.band_matrix().astype(np.float32)


def chain_sensor(sensor: MosaicSensor, config: PreprocessingConfig) -> MosaicSensor:
    """The sensor whose matrix and wavelengths apply to cubes made with `config`."""
    return sensor if config.spectral_correction else sensor.uncorrected()


def prepare_references(
    white: _UInt16,
    dark: _UInt16,
    sensor: MosaicSensor,
    config: PreprocessingConfig | None = None,
    *,
    exposures: Exposures | None = None,
    white_dark: _UInt16 | None = None,
) -> References:
    """Prepare a pair of references for `preprocess` and for `frame.onnx`.

    References without any light yield a result in which every tile is masked; `gliomap.captures.check_references`
    rejects them.

    Parameters
    ----------
    white, dark
        uint16 frames of the sensor's shape.
    sensor
        The sensor that recorded the frames.
    config
        The chain; None selects the thesis's.
    exposures
        Exposure times. Reflectance is scaled by white over raw exposure. Raw and white each use the dark of their
        own exposure or, for a camera without bias offset, a dark scaled by time.
    white_dark
        A second dark, at the white's exposure.

    Returns
    -------
    The prepared references
        Their arrays are read-only.

    Raises
    ------
    CaptureError
        A frame has another shape or type.
    ReferenceFrameError
        No dark fits the exposures.
    """
    config = PreprocessingConfig() if config is None else config
    require_frame(white, sensor, "white reference")
    require_frame(dark, sensor, "dark reference")
    if white_dark is not None:
        require_frame(white_dark, sensor, "dark reference of the white")
    for_raw, for_white = plan_darks(exposures, sensor, has_white_dark=white_dark is not None)
    raw_dark, light = for_raw.of(dark, white_dark), white - for_white.of(dark, white_dark)
    ratio = np.float32(1.0 if exposures is None else exposures.white_over_raw)

    fraction = max(config.dark_fraction, _SMALLEST_FRACTION)
    lit = light >= np.float32(fraction * sensor.saturation)
    reasons = _tile_reasons(white, lit, sensor)
    chain = chain_sensor(sensor, config)
    if chain.correction_after_division:
        gain = np.divide(ratio, light, out=np.zeros_like(light), where=lit)
        scale = np.ones((chain.n_bands, *chain.cube_shape), np.float32)
    else:
        gain = np.ones_like(light)
        scale, safe = _reciprocal_white(light, chain)
        scale *= ratio
        reasons[~safe] |= np.uint8(Reason.DARK)
    scale[:, reasons != 0] = 0
    return References(raw_dark, gain, scale, reasons, sensor, config)


def raw_reasons(raw: _UInt16, references: References) -> npt.NDArray[np.uint8]:
    """Why tiles of this raw frame are invalid, including the reasons from the references.

    Parameters
    ----------
    raw
        uint16 (frame).
    references
        Prepared for it.

    Returns
    -------
    ndarray
        uint8 (h, w), bits of `Reason` without `ZERO_BRIGHTNESS`, which depends on the spectra. Read-only if it is
        the references' own array.

    Raises
    ------
    CaptureError
        The frame has another shape or type.
    """
    sensor = references.sensor
    require_frame(raw, sensor, "raw frame")
    row, column = _tiles_of(_saturated_pixels(raw, sensor.saturation), sensor)
    if not row.size:
        return references.reasons
    reasons = references.reasons.copy()
    reasons[row, column] |= np.uint8(Reason.SATURATED)
    return reasons


def _saturated_pixels(raw: _UInt16, saturation: int) -> _Indices:
    """Rows and columns (n, 2) of saturated pixels; hardly any row of a frame has one."""
    (_, width), flat = raw.shape, raw.reshape(-1)
    # Row maxima as segments of the flat array: half the time of a reduction along an axis.
    rows = np.flatnonzero(np.maximum.reduceat(flat, np.arange(0, flat.size, width)) >= saturation)
    row, column = np.divmod(np.flatnonzero(raw[rows] >= saturation), width)
    return np.stack([rows[row], column], axis=1)


def _tile_reasons(white: _UInt16, lit: _Bool, sensor: MosaicSensor) -> npt.NDArray[np.uint8]:
    """uint8 (h, w): reasons from the white and the sensor's defects; one bad pixel invalidates its tile."""
    reasons = np.zeros(sensor.cube_shape, np.uint8)
    reasons[_any_in_tile(~sensor.active(lit), sensor)] |= np.uint8(Reason.DARK)
    reasons[_any_in_tile(sensor.active(white) >= sensor.saturation, sensor)] |= np.uint8(Reason.SATURATED)
    row, column = _tiles_of(sensor.defective_pixels, sensor)
    reasons[row, column] |= np.uint8(Reason.DEFECTIVE)
    return reasons


def _tiles_of(pixels: npt.NDArray[np.int64], sensor: MosaicSensor) -> tuple[_Indices, _Indices]:
    """Rows and columns of the tiles that contain pixels (n, 2) of the frame; pixels outside the active area are dropped."""
    area = sensor.active_area
    offsets = pixels - (area.top, area.left)
    inside = ((offsets >= 0) & (offsets < (area.height, area.width))).all(axis=1)
    row, column = (offsets[inside] // sensor.pattern).T
    return row, column


def _reciprocal_white(light: _Float32, chain: MosaicSensor) -> tuple[_Float32, _Bool]:
    """1 / (M · light) as (bands, h, w), and a mask of where every band can be divided by.

    The mosaic has already been checked for light. This only guards the division: a row of the matrix amplifies noise by
    its Euclidean norm, so a value below the smallest fraction of full scale times that norm is zero up to rounding.
    """
    matrix = chain.band_matrix()
    white = correct_spectra(mosaic_to_cube(chain.active(light), chain.pattern), matrix)
    limits = _SMALLEST_FRACTION * chain.saturation * np.sqrt((matrix**2).sum(axis=1))
    # A row of zeros gives a limit of 0, and such a band can never be divided by.
    positive = white > np.maximum(limits, np.finfo(np.float32).tiny * 1e8).astype(np.float32)
    scale = np.divide(np.float32(1), white, out=np.zeros_like(white), where=positive)
    return np.ascontiguousarray(scale.transpose(2, 0, 1)), np.asarray(positive.all(axis=2))


def _any_in_tile(pixels: _Bool, sensor: MosaicSensor) -> _Bool:
    (height, width), (rows, columns) = sensor.cube_shape, sensor.pattern
    return np.asarray(pixels.reshape(height, rows, width, columns).any(axis=(1, 3)))
