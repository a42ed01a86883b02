"""Linear discriminant analysis, fitted by scikit-learn and kept as a linear layer."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from gliomap._progress import Track, silent
from gliomap.errors import ModelError
from gliomap.learning._config import TrainingConfig
from gliomap.learning._history import EpochRecord, History, Observer, no_observer
from gliomap.learning._layers import Conv, DenseNetwork
from gliomap.learning._model import Floats, Tensors, check_finite, check_labels, check_patches, predict
from gliomap.learning._patches import PatchSource

__all__ = ["ABSENT_LOGIT", "LinearDiscriminant"]

ABSENT_LOGIT = -1e4
"""Bias of a class without training pixels: its probability is 0, and nothing is infinite."""


class LinearDiscriminant:
    """Linear discriminant analysis on single spectra.

    Gaussian classes with one covariance; the posterior is softmax(W·(x − m) + b), m the mean spectrum. Fitted by
    `sklearn.discriminant_analysis.LinearDiscriminantAnalysis` (singular value decomposition, so that
    collinear bands do no harm), and persisted as m, W and b.

    Neighbouring bands are nearly collinear, so that weights reach some hundreds while spectra differ by hundredths.
    Without m, logits would be small differences of large numbers, and float32 would lose probabilities in the fourth
    decimal.

    Parameters
    ----------
    n_bands, n_classes
        Its size.
    """

    name: ClassVar[str] = "lda"
    window: ClassVar[int] = 1

    def __init__(self, n_bands: int = 25, n_classes: int = 5) -> None:
        if n_bands < 1 or n_classes < 2:
            raise ModelError(
                self.name, f"{n_bands} bands and {n_classes} classes make no classifier", "Give at least 1 and 2."
            )
        self.n_bands = n_bands
        self.n_classes = n_classes
        self._fitted: dict[str, Floats] | None = None

    def fit(
        self,
        training: PatchSource,
        validation: PatchSource | None,
        config: TrainingConfig,
        *,
        checkpoint: Path | None = None,
        observer: Observer = no_observer,
        track: Track = silent,
    ) -> History:
        """Fit in one go; the history has one epoch.

        Of `config` only `class_weights` is heeded: 'balanced' gives all classes that occur the same
        prior probability, 'none' their shares of the training pixels.
        """
        del checkpoint, track
        started = time.perf_counter()
        notes = check_labels(training, self.n_classes)
        check_patches(training.windows(np.arange(1)), self.n_bands, self.window)
        spectra = training.windows(np.arange(len(training)))[:, :, 0, 0].astype(np.float64)
        present = np.unique(training.labels)
        if len(training) <= present.size:
            raise ModelError(
                f"training captures {', '.join(training.captures)}",
                f"hold {len(training)} labelled pixels for {present.size} classes",
                "Linear discriminant analysis needs more pixels than classes; add captures.",
            )
        mean = spectra.mean(axis=0).astype(np.float32)
        weight, bias = _fit(spectra - mean, training.labels, balanced=config.class_weights == "balanced")
        self._fitted = {
            "mean": mean,
            "weight": np.zeros((self.n_classes, self.n_bands), np.float32),
            "bias": np.full(self.n_classes, ABSENT_LOGIT, np.float32),
        }
        self._fitted["weight"][present - 1] = weight
        self._fitted["bias"][present - 1] = bias
        check_finite(self.name, self.tensors())
        train = self._scores(training)
        tested = self._scores(validation) if validation is not None and len(validation) else (None, None, None)
        record = EpochRecord(1, time.perf_counter() - started, 0.0, train[0], train[1], *tested)
        observer(record)
        return History((record,), 1, "fitted in one step", notes)

    def predict_proba(self, patches: Floats) -> Floats:
        """Probabilities (N, C) of patches (N, B, 1, 1)."""
        check_patches(patches, self.n_bands, self.window)
        tensors = self.tensors()
        logits = (patches[:, :, 0, 0] - tensors["mean"]) @ tensors["weight"].T + tensors["bias"]
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
        return probabilities

    def dense(self) -> DenseNetwork:
        """Two 1×1 convolutions: the mean spectrum is taken away, then the weights are applied."""
        tensors = self.tensors()
        centre = Conv(np.eye(self.n_bands, dtype=np.float32)[:, :, np.newaxis, np.newaxis], -tensors["mean"])
        weigh = Conv(tensors["weight"][:, :, np.newaxis, np.newaxis], tensors["bias"])
        return DenseNetwork((centre, weigh), padding=0, n_bands=self.n_bands, n_classes=self.n_classes)

    def tensors(self) -> dict[str, Floats]:
        """'mean' (B,), 'weight' (C, B) and 'bias' (C,).

        Raises
        ------
        ModelError
            Not fitted yet.
        """
        if self._fitted is None:
            raise ModelError(self.name, "is not trained yet", "Call fit first, or load weights.")
        return {name: tensor.copy() for name, tensor in self._fitted.items()}

    @classmethod
    def from_tensors(cls, tensors: Tensors) -> LinearDiscriminant:
        """The model with these weights.

        Raises
        ------
        ModelError
            Tensors other than 'mean' (B,), 'weight' (C, B) and 'bias' (C,), or not finite.
        """
        shapes = {name: value.shape for name, value in tensors.items()}
        classes, bands = shapes.get("weight", ()) if len(shapes.get("weight", ())) == 2 else (0, 0)
        if shapes != {"mean": (bands,), "weight": (classes, bands), "bias": (classes,)}:
            raise ModelError(
                f"weights of {cls.name}",
                f"are {shapes}, wanted mean (B), weight (C, B) and bias (C)",
                "Check the architecture.",
            )
        check_finite(cls.name, tensors)
        model = cls(n_bands=bands, n_classes=classes)
        model._fitted = {name: np.array(tensor, np.float32) for name, tensor in tensors.items()}
        return model

    def _scores(self, source: PatchSource) -> tuple[float, float, float]:
        """Cross-entropy, accuracy and mean recall."""
        probabilities = predict(self, source)
        labels = source.labels.astype(np.intp) - 1
        right = probabilities.argmax(axis=1) == labels
        likelihood = np.maximum(probabilities[np.arange(labels.size), labels], np.finfo(np.float32).tiny)
        recalls = [float(right[labels == value].mean()) for value in np.unique(labels)]
        return abs(float(np.log(likelihood).mean())), float(right.mean()), float(np.mean(recalls))


def _fit(
    spectra: npt.NDArray[np.float64], labels: npt.NDArray[np.uint8], *, balanced: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Weights (K, B) and biases (K,) of the K classes that occur."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    present = np.unique(labels)
    priors = np.full(present.size, 1 / present.size) if balanced else None
    fitted = LinearDiscriminantAnalysis(priors=priors).fit(spectra, labels)
    weight, bias = np.asarray(fitted.coef_), np.asarray(fitted.intercept_)
    if present.size == 2:
        # scikit-learn keeps one row for two classes: its logit is that of the second against the first.
        weight, bias = np.concatenate([np.zeros_like(weight), weight]), np.concatenate([np.zeros_like(bias), bias])
    # Softmax does not see what is common to all rows; without it the numbers are smaller and float32 loses less.
    return weight - weight.mean(axis=0), bias - bias.mean()
