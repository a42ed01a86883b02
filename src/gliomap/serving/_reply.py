"""Messages sent by a stream: a JSON head followed by the map. Client and service share this module."""

from __future__ import annotations

import struct

from pydantic import ValidationError

from gliomap.errors import RequestError
from gliomap.serving._schemas import StreamReply

__all__ = ["pack_reply", "unpack_reply"]

_HEAD = struct.Struct("<I")


def pack_reply(head: StreamReply, body: bytes) -> bytes:
    """Pack one message: length of the head (uint32, little-endian), the head as JSON, the map."""
    text = head.model_dump_json(exclude_none=True).encode()
    return _HEAD.pack(len(text)) + text + body


def unpack_reply(message: bytes) -> tuple[StreamReply, bytes]:
    """Return the head and the map of a message.

    Raises
    ------
    RequestError
        It is not a reply of a stream.
    """
    end = _HEAD.size + int.from_bytes(message[: _HEAD.size], "little")
    try:
        return StreamReply.model_validate_json(message[_HEAD.size : end]), message[end:]
    except ValidationError as error:
        raise RequestError("message", "is not a reply of a stream", "Check the address.", status=502) from error
