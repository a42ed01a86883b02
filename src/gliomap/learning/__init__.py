"""Learning: patches, networks, classical models, the training loop.

Importing this package loads neither torch nor scikit-learn; the code that needs them imports them when it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gliomap._lazy import lazy
from gliomap.learning._config import PRESETS, TrainingConfig, preset
from gliomap.learning._forest import RandomForest
from gliomap.learning._history import EpochRecord, History, Observer, no_observer
from gliomap.learning._kernel_svm import KernelSupportVectors
from gliomap.learning._layers import Conv, DenseNetwork, Layer, MaxPool, Relu
from gliomap.learning._linear import LinearDiscriminant, LinearSupportVectors, LogisticRegression
from gliomap.learning._model import TissueModel, check_labels, predict, predict_map
from gliomap.learning._patches import LabelledCube, PatchSource, check_bands
from gliomap.learning._registry import (
    MODELS,
    ModelKind,
    build_model,
    load_model,
    model_from_tensors,
    model_kind,
    read_tensors,
    save_model,
)
from gliomap.learning._spectral_angle import SpectralAngleNeighbours
from gliomap.learning._spectral_graph import SpectralGraph
from gliomap.learning._stratified import pixel_parts

if TYPE_CHECKING:
    from gliomap.learning._networks import Conv2DNet, FourLayerNet

__all__ = [
    "MODELS",
    "PRESETS",
    "Conv",
    "Conv2DNet",
    "DenseNetwork",
    "EpochRecord",
    "FourLayerNet",
    "History",
    "KernelSupportVectors",
    "LabelledCube",
    "Layer",
    "LinearDiscriminant",
    "LinearSupportVectors",
    "LogisticRegression",
    "MaxPool",
    "ModelKind",
    "Observer",
    "PatchSource",
    "RandomForest",
    "Relu",
    "SpectralAngleNeighbours",
    "SpectralGraph",
    "TissueModel",
    "TrainingConfig",
    "build_model",
    "check_bands",
    "check_labels",
    "load_model",
    "model_from_tensors",
    "model_kind",
    "no_observer",
    "pixel_parts",
    "predict",
    "predict_map",
    "preset",
    "read_tensors",
    "save_model",
]

if not TYPE_CHECKING:
    # These import torch.
    __getattr__ = lazy(__name__, {"._networks": ("Conv2DNet", "FourLayerNet")})
