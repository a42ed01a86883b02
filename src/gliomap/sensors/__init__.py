"""Snapshot mosaic sensors: camera calibrations, selected by name or read from a file."""

from gliomap.sensors._correction import ResponseModel, correction_matrix_from_responses, modelled_responses
from gliomap.sensors._imec import read_imec_xml
from gliomap.sensors._registry import get_sensor, import_sensor, list_sensors, sensor_file, user_registry
from gliomap.sensors._sensor import ActiveArea, MosaicSensor, Responses, SpectralCorrection, resized
from gliomap.sensors._table import BandRow, sensor_table
from gliomap.sensors._toml import read_sensor_toml, write_sensor_toml

__all__ = [
    "ActiveArea",
    "BandRow",
    "MosaicSensor",
    "ResponseModel",
    "Responses",
    "SpectralCorrection",
    "correction_matrix_from_responses",
    "get_sensor",
    "import_sensor",
    "list_sensors",
    "modelled_responses",
    "read_imec_xml",
    "read_sensor_toml",
    "resized",
    "sensor_file",
    "sensor_table",
    "user_registry",
    "write_sensor_toml",
]
