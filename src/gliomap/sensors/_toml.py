"""Sensor descriptions as TOML files, format 1."""

from __future__ import annotations

import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gliomap._files import read_limited, write_text
from gliomap.errors import SensorError
from gliomap.sensors._sensor import CHECK_NAME, MosaicSensor

__all__ = ["read_sensor_toml", "sensor_from_text", "write_sensor_toml"]

FORMAT = 1
_MAX_BYTES = 8 * 2**20
_REMEDY = "Correct the file; docs/reference describes the format."


def read_sensor_toml(path: Path | str) -> MosaicSensor:
    """Read a sensor description.

    Parameters
    ----------
    path
        A TOML file of at most 8 MiB.

    Returns
    -------
    MosaicSensor

    Raises
    ------
    SensorError
        The file is missing, is not TOML, lacks a field or is contradictory.
    """
    path = Path(path)
    try:
        text = read_limited(
            path, _MAX_BYTES, SensorError, large="A sensor description is a small file.", missing=CHECK_NAME
        ).decode("utf-8")
    except UnicodeDecodeError as error:
        raise SensorError(path, "is not UTF-8 text", _REMEDY) from error
    return sensor_from_text(text, path)


def sensor_from_text(text: str, origin: object) -> MosaicSensor:
    """Build a sensor from TOML text; error messages name it by `origin`."""
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SensorError(origin, f"is not TOML: {error}", _REMEDY) from error
    version = table.get("format")
    if version != FORMAT:
        raise SensorError(
            origin, f"has format {version!r}, this GlioMap reads {FORMAT}", "Write format = 1 or update GlioMap."
        )
    from gliomap.sensors._description import build_sensor

    return build_sensor(table, origin)


def write_sensor_toml(sensor: MosaicSensor, path: Path | str) -> None:
    """Write a sensor with its matrix and sampled responses, atomically; reading restores the same sensor."""
    table: dict[str, Any] = {
        "format": FORMAT,
        "name": sensor.name,
        "description": sensor.description,
        "source": sensor.source,
        "frame_shape": list(sensor.frame_shape),
        "active_area": asdict(sensor.active_area),
        "pattern": list(sensor.pattern),
        "bit_depth": sensor.bit_depth,
        "saturation": sensor.saturation,
        "has_bias_offset": sensor.has_bias_offset,
        "defective_pixels": sensor.defective_pixels.tolist(),
        "wavelengths_nm": sensor.wavelengths_nm.tolist(),
        "wavelengths_nominal": sensor.wavelengths_nominal,
        "band_of_position": list(sensor.band_of_position),
    }
    if sensor.peaks_nm is not None:
        table["peaks_nm"] = sensor.peaks_nm.tolist()
    if sensor.correction is not None:
        table["correction"] = {
            "bandpass": sensor.correction.bandpass,
            "after_division": sensor.correction.after_division,
            "matrix": sensor.correction.matrix.tolist(),
        }
    if sensor.responses is not None:
        table["responses"] = {
            "wavelengths_nm": sensor.responses.wavelengths_nm.tolist(),
            "values": sensor.responses.values.tolist(),
        }
        if sensor.responses.rejection_filter is not None:
            table["responses"]["rejection_filter"] = sensor.responses.rejection_filter.tolist()
    import tomli_w

    write_text(Path(path), tomli_w.dumps(table))
