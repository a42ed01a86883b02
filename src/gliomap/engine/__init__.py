"""The engine: a bundle on a frame or a cube → `TissueMap`. Loads no training library."""

from gliomap.engine._backend import BACKENDS, PRECISIONS, BackendName, Precision, backend_version
from gliomap.engine._engine import Engine
from gliomap.engine._map import TissueMap
from gliomap.engine._references import DatedReferences

__all__ = [
    "BACKENDS",
    "PRECISIONS",
    "BackendName",
    "DatedReferences",
    "Engine",
    "Precision",
    "TissueMap",
    "backend_version",
]
