"""The models by name, and their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import numpy as np

from gliomap._files import atomic_file
from gliomap.errors import MissingExtraError, ModelError, UsageError
from gliomap.learning._model import Floats, Tensors, TissueModel

__all__ = [
    "MODELS",
    "ModelKind",
    "build_model",
    "load_model",
    "model_from_tensors",
    "model_kind",
    "read_tensors",
    "save_model",
]


class Builder(Protocol):
    """Makes an untrained model."""

    def __call__(self, n_bands: int, n_classes: int, *, hidden: int | None) -> TissueModel:
        """Build the model; `hidden` is the width of the first hidden layer, None for the model's default."""
        ...


class Loader(Protocol):
    """Makes a trained model from its tensors."""

    def __call__(self, tensors: Tensors) -> TissueModel:
        """Build the model; raise `ModelError` if the tensors do not fit."""
        ...


@dataclass(frozen=True, slots=True)
class ModelKind:
    """One entry of the registry.

    Attributes
    ----------
    name
        Name on the command line.
    title
        Name in files and figures, as the thesis uses it.
    description
        One line.
    window
        Side of the window that the model sees; with 1 it needs only labelled spectra, no cube.
    iterative
        Whether it is trained over epochs, so that it can stop early and resume.
    needs
        The package that it is trained with.
    build, load
        Make an untrained model, or one from its tensors. They import what they need.
    cost
        One line: the time for training and for a frame of 217×409 pixels.
    source
        Where it was first described.
    calibrates
        Whether it learns its probabilities from the validation patients.
    backends
        The backends that run its bundles; OpenVINO does not support trees.
    """

    name: str
    title: str
    description: str
    window: int
    iterative: bool
    needs: str
    build: Builder
    load: Loader
    cost: str
    source: str
    calibrates: bool = False
    backends: tuple[str, ...] = ("onnxruntime", "openvino")


def _build_fourlayer(n_bands: int, n_classes: int, *, hidden: int | None) -> TissueModel:
    from gliomap.learning._networks import FourLayerNet

    return FourLayerNet(n_bands, n_classes) if hidden is None else FourLayerNet(n_bands, n_classes, hidden)


def _plain(module: str, name: str, kind: str) -> tuple[Builder, Loader]:
    """Builder and loader of a model without a hidden width; they import its module when used."""

    def build(n_bands: int, n_classes: int, *, hidden: int | None) -> TissueModel:
        if hidden is not None:
            raise UsageError(f"model {kind!r}", "has no hidden width to choose", "Leave it out, or use fourlayer.")
        model: TissueModel = getattr(import_module(module), name)(n_bands, n_classes)
        return model

    def load(tensors: Tensors) -> TissueModel:
        model: TissueModel = getattr(import_module(module), name).from_tensors(tensors)
        return model

    return build, load


MODELS: Mapping[str, ModelKind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            ModelKind(
                "conv2d",
                "Conv2DNet",
                "the thesis's convolutional network, 7×7 patches",
                7,
                True,
                "torch",
                *_plain("gliomap.learning._networks", "Conv2DNet", "conv2d"),
                "minutes to train; about 20 ms a frame",
                "the 2021 thesis",
            ),
            ModelKind(
                "fourlayer",
                "FourLayerNet",
                "the thesis's network of four linear layers, single spectra",
                1,
                True,
                "torch",
                _build_fourlayer,
                _plain("gliomap.learning._networks", "FourLayerNet", "fourlayer")[1],
                "half a minute to train; about 15 ms a frame",
                "the 2021 thesis",
            ),
            ModelKind(
                "lda",
                "LDA",
                "linear discriminant analysis, single spectra",
                1,
                False,
                "sklearn",
                *_plain("gliomap.learning._linear", "LinearDiscriminant", "lda"),
                "under a second to train; about 15 ms a frame",
                "Fisher 1936",
            ),
            ModelKind(
                "logistic",
                "Logistic regression",
                "multinomial logistic regression, single spectra",
                1,
                False,
                "sklearn",
                *_plain("gliomap.learning._linear", "LogisticRegression", "logistic"),
                "under a second to train; about 15 ms a frame",
                "Cox 1958; several classes: Theil 1969",
            ),
            ModelKind(
                "svm-linear",
                "Linear SVM",
                "linear support vector machine, single spectra",
                1,
                False,
                "sklearn",
                *_plain("gliomap.learning._linear", "LinearSupportVectors", "svm-linear"),
                "a second to train; about 15 ms a frame",
                "Cortes and Vapnik 1995",
                calibrates=True,
            ),
            ModelKind(
                "svm-rbf",
                "SVM (RBF)",
                "support vector machine with a Gaussian kernel, single spectra",
                1,
                False,
                "sklearn",
                *_plain("gliomap.learning._kernel_svm", "KernelSupportVectors", "svm-rbf"),
                "seconds to train; about 0.3 s a frame",
                "Boser, Guyon and Vapnik 1992; Cortes and Vapnik 1995",
                calibrates=True,
            ),
            ModelKind(
                "forest",
                "Random forest",
                "random forest, single spectra",
                1,
                False,
                "sklearn",
                *_plain("gliomap.learning._forest", "RandomForest", "forest"),
                "seconds to train; about 0.5 s a frame",
                "Breiman 2001",
                calibrates=True,
                backends=("onnxruntime",),
            ),
            ModelKind(
                "sam-knn",
                "SAM neighbours",
                "nearest neighbours by spectral angle, single spectra",
                1,
                False,
                "sklearn",
                *_plain("gliomap.learning._spectral_angle", "SpectralAngleNeighbours", "sam-knn"),
                "under a second to train; about 0.6 s a frame",
                "spectral angle: Kruse et al. 1993; nearest neighbours: Cover and Hart 1967",
                calibrates=True,
            ),
        )
    }
)
"""Every model that can be trained, by name."""


