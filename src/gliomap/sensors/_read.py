"""Reading a sensor's file, whatever it holds."""

from __future__ import annotations

from pathlib import Path

from gliomap.errors import SensorError

__all__ = ["read_limited"]


def read_limited(path: Path, limit: int, remedy: str) -> bytes:
    """The bytes of a file of at most `limit`; `remedy` is for one that is larger.

    Raises
    ------
    SensorError
        No such file, or a larger one.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise SensorError(
            path, "is not a file", "Check the path, or name a sensor of `gliomap sensor list`."
        ) from error
    if len(content) > limit:
        raise SensorError(path, f"is larger than {limit // 2**20} MiB", remedy)
    return content
