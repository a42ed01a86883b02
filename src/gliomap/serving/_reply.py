"""Messages that a stream sends: a head as JSON, and the map behind it. Client and service share them."""

from __future__ import annotations

import struct

import orjson

from gliomap.errors import RequestError
from gliomap.serving._schemas import StreamReply

__all__ = ["pack_reply", "unpack_reply"]

_HEAD = struct.Struct("<I")


def pack_reply(head: StreamReply, body: bytes) -> bytes:
    """One message: length of the head (uint32, little-endian), the head as JSON, the map."""
    text = head.model_dump_json(exclude_none=True).encode()
    return _HEAD.pack(len(text)) + text + body


def unpack_reply(message: bytes) -> tuple[StreamReply, bytes]:
    """Head and map of a message.

    Raises
    ------
    RequestError
        It is no reply of a stream.
    """
    if len(message) < _HEAD.size or len(message) < _HEAD.size + _HEAD.unpack_from(message)[0]:
        raise RequestError("message", "is no reply of a stream", "Check the address.", status=502)
    end = _HEAD.size + _HEAD.unpack_from(message)[0]
    return StreamReply.model_validate({"shape": None, **_json(message[_HEAD.size : end])}), message[end:]


def _json(content: bytes) -> dict[str, object]:
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise RequestError("message", "is no reply of a stream", "Check the address.", status=502) from error
    return found if isinstance(found, dict) else {}
