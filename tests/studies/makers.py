"""Small cubes, maps and frames for the tests of `gliomap.studies`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gliomap.preprocessing import HyperCube, PreprocessingConfig, normalise
from gliomap.sensors import MosaicSensor, write_sensor_toml
from gliomap.studies import Study, StudySettings, open_study, write_capture_files, write_study_toml

StudyMaker = Callable[..., Study]
CODES = (101, 200, 301, 302, 320)
CAPTURES = ("ID0001C01", "ID0002C01")
SNV = PreprocessingConfig(normalisation="snv")


def make_cube(height: int = 9, width: int = 8, bands: int = 25, seed: int = 0) -> HyperCube:
    config, shape = PreprocessingConfig(), (height, width)
    data = normalise(np.random.default_rng(seed).uniform(0.4, 1.6, (*shape, bands)).astype(np.float32))
    return HyperCube(data, None, config.units, np.ones(shape, bool), np.zeros(shape, np.uint8))


def make_codes(height: int = 9, width: int = 8, seed: int = 0) -> npt.NDArray[np.uint16]:
    """A map with about half of its pixels labelled and every class of the thesis present."""
    generator = np.random.default_rng(seed + 1000)
    codes = generator.choice(np.array([0, *CODES], np.uint16), (height, width), p=[0.5, *[0.1] * 5])
    codes.ravel()[:10] = np.repeat(CODES, 2)
    return codes


def make_frames(sensor: MosaicSensor, seed: int = 0) -> tuple[npt.NDArray[np.uint16], ...]:
    """Raw, white and dark frames of a scene without structure, well within the camera's range."""
    generator = np.random.default_rng(seed)
    dark = generator.integers(20, 40, sensor.frame_shape).astype(np.uint16)
    white = (dark + generator.integers(500, 700, sensor.frame_shape)).astype(np.uint16)
    raw = (dark + (white - dark) * generator.uniform(0.2, 0.8, sensor.frame_shape)).astype(np.uint16)
    return raw, white, dark


def write_raw_study(root: Path, sensor: MosaicSensor, captures: Iterable[str] = CAPTURES) -> Study:
    """Captures of 12×14 tiles as frames and full-size maps. A file describes the sensor, but no study.toml names it."""
    for seed, capture_id in enumerate(captures):
        write_capture_files(root, capture_id, frames=make_frames(sensor, seed), codes=make_codes(12, 14, seed))
    write_sensor_toml(sensor, root / "camera.toml")
    return open_study(root)


def with_settings(study: Study, **settings: object) -> Study:
    """The study with a study.toml that names its sensor and holds these settings."""
    write_study_toml(study.root, StudySettings.model_validate({"sensor": "camera.toml", **settings}))
    return open_study(study.root)
