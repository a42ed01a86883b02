"""The interface of all tissue models, and prediction in batches."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gliomap._progress import Track, silent
from gliomap._text import counted
from gliomap.errors import ModelError
from gliomap.learning._config import TrainingConfig
from gliomap.learning._history import History, Observer, no_observer
from gliomap.learning._layers import DenseNetwork
from gliomap.learning._patches import PatchSource
from gliomap.learning._spectral_graph import SpectralGraph
from gliomap.preprocessing import HyperCube
from gliomap.taxonomy import FEW_PIXELS

__all__ = [
    "Floats",
    "Tensors",
    "TissueModel",
    "check_finite",
    "check_labels",
    "check_patches",
    "predict",
    "predict_map",
]

Floats = npt.NDArray[np.float32]
Tensors = Mapping[str, npt.NDArray[np.float32]]

BATCH = 4096
"""Windows predicted at a time: 20 MB of 7×7×25 float32."""


class TissueModel(Protocol):
    """A model that computes each pixel's probability per class from a window around it.

    `window` is 1 for a model of single spectra. Patches are (N, B, w, w) float32. Probabilities are
    (N, C) float32; rows sum to 1, and column k belongs to class k + 1.
    """

    @property
    def name(self) -> str:
        """The model's name in the registry."""
        ...

    @property
    def window(self) -> int:
        """Side of the window, odd."""
        ...

    @property
    def n_bands(self) -> int:
        """Number of bands of a spectrum."""
        ...

    @property
    def n_classes(self) -> int:
        """Number of classes, whether or not each occurred in training."""
        ...

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
        """Learn from labelled pixels.

        Parameters
        ----------
        training
            Pixels with a label.
        validation
            Pixels of other patients, or None.
        config
            Training settings.
        checkpoint
            File to which the state of training is written at intervals; if it exists, training continues from it.
        observer
            Called after each epoch.
        track
            Shows progress.
        """
        ...

    def predict_proba(self, patches: Floats) -> Floats:
        """Probabilities of patches."""
        ...

    def dense(self) -> DenseNetwork | SpectralGraph:
        """The same model without torch or scikit-learn: convolutions over the frame, or a graph for single spectra."""
        ...

    def tensors(self) -> dict[str, Floats]:
        """Weights by name, as written to safetensors."""
        ...


def predict(model: TissueModel, source: PatchSource, *, batch_size: int = BATCH) -> Floats:
    """Probabilities of all pixels of a source, (N, C) float32, in its order; computed batch by batch.

    Parameters
    ----------
    model
        A trained model.
    source
        N pixels.
    batch_size
        Windows in memory at a time.
    """
    result = np.zeros((len(source), model.n_classes), np.float32)
    for which in source.batches(batch_size):
        result[which] = model.predict_proba(source.windows(which))
    return result


def predict_map(model: TissueModel, cube: HyperCube) -> Floats:
    """Probabilities of a whole cube, (H, W, C) float32, computed patch by patch; 0 where it is masked.

    This is the plain reference for a bundle's graph. To classify frames, use the engine.

    Parameters
    ----------
    model
        A trained model.
    cube
        (H, W, B), preprocessed as for training.
    """
    source = PatchSource.every_pixel(cube, model.window)
    result = np.zeros((cube.height, cube.width, model.n_classes), np.float32)
    result[source.index[:, 1], source.index[:, 2]] = predict(model, source)
    return result


def check_sizes(name: str, n_bands: int, n_classes: int) -> None:
    """Refuse sizes that are too small for a classifier.

    Raises
    ------
    ModelError
        There are fewer than one band or two classes.
    """
    if n_bands < 1 or n_classes < 2:
        raise ModelError(
            name, f"{n_bands} bands and {n_classes} classes are too few for a classifier", "Give at least 1 and 2."
        )


def check_patches(patches: Floats, n_bands: int, window: int) -> None:
    """Refuse patches that are not (N, B, w, w).

    Raises
    ------
    ModelError
        The shape differs; the error names both shapes.
    """
    if patches.ndim != 4 or patches.shape[1:] != (n_bands, window, window):
        raise ModelError(
            "patches",
            f"have shape {patches.shape}, but this model takes (N, {n_bands}, {window}, {window})",
            "Use a cube from the camera and preprocessing that the model was trained for.",
        )


def check_finite(name: str, tensors: Tensors) -> None:
    """Refuse weights with NaN or infinite values.

    Raises
    ------
    ModelError
        A tensor has such values; the error names the first one.
    """
    for key, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ModelError(
                f"tensor {key!r} of {name}",
                f"{np.count_nonzero(~np.isfinite(tensor))} of {tensor.size} values are NaN or infinite",
                "Train again; if this happened during training, lower the learning rate.",
            )


def check_labels(training: PatchSource, n_classes: int) -> tuple[str, ...]:
    """Refuse labels that nothing can be learned from; return notes on classes without pixels or with few.

    Raises
    ------
    ModelError
        There are no labelled pixels, labels outside the classes, only one class, or a class with one pixel.
    """
    where = f"training captures {', '.join(training.captures)}"
    if len(training) == 0:
        raise ModelError(where, "hold no valid labelled pixel", "Name captures with labels; see `gliomap study check`.")
    if int(training.labels.min()) < 1 or int(training.labels.max()) > n_classes:
        raise ModelError(
            where,
            f"labels are {training.labels.min()}…{training.labels.max()} for {n_classes} classes",
            "Map codes to classes 1…C first.",
        )
    counts = training.class_counts(n_classes)
    names = training.class_names
    called = [f"class {k + 1}" + (f" '{names[k]}'" if names else "") for k in range(n_classes)]
    present = [k for k in range(n_classes) if counts[k]]
    if len(present) < 2:
        raise ModelError(
            where,
            f"hold only {called[present[0]]} ({counted(int(counts.max()), 'pixel')})",
            "Add captures with at least two classes.",
        )
    single = [k for k in present if counts[k] == 1]
    if single:
        raise ModelError(
            where,
            f"{called[single[0]]} has one labelled pixel, which shows neither the class's spread nor its neighbours",
            "Add captures with more pixels of this class, or set that pixel to 0 in its map.",
        )
    missing = [
        f"{called[k]} has no training pixels: do not expect it in a map" for k in range(n_classes) if not counts[k]
    ]
    thin = [f"{called[k]} has only {counts[k]} training pixels" for k in present if counts[k] < FEW_PIXELS]
    return (*missing, *thin)
