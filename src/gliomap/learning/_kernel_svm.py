"""Support vector machine with a Gaussian kernel."""

from __future__ import annotations

from types import MappingProxyType
from typing import ClassVar

import numpy as np

from gliomap.errors import ModelError
from gliomap.learning._config import TrainingConfig
from gliomap.learning._model import Floats
from gliomap.learning._spectral import ABSENT_LOGIT, Pixels, SpectralModel, in_blocks
from gliomap.learning._spectral_graph import GraphBuilder, SpectralGraph

__all__ = ["KernelSupportVectors"]

MOST_PIXELS = 2500
"""Maximum number of training pixels, balanced over classes and patients: every vector is compared with every frame pixel."""

_STRENGTH = 10.0


class KernelSupportVectors(SpectralModel):
    """Support vector machine with a Gaussian kernel, one class against the rest (Cortes and Vapnik 1995), scikit-learn.

    Bands are standardised; C = 10, kernel exp(−‖x − s‖² / B). One temperature, learned from the validation patients,
    turns its distances into probabilities.

    The kernel is written as matrix products, since ONNX Runtime's own operator for support vectors takes many times
    as long and OpenVINO has no such operator.
    """

    name: ClassVar[str] = "svm-rbf"
    shapes = MappingProxyType(
        {"mean": "B", "deviation": "B", "vectors": "SB", "weight": "SC", "bias": "C", "factor": "1"}
    )

    def _learn(self, pixels: Pixels, config: TrainingConfig) -> dict[str, Floats]:
        from sklearn.svm import SVC

        chosen = pixels.subsample(MOST_PIXELS, config.seed)
        mean, deviation = chosen.spectra.mean(axis=0), chosen.spectra.std(axis=0)
        deviation[deviation == 0] = 1
        spectra = ((chosen.spectra - mean) / deviation).astype(np.float64)
        weight = np.zeros((len(spectra), self.n_classes))
        bias = np.full(self.n_classes, ABSENT_LOGIT)
        for label in np.unique(chosen.labels):
            machine = SVC(
                C=_STRENGTH,
                gamma=1 / self.n_bands,
                class_weight="balanced" if config.class_weights == "balanced" else None,
            ).fit(spectra, chosen.labels == label)
            weight[machine.support_, label - 1] = machine.dual_coef_[0]
            bias[label - 1] = machine.intercept_[0]
        used = weight.any(axis=1)
        return {
            "mean": mean,
            "deviation": deviation,
            "vectors": spectra[used].astype(np.float32),
            "weight": weight[used].astype(np.float32),
            "bias": bias.astype(np.float32),
            "factor": np.ones(1, np.float32),
        }

    def _check(self) -> None:
        tensors = self._known()
        if not (tensors["deviation"] > 0).all() or tensors["factor"][0] <= 0:
            raise ModelError(
                f"weights of {self.name}", "hold a deviation or factor that is not positive", "Train again."
            )

    def _products(self) -> tuple[Floats, Floats, Floats, Floats]:
        """P, p, W, w: the kernel's exponents are e = [z, ‖z‖²]·P + p for a standardised spectrum z; logits are exp(e)·W + w."""
        tensors = self._known()
        vectors, factor = tensors["vectors"].astype(np.float64), tensors["factor"][0]
        gamma = 1 / self.n_bands
        inner = np.concatenate([2 * gamma * vectors.T, np.full((1, len(vectors)), -gamma)])
        offset = -gamma * (vectors**2).sum(axis=1)
        bias = np.where(tensors["bias"] > ABSENT_LOGIT, factor * tensors["bias"], ABSENT_LOGIT)
        return (
            inner.astype(np.float32),
            offset.astype(np.float32),
            (factor * tensors["weight"]).astype(np.float32),
            bias.astype(np.float32),
        )

    def _logits(self, spectra: Floats) -> Floats:
        tensors, (inner, offset, weight, bias) = self._known(), self._products()

        def logits(some: Floats) -> Floats:
            scaled = (some - tensors["mean"]) / tensors["deviation"]
            squares = (scaled**2).sum(axis=1, keepdims=True)
            exponents = np.concatenate([scaled, squares], axis=1) @ inner + offset
            result: Floats = np.exp(exponents, out=exponents) @ weight + bias
            return result

        return in_blocks(logits, spectra, self.n_classes)

    def dense(self) -> SpectralGraph:
        """The same model as matrix products, row by row of a frame."""
        tensors, (inner, offset, weight, bias) = self._known(), self._products()

        def logits(build: GraphBuilder, plane: str) -> str:
            centred = build("Sub", plane, build.real(tensors["mean"]))
            scaled = build("Div", centred, build.real(tensors["deviation"]))
            squares = build("ReduceSumSquare", scaled, build.integers(2), keepdims=1)
            extended = build("Concat", scaled, squares, axis=2)

            def row(values: str) -> str:
                exponents = build("Gemm", values, build.real(inner), build.real(offset))
                return build("Gemm", build("Exp", exponents), build.real(weight), build.real(bias))

            return build.row_by_row(extended, self.n_classes, row)

        size = sum(tensor.size for tensor in tensors.values())
        return SpectralGraph(self.n_bands, self.n_classes, logits, size)
