"""Rendering is slow, so what several tests need is rendered once."""

from __future__ import annotations

import pytest

from gliomap.phantom import Patient, RenderedPatient, draw_patients, render_patient
from gliomap.sensors import MosaicSensor, get_sensor, resized


@pytest.fixture(scope="session")
def small_sensor() -> MosaicSensor:
    """The phantom's camera with a frame that renders in a tenth of a second."""
    return resized(get_sensor("generic-nir-5x5"), 64, 120)


@pytest.fixture(scope="session")
def patients() -> tuple[Patient, ...]:
    return draw_patients(4, seed=5, difficulty="realistic")


@pytest.fixture(scope="session")
def rendered(patients: tuple[Patient, ...], small_sensor: MosaicSensor) -> RenderedPatient:
    return render_patient(patients[0], small_sensor)
