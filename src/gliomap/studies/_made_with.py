"""Sensor and preprocessing of a prepared cube made by GlioMap, determined from its digest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np

from gliomap.errors import GlioMapError, StudyError
from gliomap.preprocessing import Normalisation, PreprocessingConfig
from gliomap.sensors import MosaicSensor, get_sensor, list_sensors
from gliomap.studies._prepared import chain_of, read_chain
from gliomap.studies._settings import CaptureSettings

__all__ = ["differing", "made_otherwise", "made_with"]


def made_with(
    path: Path,
    cameras: Sequence[MosaicSensor | None],
    likes: Iterable[PreprocessingConfig],
    capture: CaptureSettings | None = None,
) -> tuple[MosaicSensor, PreprocessingConfig] | None:
    """Sensor and preprocessing of a prepared cube, as far as its digest reveals them.

    Parameters
    ----------
    path
        The `.mat` file.
    cameras
        Candidate cameras; those of the registry are tried after them.
    likes
        Candidate configurations. Correction and normalisation are searched; all other settings must match a candidate.
    capture
        Candidate crop and exposures; a cube of whole frames is recognised without them.

    Returns
    -------
    tuple or None
        None for files made by other software, for unknown cameras, and for another crop or other exposures.

    Raises
    ------
    StudyError
        The file cannot be read.
    """
    chain = read_chain(path)
    if chain is None:
        return None
    ways = list(product(likes, get_args(Normalisation), (True, False), dict.fromkeys((None, capture))))
    for camera in (*(one for one in cameras if one is not None), *_registered()):
        for like, normalisation, corrected, settings in ways:
            config = replace(like, normalisation=normalisation, spectral_correction=corrected)
            if np.array_equal(chain, chain_of(camera, config, settings)):
                return camera, config
    return None


def made_otherwise(
    path: Path,
    wanted: tuple[MosaicSensor | None, PreprocessingConfig],
    said: tuple[MosaicSensor | None, PreprocessingConfig],
    capture: CaptureSettings,
    capture_id: str,
) -> StudyError:
    """The error to raise if the prepared cube does not fit and there are no frames.

    Parameters
    ----------
    path
        The cube.
    wanted
        The requested sensor and preprocessing, by default those of study.toml.
    said
        Those of study.toml.
    capture, capture_id
        The capture's crop and exposures in study.toml, and its name.
    """
    ours = read_chain(path) is not None
    found = made_with(path, (wanted[0], said[0]), (wanted[1], said[1]), capture) if ours else said
    asks = "study.toml states" if wanted == said else "requested"
    faults = []
    if found is not None:
        camera, config = found
        if camera is not None and wanted[0] is not None and camera.fingerprint() != wanted[0].fingerprint():
            faults.append(f"sensor {camera.name!r}, not {wanted[0].name!r}")
        if config != wanted[1]:
            faults.append(differing(config, wanted[1]))
    other = "another sensor, preprocessing, crop or exposures" if found is None else "another crop or other exposures"
    told = " and ".join(faults) or other
    than = f" as {asks}" if faults else f" than {asks}"
    remedy = (
        "Correct sensor and [preprocessing] in study.toml"
        if wanted == said
        else "Request the sensor and preprocessing with which it was made"
    )
    return StudyError(
        f"capture {capture_id}",
        f"its prepared cube {path} was made with {told}{than}, and it has no frames in tif/",
        f"{remedy}, or add raw, white and dark frames.",
    )


def differing(said: PreprocessingConfig, asked: PreprocessingConfig) -> str:
    """Settings that differ, for example 'normalisation = 'snv', not 'brightness''."""
    pairs = {name: (value, asked.as_dict()[name]) for name, value in said.as_dict().items()}
    return " and ".join(f"{name} = {one!r}, not {other!r}" for name, (one, other) in pairs.items() if one != other)


def _registered() -> Iterator[MosaicSensor]:
    for name in list_sensors():
        with suppress(GlioMapError):
            yield get_sensor(name)
