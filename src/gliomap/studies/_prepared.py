"""Record of how a prepared cube was made, so that a cube made differently is noticed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gliomap.errors import StudyError
from gliomap.preprocessing import HyperCube, PreprocessingConfig, Reason, chain_sensor, is_normalised
from gliomap.sensors import MosaicSensor
from gliomap.studies._arrays import read_cube_file
from gliomap.studies._layout import CHAIN_VARIABLE
from gliomap.studies._mat import read_mat
from gliomap.studies._settings import CaptureSettings

__all__ = ["chain_of", "read_chain", "read_prepared", "require_bands"]

OTHER_UNITS = "spectra of another normalisation"
"""Units of a cube whose normalisation is not the stated one."""

_JUDGED = 10_000
"""Maximum number of a cube's spectra to examine for their normalisation."""

Chain = npt.NDArray[np.uint8]


def chain_of(sensor: MosaicSensor, config: PreprocessingConfig, capture: CaptureSettings | None = None) -> Chain:
    """Digest (1, 32) uint8 of everything that determines a prepared cube, apart from its frames.

    GlioMap's files contain it, so that a cube made before a change of study.toml is recognised as outdated.

    Parameters
    ----------
    sensor
        Only properties that affect a cube count; the name does not.
    config
        The preprocessing.
    capture
        Its crop and exposures. Exposures that are all equal have no effect and count as none.
    """
    known = capture or CaptureSettings()
    times = known.exposures
    made_with = {
        "sensor": sensor.fingerprint(),
        "preprocessing": config.as_dict(),
        "crop": known.crop.model_dump() if known.crop else None,
        "exposures": times.model_dump(exclude_none=True) if times and times.matter else None,
    }
    digest = hashlib.sha256(json.dumps(made_with, sort_keys=True).encode()).digest()
    return np.frombuffer(digest, np.uint8).reshape(1, -1)


def read_chain(path: Path) -> Chain | None:
    """The digest in a prepared cube; None for files made by other software."""
    found = read_mat(path, [], optional=[CHAIN_VARIABLE], max_bytes=1 << 20).get(CHAIN_VARIABLE)
    return None if found is None or found.dtype != np.uint8 else found.view(np.uint8)


def read_prepared(path: Path, sensor: MosaicSensor | None, config: PreprocessingConfig) -> HyperCube:
    """Read a prepared cube.

    A spectrum of zeros is masked, because the thesis's files have no other way to mark a pixel as invalid.
    Wavelengths are the sensor's, or None without a sensor. Units are those of `config`, or `OTHER_UNITS` if the spectra
    are not normalised accordingly.

    Parameters
    ----------
    path
        The `.mat` file.
    sensor
        The camera; None if unknown.
    config
        The stated preprocessing of the cube.

    Raises
    ------
    StudyError
        The file cannot be read, or its number of bands differs from the sensor's.
    CubeError
        A value is NaN or infinite.
    """
    data, reasons = read_cube_file(path)
    wavelengths = None
    if sensor is not None:
        require_bands(path, data.shape[2], sensor, config)
        wavelengths = chain_sensor(sensor, config).wavelengths_nm
    reasons = np.zeros(data.shape[:2], np.uint8) if reasons is None else reasons.copy()
    reasons[(reasons == 0) & ~data.any(axis=2)] = Reason.ZERO_BRIGHTNESS
    mask = reasons == 0
    data[~mask] = 0
    spectra = data[mask]
    as_said = is_normalised(spectra[:: -(-len(spectra) // _JUDGED) or 1], config.normalisation)
    return HyperCube(data, wavelengths, config.units if as_said else OTHER_UNITS, mask, reasons)


def require_bands(path: Path, bands: int, sensor: MosaicSensor, config: PreprocessingConfig) -> None:
    """Refuse a prepared cube whose number of bands is not the sensor's.

    Raises
    ------
    StudyError
        The numbers differ.
    """
    wanted = chain_sensor(sensor, config).n_bands
    if bands != wanted:
        raise StudyError(
            path,
            f"has {bands} bands, and sensor {sensor.name!r} has {wanted}",
            "Specify the sensor with which it was taken.",
        )
