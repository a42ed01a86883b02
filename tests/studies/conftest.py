"""Small studies for the tests of `gliomap.studies`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from gliomap.sensors import MosaicSensor, get_sensor, resized
from gliomap.studies import Study, open_study, write_capture_files
from studies.makers import StudyMaker, make_codes, make_cube, write_raw_study


@pytest.fixture
def prepared_study(tmp_path: Path) -> StudyMaker:
    """Write a study of prepared cubes with maps and labelled spectra, with one random seed per capture."""

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


@pytest.fixture
def raw_study(tmp_path: Path, small_sensor: MosaicSensor) -> Study:
    """Two captures as frames; see `write_raw_study`."""
    return write_raw_study(tmp_path / "study", small_sensor)
