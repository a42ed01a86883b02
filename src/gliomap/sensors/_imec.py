"""Calibration files of imec snapshot mosaics (XML), in either of two layouts.

1. `filter_info/bands` with measured responses and `filter_info/spectral_correction_info/virtual_bands`: one matrix.
2. `filter_info/filter_zones` and `system_info/spectral_correction_info/correction_matrices`: one matrix for each
   mountable band-pass filter.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gliomap._files import read_limited
from gliomap.errors import SensorError
from gliomap.sensors._sensor import (
    CHECK_NAME,
    ROW_SUM_TOLERANCE,
    ActiveArea,
    MosaicSensor,
    Responses,
    SpectralCorrection,
    bands_by_peak,
)

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["read_imec_xml"]

_MAX_BYTES = 64 * 2**20
_MAX_SIDE = 65_535
_MAX_SAMPLES = 100_000
_ASSUMED_BITS = 10  # for this vendor's mosaics, when a file in layout 2 does not state the depth
_REMEDY = "Use the calibration file that the vendor delivered with the camera."

_Array = npt.NDArray[np.float64]


def read_imec_xml(path: Path | str, *, correction: int | None = None) -> MosaicSensor:
    """Read a vendor's calibration file of at most 64 MiB, without expanding entities.

    The bit depth is `input_bpp`, the depth of the delivered frames; saturation is its largest value.
    (`effective_bpp` is the number of bits that carry signal above noise; it does not limit the values.) The correction
    is applied after the division only if every row of the matrix sums to 1 within 1e-4.

    Parameters
    ----------
    path
        File in either layout.
    correction
        Index, from 0, of the correction matrix for the mounted band-pass filter; required if the file has several.

    Returns
    -------
    MosaicSensor
        Named after the file, with bands in ascending wavelength.

    Raises
    ------
    SensorError
        The file is missing or not XML, declares entities, has a missing or impossible value, or has no matrix with this
        index.
    """
    path = Path(path)
    root = _parse(path)
    try:
        return _Calibration(root, path).sensor(correction)
    except SensorError as error:
        raise SensorError(path, f"{error.thing}: {error.fault}", error.remedy) from error


def _parse(path: Path) -> Element:
    content = read_limited(path, _MAX_BYTES, SensorError, large=_REMEDY, missing=CHECK_NAME)
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        root: Element = fromstring(content, forbid_dtd=True)
    except DefusedXmlException as error:
        raise SensorError(path, "declares a document type or entities, which is refused", _REMEDY) from error
    except (ParseError, UnicodeError, LookupError, ValueError) as error:
        raise SensorError(path, f"is not XML: {error}", _REMEDY) from error
    return root


class _Calibration:
    """One parsed file; the methods extract its parts."""

    def __init__(self, root: Element, path: Path) -> None:
        self.root = root
        self.name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")[:100] or "imec"
        self.file = path.name
        self.filters = _need(root, ".//filter_info")
        zones = self.filters.findall("filter_zones/filter_zone")
        if len(zones) > 1:
            raise SensorError("filter_zones", f"has {len(zones)} zones; one is supported", _REMEDY)
        self.zone = zones[0] if zones else self.filters

    def sensor(self, choice: int | None) -> MosaicSensor:
        height, width = self._number("pattern_height", 1, 32), self._number("pattern_width", 1, 32)
        positions = height * width
        responses, told = self._responses(positions)
        rows = self._rows(choice, positions)
        peaks = _peaks(told, responses, rows[0] if rows else None)
        waves, correction = self._correction(*rows) if rows else (np.sort(peaks), None)
        bits, note = self._bit_depth()
        return MosaicSensor(
            name=self.name,
            description=f"imec calibration {self.file}",
            frame_shape=(self._side("height"), self._side("width")),
            active_area=self._active_area(),
            pattern=(height, width),
            bit_depth=bits,
            saturation=2**bits - 1,
            wavelengths_nm=waves,
            wavelengths_nominal=False,
            band_of_position=bands_by_peak(peaks, waves),
            correction=correction,
            responses=responses,
            peaks_nm=told,
            source=f"Calibration file {self.file}, delivered with the camera.{note}",
        )

    def _number(self, tag: str, low: int, high: int) -> int:
        element = self.zone.find(f".//{tag}")
        return _whole(_need(self.filters, f".//{tag}") if element is None else element, low, high)

    def _side(self, side: str) -> int:
        for tag in (f".//sensor_info/{side}", f".//sensor_info/{side}_px", f".//sensor_info/sensor_{side}"):
            element = self.root.find(tag)
            if element is not None:
                return _whole(element, 1, _MAX_SIDE)
        raise SensorError("sensor_info", f"has no {side}", _REMEDY)

    def _bit_depth(self) -> tuple[int, str]:
        for tag in ("input_bpp", "bit_depth", "bpp"):
            element = self.root.find(f".//sensor_info/{tag}")
            if element is not None:
                return _whole(element, 1, 16), ""
        return _ASSUMED_BITS, f" The file states no bit depth; {_ASSUMED_BITS} assumed."

    def _active_area(self) -> ActiveArea:
        area = self.zone.find(".//filter_area")
        if area is None:
            area = _need(self.filters, ".//filter_area")
        values = [_whole(_need(area, tag), 0, _MAX_SIDE) for tag in ("offset_y", "offset_x", "height", "width")]
        return ActiveArea(*values)

    def _responses(self, positions: int) -> tuple[Responses | None, _Array | None]:
        """Responses by mosaic position, and each filter's peak wavelength; either may be None."""
        by_position: dict[int, Element] = {}
        found = self.zone.findall("bands/band")
        for order, band in enumerate(found):
            label = band.get("pattern_position_index", band.get("index", str(order)))
            by_position[int(label) if label.isdecimal() and len(label) < 6 else -1] = band
        if sorted(by_position) != list(range(positions)) or len(found) != positions:
            raise SensorError("bands", f"do not name each of the {positions} mosaic positions once", _REMEDY)
        bands = [by_position[position] for position in range(positions)]
        curves = [_first(band, "response_composition/data", "response_composition", "response") for band in bands]
        responses = self._sampled(curves) if all(curve is not None for curve in curves) else None
        peaks = [band.find("peaks/peak[@order='1']/wavelength_nm") for band in bands]
        if all(peak is not None for peak in peaks):
            return responses, np.array([_numbers(peak, 1)[0] for peak in peaks if peak is not None])
        return responses, None

    def _sampled(self, curves: list[Element | None]) -> Responses:
        values = _table([_numbers(curve) for curve in curves if curve is not None], "responses")
        if values.shape[1] > _MAX_SAMPLES:
            raise SensorError("responses", f"have {values.shape[1]} samples each", _REMEDY)
        rejection = self.filters.find("rejection_filter/filter_response/data")
        return Responses(
            self._grid(values.shape[1]),
            values,
            None if rejection is None else _numbers(rejection, values.shape[1]),
        )

    def _grid(self, samples: int) -> _Array:
        info = _need(self.filters, "calibration_info")
        points = info.find("sample_points_nm")
        if points is not None:
            return _numbers(points, samples)
        for prefix in ("measurement", "wavelength"):
            start = info.find(f"{prefix}_range_start_nm")
            end = info.find(f"{prefix}_range_end_nm")
            if start is not None and end is not None:
                grid: _Array = np.linspace(_numbers(start, 1)[0], _numbers(end, 1)[0], samples)
                return grid
        raise SensorError("calibration_info", "has no wavelengths for the responses", _REMEDY)

    def _rows(self, choice: int | None, positions: int) -> tuple[_Array, _Array, str] | None:
        """Wavelengths, matrix rows and the band-pass filter's name; None if the file has no correction."""
        matrices = self.root.findall(".//correction_matrices/correction_matrix")
        if matrices:
            chosen = matrices[_choose(choice, [_name(matrix) for matrix in matrices])]
            bands, bandpass = chosen.findall("virtual_bands/virtual_band"), _name(chosen)
        else:
            _choose(choice, ["the only one"])
            bands = self.filters.findall("spectral_correction_info/virtual_bands/band")
            bandpass = (self.filters.findtext("rejection_filter/type") or "unknown").strip()
        if not bands:
            return None
        waves = np.array([_numbers(_need(band, "wavelength_nm"), 1)[0] for band in bands])
        found = [_first(band, "coefficients", "custom_spectral_correction/data") for band in bands]
        if any(row is None for row in found):
            raise SensorError("virtual_bands", "a band has no coefficients", _REMEDY)
        return waves, _table([_numbers(row, positions) for row in found if row is not None], "matrix"), bandpass

    def _correction(self, waves: _Array, matrix: _Array, bandpass: str) -> tuple[_Array, SpectralCorrection]:
        order = np.argsort(waves, kind="stable")
        after = bool(np.abs(matrix.sum(axis=1) - 1).max() <= ROW_SUM_TOLERANCE)
        return waves[order], SpectralCorrection(matrix[order], bandpass, after)


