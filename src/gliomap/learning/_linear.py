"""Linear models of single spectra, fitted by scikit-learn and stored as a linear layer."""

from __future__ import annotations

from abc import abstractmethod
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from gliomap.learning._config import TrainingConfig
from gliomap.learning._layers import Conv, DenseNetwork
from gliomap.learning._model import Floats
from gliomap.learning._spectral import ABSENT_LOGIT, Pixels, SpectralModel

__all__ = ["LinearDiscriminant", "LinearModel", "LinearSupportVectors", "LogisticRegression"]

Doubles = npt.NDArray[np.float64]

_STRENGTH = 1.0
_MOST_ITERATIONS = 2000


class LinearModel(SpectralModel):
    """softmax(W·(x − m) + b) on single spectra, with m the mean training spectrum; stored as m, W and b.

    Neighbouring bands are nearly collinear, so weights reach some hundreds while spectra differ by hundredths.
    Without m, logits would be small differences of large numbers, and float32 would round probabilities in the fourth
    decimal.
    """

    shapes = MappingProxyType({"mean": "B", "weight": "CB", "bias": "C"})

    @abstractmethod
    def _weights(
        self, spectra: Doubles, labels: npt.NDArray[np.intp], config: TrainingConfig
    ) -> tuple[Doubles, Doubles]:
        """Weights (K, B) and biases (K,) of the K classes that occur, on spectra (N, B) whose mean is 0."""

    def _learn(self, pixels: Pixels, config: TrainingConfig) -> dict[str, Floats]:
        present = np.unique(pixels.labels) - 1
        weight = np.zeros((self.n_classes, self.n_bands), np.float32)
        bias = np.full(self.n_classes, ABSENT_LOGIT, np.float32)
        # The mean as float32 stores it, so that the biases fit that value.
        mean = pixels.spectra.astype(np.float64).mean(axis=0).astype(np.float32)
        weights, biases = self._weights(pixels.spectra.astype(np.float64) - mean, pixels.labels, config)
        weight[present], bias[present] = weights.astype(np.float32), biases.astype(np.float32)
        return {"mean": mean, "weight": weight, "bias": bias}

    def _logits(self, spectra: Floats) -> Floats:
        tensors = self._known()
        return np.asarray((spectra - tensors["mean"]) @ tensors["weight"].T + tensors["bias"], np.float32)

    def _scaled(self, tensors: dict[str, Floats], factor: float, present: npt.NDArray[np.intp]) -> dict[str, Floats]:
        bias = tensors["bias"].copy()
        bias[present] *= np.float32(factor)
        return {**tensors, "weight": tensors["weight"] * np.float32(factor), "bias": bias}

    def dense(self) -> DenseNetwork:
        """Two 1×1 convolutions: the first subtracts the mean spectrum, the second applies the weights."""
        tensors = self._known()
        centre = Conv(np.eye(self.n_bands, dtype=np.float32)[:, :, np.newaxis, np.newaxis], -tensors["mean"])
        weigh = Conv(tensors["weight"][:, :, np.newaxis, np.newaxis], tensors["bias"])
        return DenseNetwork((centre, weigh), padding=0, n_bands=self.n_bands, n_classes=self.n_classes)


class LinearDiscriminant(LinearModel):
    """Linear discriminant analysis on single spectra (Fisher 1936): Gaussian classes with one covariance.

    Fitted by `sklearn.discriminant_analysis.LinearDiscriminantAnalysis` (singular value decomposition, so that
    collinear bands do no harm). With `class_weights` 'balanced', all classes that occur have the same prior
    probability; with 'none', their shares of the training pixels.
    """

    name: ClassVar[str] = "lda"
    calibrated: ClassVar[bool] = False

    def _weights(
        self, spectra: Doubles, labels: npt.NDArray[np.intp], config: TrainingConfig
    ) -> tuple[Doubles, Doubles]:
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        present = np.unique(labels)
        priors = np.full(present.size, 1 / present.size) if config.class_weights == "balanced" else None
        fitted = LinearDiscriminantAnalysis(priors=priors).fit(spectra, labels)
        return _of_each_class(np.asarray(fitted.coef_), np.asarray(fitted.intercept_))


class LogisticRegression(LinearModel):
    """Multinomial logistic regression on single spectra with standardised bands (scikit-learn, L2 penalty, C = 1)."""

    name: ClassVar[str] = "logistic"
    calibrated: ClassVar[bool] = False

    def _weights(
        self, spectra: Doubles, labels: npt.NDArray[np.intp], config: TrainingConfig
    ) -> tuple[Doubles, Doubles]:
        from sklearn.linear_model import LogisticRegression as Classifier

        weights = "balanced" if config.class_weights == "balanced" else None
        return _standardised(Classifier(C=_STRENGTH, class_weight=weights, max_iter=_MOST_ITERATIONS), spectra, labels)


class LinearSupportVectors(LinearModel):
    """Linear support vector machine on single spectra, one class against the rest (Cortes and Vapnik 1995).

    Bands are standardised; `sklearn.svm.LinearSVC`, C = 1. One temperature, learned from the validation patients,
    turns its distances into probabilities.
    """

    name: ClassVar[str] = "svm-linear"

    def _weights(
        self, spectra: Doubles, labels: npt.NDArray[np.intp], config: TrainingConfig
    ) -> tuple[Doubles, Doubles]:
        from sklearn.svm import LinearSVC

        weights = "balanced" if config.class_weights == "balanced" else None
        # Solve the primal problem: there are far more pixels than bands.
        classifier = LinearSVC(
            C=_STRENGTH, class_weight=weights, dual=False, max_iter=_MOST_ITERATIONS, random_state=config.seed
        )
        return _standardised(classifier, spectra, labels)


def _standardised(classifier: Any, spectra: Doubles, labels: npt.NDArray[np.intp]) -> tuple[Doubles, Doubles]:
    """Fit on bands of unit deviation; return weights and biases for the original bands."""
    deviation = spectra.std(axis=0)
    deviation[deviation == 0] = 1
    fitted = classifier.fit(spectra / deviation, labels)
    return _of_each_class(np.asarray(fitted.coef_) / deviation, np.asarray(fitted.intercept_))


def _of_each_class(weight: Doubles, bias: Doubles) -> tuple[Doubles, Doubles]:
    """One row per class: for two classes, scikit-learn keeps only one row, the second's logit against the first's.

    Softmax ignores what all rows have in common; without it the numbers are smaller and float32 loses less.
    """
    if len(weight) == 1:
        weight, bias = np.concatenate([np.zeros_like(weight), weight]), np.concatenate([np.zeros_like(bias), bias])
    return weight - weight.mean(axis=0), bias - bias.mean()
