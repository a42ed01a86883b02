"""The HTTP service, which takes a frame and returns a tissue map, and its clients. Loads no training library.

Each module is loaded on first use: a client does not load the server, nor a server the client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gliomap._lazy import lazy

if TYPE_CHECKING:
    from gliomap.serving._app import create_app
    from gliomap.serving._async_client import AsyncClient
    from gliomap.serving._bench import KINDS, Measured, measure
    from gliomap.serving._client import Client
    from gliomap.serving._exchange import FrameLike, References, RemoteMap
    from gliomap.serving._keys import KEYS_VARIABLE, Key, keys_as_variable, read_keys
    from gliomap.serving._schemas import ModelAnswer
    from gliomap.serving._server import run
    from gliomap.serving._service import Service
    from gliomap.serving._settings import ArchiveSettings, ServiceSettings, TlsSettings
    from gliomap.serving._synthetic import BenchFrames, synthetic_frames
    from gliomap.serving._top import Activity, Rate, follow
    from gliomap.serving._watch import Scored, score_frame, watch

__all__ = [
    "KEYS_VARIABLE",
    "KINDS",
    "Activity",
    "ArchiveSettings",
    "AsyncClient",
    "BenchFrames",
    "Client",
    "FrameLike",
    "Key",
    "Measured",
    "ModelAnswer",
    "Rate",
    "References",
    "RemoteMap",
    "Scored",
    "Service",
    "ServiceSettings",
    "TlsSettings",
    "create_app",
    "follow",
    "keys_as_variable",
    "measure",
    "read_keys",
    "run",
    "score_frame",
    "synthetic_frames",
    "watch",
]

if not TYPE_CHECKING:
    __getattr__ = lazy(
        __name__,
        {
            "._app": ("create_app",),
            "._async_client": ("AsyncClient",),
            "._bench": ("KINDS", "Measured", "measure"),
            "._client": ("Client",),
            "._exchange": ("FrameLike", "References", "RemoteMap"),
            "._keys": ("KEYS_VARIABLE", "Key", "keys_as_variable", "read_keys"),
            "._schemas": ("ModelAnswer",),
            "._server": ("run",),
            "._service": ("Service",),
            "._settings": ("ArchiveSettings", "ServiceSettings", "TlsSettings"),
            "._synthetic": ("BenchFrames", "synthetic_frames"),
            "._top": ("Activity", "Rate", "follow"),
            "._watch": ("Scored", "score_frame", "watch"),
        },
    )
