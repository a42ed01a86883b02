"""What every measurement shares: one phantom frame, one trained network and its bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.machine import THREADS, describe, limit_block
from gliomap.bundles import Bundle
from gliomap.learning import LabelledCube, PatchSource, TissueModel, TrainingConfig, build_model
from gliomap.learning.export import BundleInfo, export_bundle
from gliomap.phantom import RenderedPatient, draw_patients, render_patient
from gliomap.preprocessing import References, prepare_references, preprocess
from gliomap.sensors import MosaicSensor, get_sensor
from gliomap.taxonomy import THESIS_CLASSES

ROUNDS, BLOCK = 120, 20
"""Frames in total, and consecutive frames between two measurements of the limit: enough that caches and threads are warm
for both, as they are while frames arrive one after another."""


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Describe the machine in this process; the one that started it may run NumPy on other kernels."""
    machine_info["described"] = describe()


@pytest.fixture(scope="session")
def sensor() -> MosaicSensor:
    """The phantom's camera; like the thesis's: 1088×2048, 25 bands, correction after the division."""
    return get_sensor("generic-nir-5x5")


@pytest.fixture(scope="session")
def frame(sensor: MosaicSensor) -> RenderedPatient:
    """A full phantom frame, with saturated glints like those of real frames."""
    return render_patient(draw_patients(2, seed=0, difficulty="moderate")[0], sensor)


@pytest.fixture(scope="session")
def references(frame: RenderedPatient, sensor: MosaicSensor) -> References:
    return prepare_references(frame.white, frame.dark, sensor)


@pytest.fixture(scope="session")
def model(frame: RenderedPatient, references: References) -> TissueModel:
    """The thesis's network, trained for a few epochs on the frame itself: speed does not depend on the training."""
    cube = LabelledCube.from_cube("ID0001C01", "ID0001", preprocess(frame.raw, references), frame.codes, THESIS_CLASSES)
    network = build_model("conv2d", 25, 5, seed=0)
    network.fit(PatchSource([cube], network.window), None, TrainingConfig(epochs=5, batch_size=64, patience=None))
    return network


@pytest.fixture(scope="session")
def bundle(model: TissueModel, sensor: MosaicSensor, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("benchmarks") / "bundle"
    info = BundleInfo("benchmarks", sensor=sensor)
    return export_bundle(model, path, info, reduced_precision=True, threads=THREADS)


Measure = Callable[[Callable[[], object]], None]


@pytest.fixture
def against_limit(benchmark: Any) -> Measure:
    """Time a function in blocks, and the machine's limit between blocks; record both."""
    limits: list[float] = []
    count = 0

    def setup() -> None:
        nonlocal count
        if count % BLOCK == 0:
            limits.extend(limit_block(BLOCK))
            current()
        count += 1

    current: Callable[[], object]

    def measure(function: Callable[[], object]) -> None:
        nonlocal current
        current = function
        benchmark.pedantic(function, setup=setup, rounds=ROUNDS, warmup_rounds=2)
        benchmark.extra_info["limit_s"] = float(np.median(limits))

    return measure


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")
