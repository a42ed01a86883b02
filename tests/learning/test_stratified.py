"""Labelled pixels are dealt out into stratified parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliomap.learning import pixel_parts

LABELS = st.lists(st.integers(1, 5), min_size=1, max_size=300).map(lambda values: np.array(values, np.uint8))


@settings(max_examples=50)
@given(labels=LABELS, count=st.integers(2, 7), seed=st.integers(0, 1000))
def test_parts_have_the_same_size_and_the_same_class_shares(labels: np.ndarray, count: int, seed: int) -> None:
    parts = pixel_parts(labels, count, seed=seed)
    sizes = np.bincount(parts, minlength=count)
    assert sizes.max() - sizes.min() <= 1
    for value in np.unique(labels):
        shares = np.bincount(parts[labels == value], minlength=count)
        assert shares.max() - shares.min() <= 1


def test_batches_stay_together() -> None:
    labels = np.repeat(np.arange(1, 5, dtype=np.uint8), 400)
    parts = pixel_parts(labels, 25, unit=16, seed=3)
    sizes = np.bincount(parts, minlength=25)
    assert sizes.tolist() == [64] * 25
    for value in range(1, 5):
        assert np.bincount(parts[labels == value], minlength=25).tolist() == [16] * 25
    # Ten batches for four parts: two parts get one batch more than the others.
    labels = np.repeat(np.array([1, 2, 5], np.uint8), [100, 37, 23])
    parts = pixel_parts(labels, 4, unit=16, seed=3)
    assert np.bincount(parts).tolist() == [48, 48, 32, 32]
    for value, pixels in ((1, 100), (2, 37), (5, 23)):
        shares = np.bincount(parts[labels == value]) / pixels
        assert np.allclose(shares, [0.3, 0.3, 0.2, 0.2], atol=0.08)


def test_the_seed_determines_the_parts() -> None:
    labels = np.repeat(np.arange(1, 5, dtype=np.uint8), 100)
    drawn = [pixel_parts(labels, 5, unit=unit, seed=seed).tolist() for unit in (1, 16) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[3] == drawn[4] != drawn[5]


@pytest.mark.parametrize("unit", [1, 16])
def test_no_pixels_give_no_parts(unit: int) -> None:
    """The training that follows reports which captures have no labels."""
    assert pixel_parts(np.zeros(0, np.uint8), 25, unit=unit).size == 0
