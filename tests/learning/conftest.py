"""Small cubes with separable classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from gliomap.learning import LabelledCube

MakeCubes = Callable[..., list[LabelledCube]]


@pytest.fixture
def make_cubes() -> MakeCubes:
    """Make cubes of tissue patches of 6×6 pixels; each class has its own mean spectrum.

    `noise` 0.1 is easy, 1 is hard. About 60 % of the pixels are labelled.
    """

    def make(
        number: int = 2,
        *,
        seed: int = 0,
        shape: tuple[int, int] = (24, 30),
        bands: int = 25,
        classes: Sequence[int] = (1, 2, 3, 4, 5),
        noise: float = 0.1,
        first: int = 1,
    ) -> list[LabelledCube]:
        means = np.random.default_rng(1234).normal(0, 0.3, (6, bands))
        cubes = []
        for patient in range(first, first + number):
            generator = np.random.default_rng([seed, patient])
            tissue = generator.choice(classes, (-(-shape[0] // 6), -(-shape[1] // 6))).repeat(6, 0).repeat(6, 1)
            tissue = tissue[: shape[0], : shape[1]]
            data = means[tissue] + generator.normal(0, noise, (*shape, bands))
            labels = np.where(generator.random(shape) < 0.6, tissue, 0)
            name = f"ID{patient:04d}"
            cubes.append(LabelledCube(f"{name}C01", name, data.astype(np.float32), labels.astype(np.uint8)))
        return cubes

    return make
