"""The engine: a bundle on a frame or a cube → `TissueMap`. Loads no training library."""

from gliomap.engine._backend import BACKENDS, PRECISIONS, BackendName, Precision, backend_version
from gliomap.engine._engine import Engine
from gliomap.engine._map import TissueMap
from gliomap.engine._references import DatedReferences
from gliomap.engine._summary import ClassShare, class_shares, invalid_counts

__all__ = [
    "BACKENDS",
    "PRECISIONS",
    "BackendName",
    "ClassShare",
    "DatedReferences",
    "Engine",
    "Precision",
    "TissueMap",
    "backend_version",
    "class_shares",
    "invalid_counts",
]
