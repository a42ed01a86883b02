"""Sensors by name: those packaged with GlioMap, and the user's own."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from importlib import resources
from pathlib import Path

from gliomap._files import refuse_existing, user_folder
from gliomap.errors import MachineError, SensorError, UsageError
from gliomap.sensors._imec import read_imec_xml
from gliomap.sensors._sensor import NAME_PATTERN, MosaicSensor
from gliomap.sensors._toml import read_sensor_toml, sensor_from_text, write_sensor_toml

__all__ = ["get_sensor", "import_sensor", "list_sensors", "sensor_file", "user_registry"]

_CALIBRATION = re.compile(r"(.+\.xml)(?:#(\d{1,4}))?", re.IGNORECASE | re.DOTALL)


def user_registry() -> Path:
    """Folder of the user's own sensors: `$GLIOMAP_SENSORS`, else gliomap/sensors in `$XDG_CONFIG_HOME` or ~/.config.

    Raises
    ------
    MachineError
        Neither variable is set, and the user has no home folder.
    """
    chosen = os.environ.get("GLIOMAP_SENSORS")
    return Path(chosen) if chosen else user_folder("XDG_CONFIG_HOME", ".config") / "sensors"


def list_sensors() -> tuple[str, ...]:
    """Names that `get_sensor` knows, sorted: packaged ones and the user's."""
    return tuple(sorted({*_packaged(), *_own()}))


def get_sensor(name_or_path: str | Path) -> MosaicSensor:
    """Find a sensor.

    Parameters
    ----------
    name_or_path
        A name from `list_sensors()`, or the path of a .toml description or of a vendor's .xml calibration;
        FILE.xml#K selects matrix K of a calibration that has several.
        A packaged name takes precedence over a file in the user's registry.

    Returns
    -------
    MosaicSensor

    Raises
    ------
    SensorError
        The name is unknown (the message lists the known ones), or the file is unreadable.
    """
    text = str(name_or_path)
    if text in _packaged():
        return _load_packaged(text)
    own = _own().get(text)
    if own is not None:
        return read_sensor_toml(own)
    calibration = _CALIBRATION.fullmatch(text)
    if calibration:
        file, choice = calibration.groups()
        return read_imec_xml(file, correction=None if choice is None else int(choice))
    if text.lower().endswith(".toml"):
        return read_sensor_toml(text)
    raise SensorError(
        f"sensor {text!r}",
        "is neither a known name nor a .toml or .xml file",
        f"Known names: {', '.join(list_sensors())}. `gliomap sensor import` adds a calibration file.",
    )


def sensor_file(name_or_path: str | Path) -> Path | None:
    """The file that an argument of `get_sensor` refers to, without any #K suffix; None for a registry name."""
    calibration = _CALIBRATION.fullmatch(str(name_or_path))
    path = Path(calibration[1] if calibration else name_or_path)
    return path if calibration or path.suffix.lower() == ".toml" else None


def import_sensor(sensor: MosaicSensor, *, overwrite: bool = False) -> Path:
    """Write a sensor to the user's registry, under its own name.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    UsageError
        The name has characters other than letters, digits, '.', '-' and '_', or begins with one of the last three; it
        belongs to a packaged sensor; or it is taken and `overwrite` is False.
    """
    if not re.fullmatch(NAME_PATTERN, sensor.name):
        raise UsageError(
            f"sensor {sensor.name!r}",
            "is not a valid name for a registry entry",
            "Use letters, digits, dots, dashes and underscores, beginning with a letter or digit.",
        )
    if sensor.name in _packaged():
        raise UsageError(f"sensor {sensor.name!r}", "comes with GlioMap and cannot be replaced", "Choose another name.")
    path = user_registry() / f"{sensor.name}.toml"
    refuse_existing(path, overwrite=overwrite)
    write_sensor_toml(sensor, path)
    return path


def _own() -> dict[str, Path]:
    """The user's sensors by name; empty for a user who cannot have a registry."""
    try:
        folder = user_registry()
    except MachineError:
        return {}
    return {path.stem: path for path in folder.glob("*.toml")}


@lru_cache(maxsize=1)
def _packaged() -> frozenset[str]:
    files = resources.files("gliomap.sensors").joinpath("registry").iterdir()
    return frozenset(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


@lru_cache(maxsize=16)
def _load_packaged(name: str) -> MosaicSensor:
    file = resources.files("gliomap.sensors").joinpath("registry", f"{name}.toml")
    return sensor_from_text(file.read_text(encoding="utf-8"), f"sensor {name!r}")
