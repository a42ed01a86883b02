"""Learning: patches, networks, classical models, the training loop.

Importing this room loads neither torch nor scikit-learn; what needs them imports them when used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from gliomap.learning._config import PRESETS, TrainingConfig, preset
from gliomap.learning._discriminant import LinearDiscriminant
from gliomap.learning._history import EpochRecord, History, Observer, no_observer
from gliomap.learning._layers import Conv, DenseNetwork, Layer, MaxPool, Relu
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
    "LabelledCube",
    "Layer",
    "LinearDiscriminant",
    "MaxPool",
    "ModelKind",
    "Observer",
    "PatchSource",
    "Relu",
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

_LAZY = {"Conv2DNet": "gliomap.learning._networks", "FourLayerNet": "gliomap.learning._networks"}
"""What pulls in torch: found on first use (PEP 562)."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_LAZY[name]), name)
