"""Small studies for the tests of the room."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from gliomap.preprocessing import HyperCube
from gliomap.sensors import MosaicSensor, get_sensor, resized
from gliomap.studies import Study, open_study, write_capture_files

CODES = (101, 200, 301, 302, 320)


def make_cube(height: int = 9, width: int = 8, bands: int = 25, seed: int = 0) -> HyperCube:
    data = np.random.default_rng(seed).uniform(0.4, 1.6, (height, width, bands)).astype(np.float32)
    shape = (height, width)
    return HyperCube(data, None, "reflectance", np.ones(shape, bool), np.zeros(shape, np.uint8))


def make_codes(height: int = 9, width: int = 8, seed: int = 0) -> npt.NDArray[np.uint16]:
    """About half the pixels labelled, every class of the thesis among them."""
    generator = np.random.default_rng(seed + 1000)
    codes = generator.choice(np.array([0, *CODES], np.uint16), (height, width), p=[0.5, *[0.1] * 5])
    codes.ravel()[:10] = np.repeat(CODES, 2)
    return codes


StudyMaker = Callable[..., Study]


@pytest.fixture
def prepared_study(tmp_path: Path) -> StudyMaker:
    """Write a study of prepared cubes with maps and labelled spectra, one seed a capture."""

    def make(captures: Iterable[str] = ("ID0001C01", "ID0001C02", "ID0002C01", "ID0003C011"), **settings: str) -> Study:
        root = tmp_path / "study"
        for seed, capture_id in enumerate(captures):
            write_capture_files(root, capture_id, cube=make_cube(seed=seed), codes=make_codes(seed=seed))
        for key, value in settings.items():
            (root / "study.toml").write_text(f"{key} = {value}\n", encoding="utf-8")
        return open_study(root)

    return make


@pytest.fixture
def small_sensor() -> MosaicSensor:
    """The camera of the phantom with a frame of 12×14 tiles."""
    return resized(get_sensor("generic-nir-5x5"), 12, 14)


def make_frames(sensor: MosaicSensor, seed: int = 0) -> tuple[npt.NDArray[np.uint16], ...]:
    """Raw, white and dark of a scene without structure, well inside the range."""
    generator = np.random.default_rng(seed)
    dark = generator.integers(20, 40, sensor.frame_shape).astype(np.uint16)
    white = (dark + generator.integers(500, 700, sensor.frame_shape)).astype(np.uint16)
    raw = (dark + (white - dark) * generator.uniform(0.2, 0.8, sensor.frame_shape)).astype(np.uint16)
    return raw, white, dark
