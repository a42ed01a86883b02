"""Finds the sensor that a run was trained for."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from gliomap.errors import SensorError
from gliomap.sensors import MosaicSensor, get_sensor, list_sensors
from gliomap.studies import SensorLike, Study
from gliomap.tracking import Run, SensorRecord

__all__ = ["in_registry", "named_sensor", "same_calibration", "trained_sensor"]


def trained_sensor(run: Run, study: Study, asked: SensorLike | None) -> MosaicSensor | None:
    """The sensor that the run was trained for; None if it had none.

    It is looked up in this order: the requested sensor; the registry's sensor that was named for the training, whatever
    study.toml says; the study's sensor; or the registry's, if study.toml names none.

    Raises
    ------
    SensorError
        No sensor is found, or it is another.
    """
    trained = run.record.sensor
    if trained is None:
        return None
    registered = in_registry(trained) if asked is None else None
    if registered is not None:
        return registered
    found = (
        study.sensor(asked)
        if asked is not None or study.settings.sensor is not None
        else named_sensor(trained, run.path)
    )
    return same_calibration(found, trained, run.path)


def named_sensor(trained: SensorRecord, run: Path) -> MosaicSensor:
    """The registry's sensor under the name that the run records.

    Raises
    ------
    SensorError
        The registry has none of this name.
    """
    try:
        return get_sensor(trained.name)
    except SensorError as error:
        raise SensorError(
            f"sensor {trained.name!r}",
            f"of run {run} is neither in its study nor in the registry",
            "Give its description with --sensor FILE.",
        ) from error


def same_calibration(found: MosaicSensor, trained: SensorRecord, run: Path) -> MosaicSensor:
    """The sensor that was found, if it is the one that the run was trained for.

    Raises
    ------
    SensorError
        It is another.
    """
    if found.fingerprint() != trained.fingerprint:
        raise SensorError(
            f"sensor {found.name!r}",
            f"is not the {trained.name!r} that run {run} was trained for: its calibration differs",
            "Give that sensor's description with --sensor FILE.",
        )
    return found


def in_registry(trained: SensorRecord) -> MosaicSensor | None:
    """The registry's sensor that was named for a training; None if none was named, or it has changed since."""
    known = () if trained.given is None else list_sensors()
    for name in (trained.given, trained.name):
        if name in known:
            with suppress(SensorError):
                found = get_sensor(name)
                if found.fingerprint() == trained.fingerprint:
                    return found
    return None
