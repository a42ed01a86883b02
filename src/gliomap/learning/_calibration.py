"""Turn scores into probabilities with one temperature, learned from patients the model was not fitted on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gliomap.errors import ModelError

__all__ = ["softmax", "temperature_of"]

_LOG_RANGE = (-6.0, 6.0)
"""Natural logarithms of the range of factors searched: 0.0025…400."""


def temperature_of(scores: npt.NDArray[np.floating], labels: npt.NDArray[np.intp]) -> float:
    """The factor t that minimises the cross-entropy of softmax(t · scores) on these pixels.

    This is temperature scaling (Guo, Pleiss, Sun and Weinberger 2017, 'On calibration of modern neural networks';
    their temperature is 1/t). All classes share one number, so it changes no label, and calibration patients without a
    class cannot distort that class. Each class has the same weight, since labelled shares say nothing about a brain.

    Parameters
    ----------
    scores
        (N, K), larger for more likely classes.
    labels
        (N,) column of the true class, 0…K − 1.

    Raises
    ------
    ModelError
        There are no pixels.
    """
    from scipy.optimize import minimize_scalar

    if not labels.size:
        raise ModelError("calibration", "has no pixel to learn from", "Use patients with labels for validation.")
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
    """(N, C) probabilities from (N, C) logits."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: npt.NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return result
