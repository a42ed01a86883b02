"""The pydantic models of a sensor description, separate from its reader so that running a bundle never builds them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, FiniteFloat, ValidationError, model_validator

from gliomap._fields import Fields, field_faults
from gliomap.errors import SensorError
from gliomap.sensors._correction import ResponseModel, correction_matrix_from_responses, modelled_responses
from gliomap.sensors._sensor import (
    NAME_PATTERN,
    ActiveArea,
    MosaicSensor,
    Responses,
    SpectralCorrection,
    bands_by_peak,
)

__all__ = ["build_sensor"]

_REMEDY = "Correct the file; docs/reference describes the format."
_MAX_FRAME_SIDE = 65_535

_Side = Annotated[int, Field(ge=1, le=_MAX_FRAME_SIDE)]
_Offset = Annotated[int, Field(ge=0, le=_MAX_FRAME_SIDE)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Row = Annotated[tuple[FiniteFloat, ...], Field(min_length=1)]


class _Area(Fields):
    top: _Offset
    left: _Offset
    height: _Side
    width: _Side


class _Responses(Fields):
    """Sampled table, on an even grid (start, step) or at listed wavelengths."""

    start_nm: _Positive | None = None
    step_nm: _Positive | None = None
    wavelengths_nm: Annotated[tuple[_Positive, ...], Field(min_length=2)] | None = None
    values: Annotated[tuple[_Row, ...], Field(min_length=1)]
    rejection_filter: _Row | None = None

    @model_validator(mode="after")
    def _one_grid(self) -> _Responses:
        if (self.wavelengths_nm is None) == (self.start_nm is None or self.step_nm is None):
            raise ValueError("give either wavelengths_nm or start_nm and step_nm")
        if len({len(row) for row in self.values}) != 1:
            raise ValueError("its rows differ in length")
        return self

    def build(self) -> Responses:
        values = np.array(self.values, np.float64)
        if self.wavelengths_nm is not None:
            grid = np.array(self.wavelengths_nm, np.float64)
        else:
            grid = (self.start_nm or 0.0) + (self.step_nm or 0.0) * np.arange(values.shape[1], dtype=np.float64)
        rejection = None if self.rejection_filter is None else np.array(self.rejection_filter, np.float64)
        return Responses(grid, values, rejection)


class _ResponseModel(Fields):
    peaks_nm: Annotated[tuple[_Positive, ...], Field(min_length=1)]
    fwhm_nm: Annotated[tuple[_Positive, ...], Field(min_length=1)]
    neighbour_leak: _Share = 0.0
    lobe_height: _Share = 0.0
    lobe_ratio: Annotated[float, Field(gt=0, le=2)] = 0.74
    lobe_fwhm_nm: _Positive = 14.0
    efficiency_at_end: _Share = 1.0
    passband_nm: tuple[_Positive, _Positive]
    edge_nm: _Positive = 6.0
    grid_nm: tuple[_Positive, _Positive, _Positive] = (400.0, 1000.0, 1.0)

    @model_validator(mode="after")
    def _sane(self) -> _ResponseModel:
        if len(self.peaks_nm) != len(self.fwhm_nm):
            raise ValueError(f"{len(self.peaks_nm)} peaks and {len(self.fwhm_nm)} widths")
        first, last, step = self.grid_nm
        if not first + step < last or (last - first) / step > 100_000:
            raise ValueError("grid_nm must be first, last and step, with 3 to 100,000 samples")
        return self

    def build(self, pattern: tuple[int, int]) -> Responses:
        if len(self.peaks_nm) != pattern[0] * pattern[1]:
            raise SensorError("response_model", f"has {len(self.peaks_nm)} peaks for a pattern of {pattern}", _REMEDY)
        return modelled_responses(ResponseModel(**self.model_dump()), pattern)


class _Computed(Fields):
    fwhm_nm: _Positive = 15.0
    ridge: _Positive = 0.02


class _Correction(Fields):
    bandpass: str = "unknown"
    after_division: bool
    matrix: Annotated[tuple[_Row, ...], Field(min_length=1)] | None = None
    computed: _Computed | None = None

    @model_validator(mode="after")
    def _one_matrix(self) -> _Correction:
        if (self.matrix is None) == (self.computed is None):
            raise ValueError("give either matrix or computed")
        if self.matrix is not None and len({len(row) for row in self.matrix}) != 1:
            raise ValueError("its rows differ in length")
        return self


class _Description(Fields):
    format: Literal[1]
    name: Annotated[str, Field(pattern=rf"^{NAME_PATTERN}$")]
    description: str = ""
    source: str = ""
    frame_shape: tuple[_Side, _Side]
    active_area: _Area
    pattern: tuple[Annotated[int, Field(ge=1, le=32)], Annotated[int, Field(ge=1, le=32)]]
    bit_depth: Annotated[int, Field(ge=1, le=16)]
    saturation: Annotated[int, Field(ge=1, le=65_535)]
    has_bias_offset: bool = True
    defective_pixels: tuple[tuple[_Offset, _Offset], ...] = ()
    wavelengths_nm: tuple[_Positive, ...] | None = None
    wavelengths_nominal: bool = False
    band_of_position: tuple[_Offset, ...] | None = None
    peaks_nm: tuple[FiniteFloat, ...] | None = None
    responses: _Responses | None = None
    response_model: _ResponseModel | None = None
    correction: _Correction | None = None

    @model_validator(mode="after")
    def _whole(self) -> _Description:
        if self.responses is not None and self.response_model is not None:
            raise ValueError("give either responses or response_model")
        if self.responses is None and self.response_model is None:
            if self.wavelengths_nm is None or self.band_of_position is None:
                raise ValueError("wavelengths_nm and band_of_position are required when there are no responses")
            if self.correction is not None and self.correction.computed is not None:
                raise ValueError("a computed correction requires responses")
        return self

    def build(self) -> MosaicSensor:
        responses = self.responses.build() if self.responses else None
        if self.response_model:
            responses = self.response_model.build(self.pattern)
        waves, order = self._bands(responses)
        return MosaicSensor(
            name=self.name,
            description=self.description,
            frame_shape=self.frame_shape,
            active_area=ActiveArea(**self.active_area.model_dump()),
            pattern=self.pattern,
            bit_depth=self.bit_depth,
            saturation=self.saturation,
            wavelengths_nm=waves,
            wavelengths_nominal=self.wavelengths_nominal,
            band_of_position=order,
            correction=self._correction(responses, waves),
            responses=responses,
            peaks_nm=None if self.peaks_nm is None else np.array(self.peaks_nm, np.float64),
            has_bias_offset=self.has_bias_offset,
            defective_pixels=np.array(self.defective_pixels, np.int64).reshape(-1, 2),
            source=self.source,
        )

    def _bands(self, responses: Responses | None) -> tuple[npt.NDArray[np.float64], tuple[int, ...]]:
        """Wavelengths and band order; values missing from the file come from the peaks of the responses."""
        given, order = self.wavelengths_nm, self.band_of_position
        if responses is None:
            return np.array(given, np.float64), order or ()
        bands = None if given is None else np.array(given, np.float64)
        told = self.peaks_nm or (self.response_model.peaks_nm if self.response_model else None)
        peaks = np.array(told, np.float64) if told else responses.peaks_nm(bands)
        waves = np.sort(peaks) if bands is None else bands
        return waves, bands_by_peak(peaks, waves) if order is None else order

    def _correction(self, responses: Responses | None, waves: npt.NDArray[np.float64]) -> SpectralCorrection | None:
        given = self.correction
        if given is None:
            return None
        if given.computed is None or responses is None:
            return SpectralCorrection(np.array(given.matrix, np.float64), given.bandpass, given.after_division)
        matrix = correction_matrix_from_responses(
            responses, waves, given.computed.fwhm_nm, given.computed.ridge, for_reflectance=given.after_division
        )
        return SpectralCorrection(matrix, given.bandpass, given.after_division)


def build_sensor(table: dict[str, Any], origin: object) -> MosaicSensor:
    """Validate a description and build its sensor; error messages name it by `origin`."""
    try:
        return _Description.model_validate(table).build()
    except ValidationError as error:
        raise SensorError(origin, field_faults(error, 3), _REMEDY) from error
    except SensorError as error:
        raise SensorError(origin, f"{error.thing}: {error.fault}", error.remedy) from error
