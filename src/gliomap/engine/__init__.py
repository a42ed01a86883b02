"""The engine applies a bundle to a frame or a cube and returns a `TissueMap`. It loads no training library."""

from gliomap.engine._backend import BACKENDS, PRECISIONS, BackendName, Precision, backend_version
from gliomap.engine._engine import Engine
from gliomap.engine._map import TissueMap
from gliomap.engine._map_files import LABELS, MAP, MAP_FILES, OVERLAY, PROBABILITIES, RESULT, npy_bytes
from gliomap.engine._references import DatedReferences
from gliomap.engine._summary import ClassShare, class_shares

__all__ = [
    "BACKENDS",
    "LABELS",
    "MAP",
    "MAP_FILES",
    "OVERLAY",
    "PRECISIONS",
    "PROBABILITIES",
    "RESULT",
    "BackendName",
    "ClassShare",
    "DatedReferences",
    "Engine",
    "Precision",
    "TissueMap",
    "backend_version",
    "class_shares",
    "npy_bytes",
]
