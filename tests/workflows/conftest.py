"""A small study of preprocessed cubes without frames, like those of other groups, and a run on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gliomap.preprocessing import HyperCube, PreprocessingConfig, normalise
from gliomap.studies import write_capture_files
from gliomap.workflows import evaluate, train

CODES = np.array([0, 101, 200, 301, 302, 320], np.uint16)


def write_study(
    root: Path,
    captures: tuple[str, ...] = ("ID0001C01", "ID0002C01", "ID0002C02", "ID0003C01", "ID0004C01"),
    *,
    noise: float = 0.2,
    shape: tuple[int, int] = (24, 30),
    bands: int = 25,
) -> Path:
    """Write captures of tissue patches of 6×6 pixels; each class has its own mean spectrum."""
    means = np.random.default_rng(1234).normal(0, 0.3, (6, bands))
    for number, capture in enumerate(captures):
        generator = np.random.default_rng([7, number])
        tissue = generator.permutation(np.arange(shape[0] * shape[1] // 36) % 5 + 1)
        tissue = tissue.reshape(shape[0] // 6, shape[1] // 6).repeat(6, 0).repeat(6, 1)
        data = normalise((means[tissue] + generator.normal(0, noise, (*shape, bands))).astype(np.float32))
        mask = np.ones(shape, bool)
        mask[0, :3] = False
        data[~mask] = 0
        codes = np.where(generator.random(shape) < 0.6, CODES[tissue], 0).astype(np.uint16)
        codes[0, :3] = 101
        codes[0, 4] = 310
        cube = HyperCube(data, None, PreprocessingConfig().units, mask, np.where(mask, 0, 4).astype(np.uint8))
        write_capture_files(root, capture, cube=cube, codes=codes)
    return root


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Path]:
    """Write a study into a fresh folder; arguments as for `write_study`."""

    def make(**options: object) -> Path:
        return write_study(tmp_path / "study", **options)

    return make


@pytest.fixture
def study(make_study: Callable[..., Path]) -> Path:
    """Four patients, five captures."""
    return make_study()


@pytest.fixture(scope="module")
def lopo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluated leave-one-patient-out run."""
    study = write_study(tmp_path_factory.mktemp("lopo") / "study")
    run = train(study, model="lda", protocol="lopo")
    evaluate(run)
    return run
