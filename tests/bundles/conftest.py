"""A small sensor and a bundle for it, which a test may damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundles.makers import small_bundle, small_sensor
from gliomap.bundles import Bundle
from gliomap.sensors import MosaicSensor


@pytest.fixture
def sensor() -> MosaicSensor:
    return small_sensor()


@pytest.fixture
def bundle(tmp_path: Path, sensor: MosaicSensor) -> Bundle:
    return small_bundle(tmp_path / "bundle", sensor=sensor)
