"""Bundles: the distributable form of a trained model, with graphs, manifest, hashes and card. Write, open, verify."""

from gliomap.bundles._bundle import ML_DOMAIN, ML_OPSET, Bundle, copy_bundle, open_bundle, write_bundle
from gliomap.bundles._card import GROUP
from gliomap.bundles._container import MANIFEST
from gliomap.bundles._manifest import (
    CUBE_ROWS,
    FORMAT_VERSION,
    FRAME_ROWS,
    INTENDED_USE,
    MAP_ROWS,
    Backend,
    FileRecord,
    GraphRecord,
    Manifest,
    Measured,
    ModelInfo,
    SensorInfo,
    TensorRecord,
    Training,
    cube_graph_record,
    frame_graph_record,
    require_portable,
)

__all__ = [
    "CUBE_ROWS",
    "FORMAT_VERSION",
    "FRAME_ROWS",
    "GROUP",
    "INTENDED_USE",
    "MANIFEST",
    "MAP_ROWS",
    "ML_DOMAIN",
    "ML_OPSET",
    "Backend",
    "Bundle",
    "FileRecord",
    "GraphRecord",
    "Manifest",
    "Measured",
    "ModelInfo",
    "SensorInfo",
    "TensorRecord",
    "Training",
    "copy_bundle",
    "cube_graph_record",
    "frame_graph_record",
    "open_bundle",
    "require_portable",
    "write_bundle",
]
