"""Deal labelled pixels out at random, so that every part has the same class shares."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["pixel_parts", "stratified_batches"]


def pixel_parts(labels: npt.NDArray[np.uint8], count: int, *, unit: int = 1, seed: int = 0) -> npt.NDArray[np.intp]:
    """Deal pixels into parts of equal size and equal class shares, regardless of the patient.

    Pixels of one patient land in all parts, so a model trained on some parts has seen the patients of the others.
    That is how pooled and double cross-validation work, and why they overstate performance.

    Parameters
    ----------
    labels
        (N,) classes.
    count
        Number of parts.
    unit
        Pixels that stay together: 1 deals each class out pixel by pixel; 16 deals out whole stratified batches, as in
        the thesis.
    seed
        The same seed deals the same pixels out the same way.

    Returns
    -------
    ndarray
        (N,) part of each pixel, 0…count − 1.
    """
    generator = np.random.default_rng(seed)
    result = np.zeros(labels.size, np.intp)
    if unit > 1:
        for number, batch in enumerate(stratified_batches(labels, unit, generator)):
            result[batch] = number % count
        return result
    dealt = 0
    for value in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == value))
        # Each class starts where the one before ended, so that parts differ by at most one pixel.
        result[members] = (dealt + np.arange(members.size)) % count
        dealt += members.size
    return result


def stratified_batches(
    labels: npt.NDArray[np.uint8], size: int, generator: np.random.Generator
) -> list[npt.NDArray[np.intp]]:
    """Deal all pixels into batches of `size` (the last may be smaller), each pixel once, at random.

    From every class, each batch takes its share of the pixels that are left, rounded so that the batch is full
    (largest remainder), as the thesis's batches did.
    """
    if not labels.size:
        return []
    _, classes = np.unique(labels, return_inverse=True)
    left = np.bincount(classes)
    shares = []
    for _ in range(-(-labels.size // size)):
        exact = left * min(1.0, size / left.sum())
        taken = np.floor(exact).astype(np.int64)
        missing = min(size, int(left.sum())) - int(taken.sum())
        taken[np.argsort(taken - exact, kind="stable")[:missing]] += 1
        left = left - taken
        shares.append(taken)
    table = np.stack(shares)
    order = np.argsort(classes, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(classes))[:-1])
    numbers = np.arange(len(table))
    pixels = np.concatenate([generator.permutation(member) for member in members])
    batch_of = np.concatenate([np.repeat(numbers, table[:, column]) for column in range(table.shape[1])])
    sorted_pixels = pixels[np.argsort(batch_of, kind="stable")]
    return np.split(sorted_pixels.astype(np.intp), np.cumsum(table.sum(axis=1))[:-1])