def model_kind(name: str) -> ModelKind:
    """The registry's entry.

    Raises
    ------
    ModelError
        No model has this name.
    """
    if name not in MODELS:
        raise ModelError(f"model {name!r}", "is not known", f"Choose one of: {', '.join(MODELS)}.")
    return MODELS[name]


def build_model(name: str, n_bands: int, n_classes: int, *, seed: int = 0, hidden: int | None = None) -> TissueModel:
    """Build an untrained model; the same seed yields the same initial weights.

    Parameters
    ----------
    name
        Key in `MODELS`.
    n_bands, n_classes
        Number of bands of the spectra, and number of classes.
    seed
        Seed of the initial weights.
    hidden
        First hidden width, for the one model that has it.

    Raises
    ------
    ModelError
        The name is unknown or the sizes are impossible.
    UsageError
        `hidden` is given for a model that has no hidden width.
    MissingExtraError
        torch or scikit-learn is not installed.
    """
    kind = model_kind(name)
    if find_spec(kind.needs) is None:
        raise MissingExtraError(f"model {name!r}", "train")
    if kind.needs != "torch":
        return kind.build(n_bands, n_classes, hidden=hidden)
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind.build(n_bands, n_classes, hidden=hidden)


def model_from_tensors(name: str, tensors: Tensors) -> TissueModel:
    """Build a trained model from its weights.

    Raises
    ------
    ModelError
        The name is unknown, or the tensors do not fit the architecture.
    """
    return model_kind(name).load(tensors)


def save_model(model: TissueModel, path: Path) -> None:
    """Write the weights as safetensors, atomically; the file's header names the model."""
    from safetensors.numpy import save

    # One field only: safetensors writes several fields in an order that changes from process to process.
    content = save(model.tensors(), metadata={"model": model.name})
    # Not save_file: it reports a full disk as a SafetensorError without an error number.
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def load_model(path: Path, name: str | None = None) -> TissueModel:
    """Load a trained model from a safetensors file.

    Parameters
    ----------
    path
        A file written by `save_model`, or plain weights with the thesis's names.
    name
        The architecture; by default the one named in the file's header.

    Raises
    ------
    ModelError
        The file is missing, is not a safetensors file, does not name its model, or does not fit it.
    """
    tensors, metadata = read_tensors(path)
    chosen = name or metadata.get("model")
    if chosen is None:
        raise ModelError(path, "does not say which model its weights belong to", f"Name one of: {', '.join(MODELS)}.")
    try:
        return model_from_tensors(chosen, tensors)
    except ModelError as error:
        raise ModelError(path, f"{error.thing} {error.fault}", error.remedy) from error


def read_tensors(path: Path) -> tuple[dict[str, Floats], dict[str, str]]:
    """Read the tensors of a safetensors file as float32, and the text fields of its header.

    Raises
    ------
    ModelError
        The file is missing, is not a safetensors file, or holds anything but floating-point numbers.
    MissingExtraError
        safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"the model {path}", "train") from error

    tensors: dict[str, Floats] = {}
    if not path.is_file():
        raise ModelError(path, "is a folder" if path.is_dir() else "does not exist", "Give a .safetensors file.")
    try:
        with safe_open(path, framework="np") as stream:
            metadata: dict[str, str] = dict(stream.metadata() or {})
            names = stream.keys()
            for name in names:
                value = stream.get_tensor(name)
                if value.dtype.kind != "f":
                    raise ModelError(
                        path, f"its tensor {name!r} is {value.dtype}", "Weights are floating-point numbers."
                    )
                tensors[name] = value.astype(np.float32)
    except (SafetensorError, TypeError) as error:
        raise ModelError(
            path,
            f"is not a safetensors file or is damaged ({error})",
            "Convert weights of the 2021 thesis with: python -m gliomap.learning.convert_legacy IN OUT.safetensors",
        ) from error
    return tensors, metadata
