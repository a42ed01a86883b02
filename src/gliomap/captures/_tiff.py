"""Reading one frame from an untrusted TIFF file, and writing one.

The whole (size-limited) file is read first and parsed in memory, so that no count or size in a broken header can
make the parser allocate more than the file holds. Pixels are allocated only after the declared shape, the strips and
the file's length have been found to agree.
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
_TURNED = range(2, 9)  # of the Orientation tag (TIFF 6.0, section 8); values other than these and 1 have no meaning
_NO_COMPRESSION, _DEFLATE, _PACKBITS = (1,), (8, 32946), (32773,)  # PackBits is the default of MATLAB's imwrite
_SAVE_AGAIN = "Save it as an uncompressed single-page greyscale TIFF of 8 or 16 bits."
_COPY_AGAIN = "Copy the file again from the camera's computer."

# Exceptions that tifffile raises on corrupt files besides its own TiffFileError.
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
    """Pixels as stored in a file, uint8 or uint16 (rows, columns), and when they were taken."""

    data: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    taken_at: datetime | None


def read_tiff(path: Path, expected: tuple[int, int] | None = None) -> RawImage:
    """Read a single-page greyscale TIFF of 8 or 16 bits.

    Parameters
    ----------
    path
        The file, uncompressed or compressed with deflate or PackBits.
    expected
        (rows, columns) that the frame must have, or None.

    Raises
    ------
    CaptureError
        The file is not such a TIFF; the message gives figures.
    """
    content = read_limited(path, _MAX_FILE_BYTES, CaptureError, large="Export only the frame that you need.")
    return parse_tiff(content, path, expected)


def parse_tiff(content: bytes, path: Path, expected: tuple[int, int] | None = None) -> RawImage:
    """Parse the bytes of such a file; error messages name it by `path`.

    Raises
    ------
    CaptureError
        As in `read_tiff`.
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
        raise CaptureError(path, f"has {pages} pages; a frame has one", "Export only the frame that you need.")
    if data.dtype.type not in (np.uint8, np.uint16) or data.ndim != 2:
        raise CaptureError(path, f"holds {data.dtype} of shape {data.shape}", _SAVE_AGAIN)
    return RawImage(np.ascontiguousarray(data, data.dtype.newbyteorder("=")), taken_at)


def write_tiff(path: Path, data: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], taken_at: datetime | None) -> None:
    """Write an uncompressed greyscale TIFF, atomically."""
    # Through memory: NumPy's own file writing does not identify a full disk in its error.
    content = tiff_bytes(data, taken_at)
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def tiff_bytes(data: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], taken_at: datetime | None = None) -> bytes:
    """An uncompressed greyscale TIFF of (rows, columns); the same input yields the same bytes.

    It holds the values and, if given, the time when they were taken, but no person or place.
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
            f"is marked as turned or mirrored (Orientation {int(turned.value)}), so the filter of each pixel is uncertain",
            "Save it as the camera delivered it, with Orientation 1.",
        )
    if page.compression not in (*_NO_COMPRESSION, *_DEFLATE, *_PACKBITS):
        raise CaptureError(path, f"is compressed ({page.compression!r})", _SAVE_AGAIN)


def _check_size(path: Path, page: TiffPage, expected: tuple[int, int] | None) -> None:
    rows, columns = page.imagelength, page.imagewidth
    if not isinstance(rows, int) or not isinstance(columns, int):
        raise CaptureError(path, "declares a size that is not a number", _COPY_AGAIN)
    if expected is not None and (rows, columns) != expected:
        raise CaptureError(
            path,
            f"is {rows}×{columns} pixels, the sensor's frame is {expected[0]}×{expected[1]}",
            "Check the sensor's name and that the whole frame was saved.",
        )
    if rows < 1 or columns < 1 or rows * columns > _MAX_PIXELS:
        raise CaptureError(
            path, f"declares {rows}×{columns} pixels; the limit is {_MAX_PIXELS:,} in total", _COPY_AGAIN
        )


def _check_strips(path: Path, page: TiffPage, content: bytes) -> None:
    """Require every strip to lie in the file, and the strips to hold all pixels without unpacking far beyond them."""
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
            path, f"is truncated: {needed:,} bytes of pixels are declared, {stored:,} present", _COPY_AGAIN
        )


def _unpacked_bits(strip: bytes) -> int:
    """Size in bytes of an unpacked PackBits strip (TIFF 6.0, section 9); incomplete runs do not count."""
    total = position = 0
    while position < len(strip):
        header = strip[position]
        length = header + 1 if header < 128 else 0 if header == 128 else 257 - header
        taken = length if header < 128 else int(header != 128)
        position += 1 + taken
        total += length if position <= len(strip) else 0
    return total


def _taken_at(page: TiffPage) -> datetime | None:
    """The DateTime tag: local time of the camera's computer, without a time zone."""
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
    """Collect tifffile's log messages about a broken file, instead of printing them to the terminal."""
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
