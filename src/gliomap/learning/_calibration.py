"""Scores made into probabilities: one temperature, learned from patients the model was not fitted on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gliomap.errors import ModelError

__all__ = ["softmax", "temperature_of"]

_LOG_RANGE = (-6.0, 6.0)
"""Natural logarithms of the scale that is searched: 0.0025…400."""


def temperature_of(scores: npt.NDArray[np.floating], labels: npt.NDArray[np.intp]) -> float:
    """The factor t for which softmax(t · scores) has the least cross-entropy on these pixels.

    Temperature scaling (Guo, Pleiss, Sun and Weinberger 2017, 'On calibration of modern neural networks'; their
    temperature is 1/t). One number for all classes: it changes no label, and a class that the patients who calibrate
    do not have cannot be spoilt by them. Each class counts the same, since labelled shares say nothing about a brain.

    Parameters
    ----------
    scores
        (N, K), larger for the likelier class.
    labels
        (N,) column of the true class, 0…K − 1.

    Raises
    ------
    ModelError
        No pixel.
    """
    from scipy.optimize import minimize_scalar

    if not labels.size:
        raise ModelError("calibration", "has no pixel to learn from", "Let patients with labels validate.")
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights = 1 / counts[inverse]
    weights /= weights.sum()
    values = scores.astype(np.float64)
    centred = values - values.max(axis=1, keepdims=True)
    own = centred[np.arange(labels.size), labels]

    def loss(log_factor: float) -> float:
        factor = np.exp(log_factor)
        total = np.log(np.exp(factor * centred).sum(axis=1))
        return float((weights * (total - factor * own)).sum())

    found = minimize_scalar(loss, bounds=_LOG_RANGE, method="bounded")
    return float(np.exp(found.x))


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(N, C) probabilities of (N, C) logits."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: npt.NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return result
