"""Common base of the models of single spectra fitted in one step: LDA, logistic regression, SVMs, forest, neighbours."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from gliomap._progress import Track, silent
from gliomap._text import counted
from gliomap.errors import ModelError
from gliomap.learning._calibration import softmax, temperature_of
from gliomap.learning._config import TrainingConfig
from gliomap.learning._history import EpochRecord, History, Observer, no_observer
from gliomap.learning._layers import DenseNetwork
from gliomap.learning._model import Floats, Tensors, check_finite, check_labels, check_patches, check_sizes, predict
from gliomap.learning._patches import PatchSource
from gliomap.learning._spectral_graph import SpectralGraph
from gliomap.learning._stratified import pixel_parts

__all__ = ["ABSENT_LOGIT", "OVERCONFIDENT", "Pixels", "SpectralModel", "in_blocks"]

ABSENT_LOGIT = -1e4
"""Bias of a class without training pixels: its probability is 0, and nothing is infinite."""

OVERCONFIDENT = (
    "no other patient was left for calibration: probabilities were learned from the training patients' own pixels "
    "and are overconfident"
)

_BLOCK = 4096
"""Spectra classified at a time."""

_PARTS = 5
"""Without validation patients, one training pixel in five is set aside for calibration."""


@dataclass(frozen=True, eq=False)
class Pixels:
    """Labelled spectra.

    Attributes
    ----------
    spectra
        (N, B) float32.
    labels
        (N,) class 1…C.
    patients
        (N,) number of the patient.
    """

    spectra: Floats
    labels: npt.NDArray[np.intp]
    patients: npt.NDArray[np.intp]

    @classmethod
    def of(cls, source: PatchSource) -> Pixels:
        """All pixels of a source whose windows are one pixel wide."""
        _, numbers = np.unique(source.patients, return_inverse=True)
        spectra = np.ascontiguousarray(source.windows(np.arange(len(source)))[:, :, 0, 0])
        return cls(spectra, source.labels.astype(np.intp), numbers[source.index[:, 0]].astype(np.intp))

    def chosen(self, which: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Pixels:
        """A subset of the pixels."""
        return Pixels(self.spectra[which], self.labels[which], self.patients[which])

    def subsample(self, most: int, seed: int) -> Pixels:
        """Draw at most `most` pixels without replacement: the same number per class, and per patient within a class.

        Classes and patients with fewer pixels than their share leave the rest to the others. The same seed draws the
        same pixels.
        """
        if self.labels.size <= most:
            return self
        generator = np.random.default_rng(seed)
        # A pixel's turn is its rank: first, second, … of its patient and class, and then of its class. Shuffling
        # first makes every rank random.
        order = generator.permutation(self.labels.size)
        turn = _turns(np.stack([self.labels, self.patients], axis=1)[order])
        order = order[np.argsort(turn, kind="stable")]
        turn = _turns(self.labels[order][:, np.newaxis])
        taken = order[np.argsort(turn, kind="stable")][:most]
        return self.chosen(np.sort(taken))


class SpectralModel(ABC):
    """A model of single spectra, stored as tensors. Subclasses hold what is specific to one kind of model.

    Parameters
    ----------
    n_bands, n_classes
        Number of bands and of classes.
    """

    name: ClassVar[str]
    window: ClassVar[int] = 1
    calibrated: ClassVar[bool] = True
    """Whether a learned temperature turns its scores into probabilities."""
    shapes: ClassVar[Mapping[str, str]]
    """Tensor → letters of its axes: B for bands, C for classes; each letter has the same size everywhere."""

    def __init__(self, n_bands: int = 25, n_classes: int = 5) -> None:
        check_sizes(self.name, n_bands, n_classes)
        self.n_bands = n_bands
        self.n_classes = n_classes
        self._fitted: dict[str, Floats] | None = None

    @abstractmethod
    def _learn(self, pixels: Pixels, config: TrainingConfig) -> dict[str, Floats]:
        """The tensors, before calibration."""

    @abstractmethod
    def _logits(self, spectra: Floats) -> Floats:
        """Logits (N, C) of spectra (N, B); their softmax yields the probabilities."""

    @abstractmethod
    def dense(self) -> DenseNetwork | SpectralGraph:
        """The same model without scikit-learn."""

    def _scaled(self, tensors: dict[str, Floats], factor: float, present: npt.NDArray[np.intp]) -> dict[str, Floats]:
        """The tensors of a model whose logits are `factor` times as large for the classes that occur (0…C − 1)."""
        del present
        return {**tensors, "factor": tensors["factor"] * np.float32(factor)}

    def _check(self) -> None:
        """Refuse tensors that have the right shapes but unusable values."""
        return

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
        """Fit in one step; the history has one epoch. Uses only `class_weights`, `seed` and `threads` of `config`."""
        del checkpoint, track
        started = time.perf_counter()
        notes = check_labels(training, self.n_classes)
        check_patches(training.windows(np.arange(1)), self.n_bands, self.window)
        pixels = Pixels.of(training)
        present = np.unique(pixels.labels) - 1
        if len(training) <= present.size:
            raise ModelError(
                f"training captures {', '.join(training.captures)}",
                f"hold {counted(len(training), 'labelled pixel')} for {present.size} classes",
                "Add captures: a model needs more pixels than classes.",
            )
        from threadpoolctl import threadpool_limits

        # Spectra are short: more threads would spend more time waiting for each other than computing.
        with threadpool_limits(config.threads):
            fitted = self._learn(pixels, config)
            if self.calibrated:
                factor, told = self._calibrate(fitted, pixels, validation, config)
                fitted, notes = self._scaled(fitted, factor, present), (*notes, *told)
        self._adopt(fitted)
        loss, accuracy, _ = self._scores(training)
        tested = self._scores(validation) if validation is not None and len(validation) else (None, None, None)
        record = EpochRecord(1, time.perf_counter() - started, 0.0, loss, accuracy, *tested)
        observer(record)
        return History((record,), 1, "fitted in one step", notes)

    def _scores(self, source: PatchSource) -> tuple[float, float, float]:
        """Cross-entropy, accuracy and mean recall."""
        probabilities = predict(self, source)
        labels = source.labels.astype(np.intp) - 1
        right = probabilities.argmax(axis=1) == labels
        likelihood = np.maximum(probabilities[np.arange(labels.size), labels], np.finfo(np.float32).tiny)
        recalls = [float(right[labels == value].mean()) for value in np.unique(labels)]
        return abs(float(np.log(likelihood).mean())), float(right.mean()), float(np.mean(recalls))

    def _calibrate(
        self, fitted: dict[str, Floats], pixels: Pixels, validation: PatchSource | None, config: TrainingConfig
    ) -> tuple[float, tuple[str, ...]]:
        """The temperature factor, and notes on it."""
        if validation is not None:
            held = Pixels.of(validation)
            held = held.chosen(np.isin(held.labels, pixels.labels))
            if held.labels.size:
                return self._temperature(fitted, held), ()
        aside = pixel_parts(pixels.labels.astype(np.uint8), _PARTS, seed=config.seed) == 0
        return self._temperature(self._learn(pixels.chosen(~aside), config), pixels.chosen(aside)), (OVERCONFIDENT,)

    def _temperature(self, fitted: dict[str, Floats], held: Pixels) -> float:
        twin = type(self)(self.n_bands, self.n_classes)
        twin._adopt(fitted)
        return temperature_of(twin._logits(held.spectra), held.labels - 1)

    def _adopt(self, tensors: Mapping[str, Floats]) -> None:
        check_finite(self.name, tensors)
        self._fitted = {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in tensors.items()}
        self._check()

    def predict_proba(self, patches: Floats) -> Floats:
        """Probabilities (N, C) of patches (N, B, 1, 1)."""
        check_patches(patches, self.n_bands, self.window)
        return softmax(self._logits(np.ascontiguousarray(patches[:, :, 0, 0])))

    def tensors(self) -> dict[str, Floats]:
        """Tensors by name, as listed in `shapes`.

        Raises
        ------
        ModelError
            The model is not fitted yet.
        """
        return {name: tensor.copy() for name, tensor in self._known().items()}

    def _known(self) -> dict[str, Floats]:
        if self._fitted is None:
            raise ModelError(self.name, "is not trained yet", "Call fit first, or load weights.")
        return self._fitted

    @classmethod
    def from_tensors(cls, tensors: Tensors) -> Self:
        """Build the model with these tensors.

        Raises
        ------
        ModelError
            The tensors are not those listed in `shapes`, their sizes contradict each other, or values are impossible.
        """
        found = {name: value.shape for name, value in tensors.items()}
        sizes: dict[str, int] = {"1": 1}
        fits = set(found) == set(cls.shapes)
        for name, axes in cls.shapes.items():
            shape = found.get(name, ())
            fits = (
                fits
                and len(shape) == len(axes)
                and all(sizes.setdefault(*one) == one[1] for one in zip(axes, shape, strict=True))
            )
        if not fits:
            wanted = ", ".join(f"{name} ({', '.join(axes)})" for name, axes in cls.shapes.items())
            raise ModelError(
                f"weights of {cls.name}", f"are {found}, but the model takes {wanted}", "Check the architecture."
            )
        model = cls(n_bands=sizes["B"], n_classes=sizes["C"])
        model._adopt(tensors)
        return model


def in_blocks(logits: Callable[[Floats], Floats], spectra: Floats, n_classes: int) -> Floats:
    """Compute (N, C) logits of spectra (N, B), some thousands at a time."""
    result = np.zeros((len(spectra), n_classes), np.float32)
    for first in range(0, len(spectra), _BLOCK):
        result[first : first + _BLOCK] = logits(spectra[first : first + _BLOCK])
    return result


def _turns(keys: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """(N,) number of earlier occurrences of the same row."""
    _, group = np.unique(keys, axis=0, return_inverse=True)
    group = group.reshape(-1)
    order = np.argsort(group, kind="stable")
    starts = np.cumsum(np.bincount(group)) - np.bincount(group)
    turns = np.empty(group.size, np.intp)
    turns[order] = np.arange(group.size) - starts[group[order]]
    return turns
