"""Fast JSON, NumPy arrays included."""

from __future__ import annotations

import orjson

__all__ = ["dump_json"]


def dump_json(content: object) -> bytes:
    """Write JSON; arrays become nested lists, NaN and infinity null."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