def _peaks(told: _Array | None, responses: Responses | None, bands_nm: _Array | None) -> _Array:
    """Peak wavelength of each filter, from the file or else from its response."""
    if told is not None:
        return told
    if responses is None:
        raise SensorError("bands", "have neither responses nor peaks", _REMEDY)
    return responses.peaks_nm(bands_nm)


def _choose(choice: int | None, names: list[str]) -> int:
    listed = "; ".join(f"{index}: {name}" for index, name in enumerate(names))
    if choice is None:
        if len(names) > 1:
            raise SensorError(
                "correction_matrices",
                f"has {len(names)} matrices, one for each band-pass filter ({listed})",
                "Choose the mounted one: `--correction K` of `gliomap sensor`, or FILE.xml#K wherever a sensor is expected.",
            )
        return 0
    if not 0 <= choice < len(names):
        raise SensorError(
            "correction", f"{choice} does not exist; the file has {listed}", "Choose one of these numbers."
        )
    return choice


def _name(matrix: Element) -> str:
    found = matrix.findtext("name") or matrix.get("name") or matrix.findtext("type") or "unknown"
    return found.strip() or "unknown"


def _first(element: Element, *paths: str) -> Element | None:
    return next((found for path in paths if (found := element.find(path)) is not None), None)


def _need(element: Element, path: str) -> Element:
    found = element.find(path)
    if found is None:
        raise SensorError(element.tag, f"has no {path.removeprefix('.//')}", _REMEDY)
    return found


def _numbers(element: Element, count: int | None = None) -> _Array:
    """Finite numbers in an element's text or `values` attribute, separated by commas or whitespace."""
    words = (element.get("values") or element.text or "").replace(",", " ").split()
    try:
        values = np.array([float(word) for word in words], np.float64)
    except ValueError as error:
        raise SensorError(element.tag, f"holds something that is not a number ({error})", _REMEDY) from error
    if not np.isfinite(values).all() or not values.size:
        raise SensorError(element.tag, "is empty or not finite", _REMEDY)
    if count is not None and values.size != count:
        raise SensorError(element.tag, f"holds {values.size} numbers, expected {count}", _REMEDY)
    return values


def _whole(element: Element, low: int, high: int) -> int:
    value = float(_numbers(element, 1)[0])
    if value != int(value) or not low <= value <= high:
        raise SensorError(element.tag, f"is {value:g}, not a whole number in {low}…{high}", _REMEDY)
    return int(value)


def _table(rows: list[_Array], what: str) -> _Array:
    if len({row.size for row in rows}) != 1:
        raise SensorError(what, "its rows differ in length", _REMEDY)
    return np.stack(rows)
