"""The history of a model that is fitted in one step."""

from __future__ import annotations

import time

import numpy as np

from gliomap.learning._history import EpochRecord, History, Observer
from gliomap.learning._model import TissueModel, predict
from gliomap.learning._patches import PatchSource

__all__ = ["one_step"]


def one_step(
    model: TissueModel,
    training: PatchSource,
    validation: PatchSource | None,
    started: float,
    notes: tuple[str, ...],
    observer: Observer,
) -> History:
    """Score a fitted model on its training and validation pixels, tell the observer, and give a history of one epoch.

    Parameters
    ----------
    started
        `time.perf_counter()` when fitting began.
    """
    train = _scores(model, training)
    tested = _scores(model, validation) if validation is not None and len(validation) else (None, None, None)
    record = EpochRecord(1, time.perf_counter() - started, 0.0, train[0], train[1], *tested)
    observer(record)
    return History((record,), 1, "fitted in one step", notes)


def _scores(model: TissueModel, source: PatchSource) -> tuple[float, float, float]:
    """Cross-entropy, accuracy and mean recall."""
    probabilities = predict(model, source)
    labels = source.labels.astype(np.intp) - 1
    right = probabilities.argmax(axis=1) == labels
    likelihood = np.maximum(probabilities[np.arange(labels.size), labels], np.finfo(np.float32).tiny)
    recalls = [float(right[labels == value].mean()) for value in np.unique(labels)]
    return abs(float(np.log(likelihood).mean())), float(right.mean()), float(np.mean(recalls))
