"""Reading one frame from a TIFF file that nobody vouches for, and writing one.

The whole (size-limited) file is read first and parsed in memory, so that no count or size which a broken header
declares can make the parser allocate more than the file holds. Pixels are allocated only after the declared shape,
the strips and the file's length agree.
"""

from __future__ import annotations

import io
import logging
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gliomap._files import atomic_file, read_limited
from gliomap.errors import CaptureError

if TYPE_CHECKING:
    from tifffile import TiffPage

__all__ = ["RawImage", "parse_tiff", "read_tiff", "tiff_bytes", "write_tiff"]

_MAX_FILE_BYTES = 512 * 2**20
_MAX_PIXELS = 2**27
_MINISWHITE, _PALETTE = 0, 3
_TURNED = range(2, 9)  # of the Orientation tag (TIFF 6.0, section 8); other values than these and 1 mean nothing
_NO_COMPRESSION, _DEFLATE, _PACKBITS = (1,), (8, 32946), (32773,)  # MATLAB's imwrite packs bits unless told not to
_SAVE_AGAIN = "Save it as an uncompressed single-page greyscale TIFF of 8 or 16 bits."
_COPY_AGAIN = "Copy the file again from the camera's computer."

# What tifffile raises on garbled files besides its own TiffFileError.
_PARSER_ERRORS = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
    MemoryError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, eq=False)
class RawImage:
    """Pixels as they stand in a file: uint8 or uint16 (rows, columns), and when they were taken."""

    data: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    taken_at: datetime | None


def read_tiff(path: Path, expected: tuple[int, int] | None = None) -> RawImage:
    """Read a single-page greyscale TIFF of 8 or 16 bits.

    Parameters
    ----------
    path
        The file, uncompressed or compressed by deflate or PackBits.
    expected
        (rows, columns) that the frame must have, or None.

    Raises
    ------
    CaptureError
        Anything else than such a file; the message has the numbers.
    """
    content = read_limited(path, _MAX_FILE_BYTES, CaptureError, large="Export the one frame that is meant.")
    return parse_tiff(content, path, expected)


def parse_tiff(content: bytes, path: Path, expected: tuple[int, int] | None = None) -> RawImage:
    """Parse the bytes of such a file; `path` is what messages call it.

    Raises
    ------
    CaptureError
        As `read_tiff` does.
    """
    if not content:
        raise CaptureError(path, "is empty", _COPY_AGAIN)
    from tifffile import TiffFile, TiffFileError

    with _quiet_parser() as complaints:
        try:
            with TiffFile(io.BytesIO(content), name=path.name) as tiff:
                pages = len(tiff.pages)
                if pages == 1:
                    page = tiff.pages.first
                    _check_kind(path, page)
                    _check_size(path, page, expected)
                    _check_strips(path, page, content)
                    data, taken_at = page.asarray(), _taken_at(page)
        except CaptureError:
            raise
        except (TiffFileError, *_PARSER_ERRORS) as error:
            said = complaints[0] if complaints else str(error) or type(error).__name__
            raise CaptureError(path, f"is not a readable TIFF file ({said[:200]})", _COPY_AGAIN) from error
    if pages != 1:
        raise CaptureError(path, f"has {pages} pages; a frame is one", "Export the one frame that is meant.")
    if data.dtype.type not in (np.uint8, np.uint16) or data.ndim != 2:
        raise CaptureError(path, f"holds {data.dtype} of shape {data.shape}", _SAVE_AGAIN)
    return RawImage(np.ascontiguousarray(data, data.dtype.newbyteorder("=")), taken_at)


def write_tiff(path: Path, data: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], taken_at: datetime | None) -> None:
    """Write an uncompressed greyscale TIFF, atomically."""
    # Through memory: NumPy's own writing to a file tells a full disk without saying so.
    content = tiff_bytes(data, taken_at)
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def tiff_bytes(data: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], taken_at: datetime | None = None) -> bytes:
    """An uncompressed greyscale TIFF of (rows, columns); the same input gives the same bytes.

    It holds the numbers and, if given, when they were taken, but nothing about who made them where.
    """
    from tifffile import imwrite

    buffer = io.BytesIO()
    imwrite(buffer, data, photometric="minisblack", metadata=None, datetime=taken_at, software="GlioMap")
    return buffer.getvalue()


def _check_kind(path: Path, page: TiffPage) -> None:
    if page.samplesperpixel != 1 or page.imagedepth != 1:
        raise CaptureError(
            path, f"has {max(page.samplesperpixel, page.imagedepth)} channels; a raw mosaic has one", _SAVE_AGAIN
        )
    if page.dtype is None or page.dtype.kind != "u" or page.bitspersample not in (8, 16):
        kind = "unknown type" if page.dtype is None else page.dtype.name
        raise CaptureError(path, f"holds {page.bitspersample}-bit {kind}, not uint8 or uint16", _SAVE_AGAIN)
    tag = page.tags.get("PhotometricInterpretation")
    if tag is not None and tag.value in (_MINISWHITE, _PALETTE):
        raise CaptureError(path, "stores inverted or palette colours, not grey values", _SAVE_AGAIN)
    turned = page.tags.get("Orientation")
    if turned is not None and turned.value in _TURNED:
        raise CaptureError(
            path,
            f"says that it is turned or mirrored (Orientation {int(turned.value)}): behind which filter a pixel lies is then uncertain",
            "Save it as the camera read it, with Orientation 1.",
        )
    if page.compression not in (*_NO_COMPRESSION, *_DEFLATE, *_PACKBITS):
        raise CaptureError(path, f"is compressed ({page.compression!r})", _SAVE_AGAIN)


def _check_size(path: Path, page: TiffPage, expected: tuple[int, int] | None) -> None:
    rows, columns = page.imagelength, page.imagewidth
    if not isinstance(rows, int) or not isinstance(columns, int):
        raise CaptureError(path, "declares a size that is no number", _COPY_AGAIN)
    if expected is not None and (rows, columns) != expected:
        raise CaptureError(
            path,
            f"is {rows}×{columns} pixels, the sensor's frame is {expected[0]}×{expected[1]}",
            "Check the sensor's name and that the frame was saved whole.",
        )
    if rows < 1 or columns < 1 or rows * columns > _MAX_PIXELS:
        raise CaptureError(path, f"declares {rows}×{columns} pixels; the limit is {_MAX_PIXELS:,} in all", _COPY_AGAIN)


def _check_strips(path: Path, page: TiffPage, content: bytes) -> None:
    """Every strip lies in the file and together they hold the pixels, so that nothing is made up or blown up."""
    needed = page.imagelength * page.imagewidth * page.bitspersample // 8
    offsets, counts = page.dataoffsets, page.databytecounts
    end = max((offset + count for offset, count in zip(offsets, counts, strict=True)), default=0)
    if end > len(content):
        raise CaptureError(path, f"is truncated: it needs {end:,} bytes and has {len(content):,}", _COPY_AGAIN)
    if page.is_tiled:
        raise CaptureError(path, "is stored in tiles", _SAVE_AGAIN)
    stored = sum(counts)
    if page.compression not in _NO_COMPRESSION:
        stored = 0
        for offset, count in zip(offsets, counts, strict=True):
            strip = content[offset : offset + count]
            if page.compression in _PACKBITS:
                unpacked = _unpacked_bits(strip)
            else:
                unpacked = len(zlib.decompressobj().decompress(strip, needed + 1))
            stored += unpacked
            if unpacked > needed or stored > 2 * needed:  # the last strip may be padded to the others' height
                raise CaptureError(path, f"unpacks to more than its {needed:,} bytes of pixels", _COPY_AGAIN)
    if stored < needed:
        raise CaptureError(
            path, f"is truncated: {needed:,} bytes of pixels are declared, {stored:,} there", _COPY_AGAIN
        )


def _unpacked_bits(strip: bytes) -> int:
    """Bytes that a PackBits strip unpacks to (TIFF 6.0, section 9); runs that the strip does not hold count as none."""
    total = position = 0
    while position < len(strip):
        header = strip[position]
        length = header + 1 if header < 128 else 0 if header == 128 else 257 - header
        taken = length if header < 128 else int(header != 128)
        position += 1 + taken
        total += length if position <= len(strip) else 0
    return total


def _taken_at(page: TiffPage) -> datetime | None:
    """The DateTime tag: local time of the camera's computer, without a zone."""
    tag = page.tags.get("DateTime")
    if tag is None or not isinstance(tag.value, str):
        return None
    for form in ("%Y:%m:%d %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y:%m:%d %H:%M:%S.%f"):
        try:
            return datetime.strptime(tag.value.strip(), form)
        except ValueError:
            continue
    return None


@contextmanager
def _quiet_parser() -> Iterator[list[str]]:
    """Collect what tifffile logs about a broken file instead of letting it reach the terminal."""
    complaints: list[str] = []

    def collect(record: logging.LogRecord) -> bool:
        complaints.append(record.getMessage())
        return False

    logger = logging.getLogger("tifffile")
    logger.addFilter(collect)
    try:
        yield complaints
    finally:
        logger.removeFilter(collect)
