"""Numeric arrays in MATLAB 5 files: GlioMap's own reader and writer.

SciPy also reads these files, but its compiled reader crashes the whole process on some corrupt files,
inflates a compressed variable to whatever length the file claims, and descends into cells, structures and
objects on the way. This reader knows the size of everything before reading it, touches only plain numeric
arrays (and numeric fields of a structure if requested by name), and does not need SciPy; the tests compare
it with SciPy.

Format: MathWorks, 'MAT-File Format' (R2019b), https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from gliomap.errors import StudyError

__all__ = ["HEADER_BYTES", "MatVariable", "damaged", "encode_mat5", "field_mat5", "read_mat5", "scan_mat5"]

HEADER_BYTES = 128
_TEXT_BYTES = 116
_MAX_BYTES = 2**31 - 1
"""Maximum size of a variable in a version 5 file, in bytes."""
_CHUNK = 1 << 16
_MAX_DIMENSIONS, _MAX_NAME_BYTES, _MAX_FIELDS = 32, 1024, 256

_MATRIX, _COMPRESSED, _INT8, _INT32, _UINT32 = 14, 15, 1, 5, 6
_OPAQUE = 17
_CLASS_NAMES = {
    1: "cell",
    2: "struct",
    3: "object",
    4: "char",
    5: "sparse",
    6: "double",
    7: "single",
    8: "int8",
    9: "uint8",
    10: "int16",
    11: "uint16",
    12: "int32",
    13: "uint32",
    14: "int64",
    15: "uint64",
    16: "function",
    _OPAQUE: "opaque",
}
_CLASS_DTYPES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_STORED_DTYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_COMPLEX_FLAG, _LOGICAL_FLAG = 0x0800, 0x0200


@dataclass(frozen=True, slots=True)
class MatVariable:
    """What the header of a `.mat` file states about one variable.

    Attributes
    ----------
    name
        Name in MATLAB.
    shape
        In MATLAB's axis order; empty for kinds without a shape.
    kind
        MATLAB's class: 'double', 'uint16', 'struct', …; 'complex double' and so on for complex values.
    n_bytes
        Size of the values in memory; 0 for kinds that are not numeric.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    n_bytes: int

    @property
    def numeric(self) -> bool:
        """Whether it is a plain array of real numbers, the only kind that this package reads."""
        return self.kind in {_CLASS_NAMES[code] for code in _CLASS_DTYPES} | {"logical"}


def damaged(path: Path, how: str) -> StudyError:
    """The error for a `.mat` file that breaks its own format."""
    return StudyError(path, f"is damaged: {how}", "Copy the file again from its source, or leave it out.")


class _Source(Protocol):
    def take(self, count: int) -> bytes: ...
    def finish(self) -> None: ...


class _Plain:
    """Bytes of an uncompressed element."""

    def __init__(self, path: Path, stream: BinaryIO, length: int) -> None:
        self._path, self._stream, self._left = path, stream, length

    def take(self, count: int) -> bytes:
        if count > self._left:
            raise damaged(self._path, f"a variable claims {count:,} bytes where {self._left:,} are left")
        self._left -= count
        data = self._stream.read(count)
        if len(data) != count:
            raise damaged(self._path, f"it ends {count - len(data):,} bytes too early")
        return data

    def finish(self) -> None:
        """Uncompressed data has no checksum to verify."""


class _Inflated:
    """Bytes of a compressed element, inflated only as far as requested."""

    def __init__(self, path: Path, stream: BinaryIO, length: int) -> None:
        self._path = path
        self._file = _Plain(path, stream, length)
        self._left = length
        self._zlib = zlib.decompressobj()

    def take(self, count: int) -> bytes:
        parts: list[bytes] = []
        missing = count
        while missing:
            part = self._inflate(missing)
            if not part:
                raise damaged(self._path, f"a compressed variable ends {missing:,} bytes too early")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def finish(self) -> None:
        """Inflate the remaining padding, so that zlib verifies its checksum."""
        rest = self._inflate(8)
        if len(rest) == 8 or not self._zlib.eof:
            raise damaged(self._path, "a compressed variable is longer than it states")

    def _inflate(self, limit: int) -> bytes:
        try:
            while not self._zlib.eof:
                waiting = self._zlib.unconsumed_tail
                if not waiting:
                    if not self._left:
                        return b""
                    waiting = self._file.take(min(_CHUNK, self._left))
                    self._left -= len(waiting)
                part = self._zlib.decompress(waiting, limit)
                if part:
                    return part
        except zlib.error as error:
            raise damaged(self._path, f"a compressed variable cannot be inflated ({error})") from error
        return b""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A variable's header, and the source of the bytes that follow it."""

    variable: MatVariable
    class_code: int
    source: _Source


class _Elements:
    """Iterates over the elements of one file."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self.path, self._stream = path, stream
        header = stream.read(HEADER_BYTES)
        self.order = {b"IM": "<", b"MI": ">"}[header[126:128]]
        self._size = stream.seek(0, 2)

    def entries(self) -> Iterator[_Entry]:
        """Each variable in turn, its values not yet read.

        Raises
        ------
        StudyError
            The file ends within an element, or an element is contradictory.
        """
        at = HEADER_BYTES
        while at < self._size:
            self._stream.seek(at)
            kind, length = self._numbers(_Plain(self.path, self._stream, self._size - at).take(8), "u4")
            at += 8
            if length > self._size - at:
                raise damaged(self.path, f"it ends {length - self._size + at:,} bytes too early")
            self._stream.seek(at)
            at += length
            if kind == _COMPRESSED:
                source: _Source = _Inflated(self.path, self._stream, length)
                kind, length = self._numbers(source.take(8), "u4")
            else:
                source = _Plain(self.path, self._stream, length)
            if kind == _MATRIX and length:
                yield self._header(source)

    def values(self, entry: _Entry) -> npt.NDArray[np.generic]:
        """Read the values of a numeric variable, in MATLAB's axis order and native byte order."""
        variable = entry.variable
        kind, length, inline = self._tag(entry.source)
        stored = _STORED_DTYPES.get(kind)
        count = math.prod(variable.shape)
        if stored is None or length != count * np.dtype(stored).itemsize:
            raise damaged(self.path, f"variable {variable.name!r} of shape {variable.shape} has {length:,} bytes")
        data = inline[:length] if inline else entry.source.take(length)
        entry.source.finish()
        flat = np.frombuffer(data, np.dtype(self.order + stored))
        return flat.astype(_CLASS_DTYPES[entry.class_code]).reshape(variable.shape, order="F")

    def field(self, entry: _Entry, name: str, max_bytes: int) -> npt.NDArray[np.generic] | None:
        """Read one numeric field of a 1×1 structure; None if the field is missing, too large or not numeric."""
        (width,) = self._numbers(self._element(entry.source, _INT32, 4), "i4")
        text = self._element(entry.source, _INT8, _MAX_FIELDS * _MAX_NAME_BYTES)
        if width < 1 or len(text) % width:
            raise damaged(self.path, f"structure {entry.variable.name!r} has field names of {width} bytes")
        names = [text[at : at + width].split(b"\0")[0].decode("latin-1") for at in range(0, len(text), width)]
        if name not in names or entry.variable.shape != (1, 1):
            return None
        for _ in range(names.index(name)):
            self._skip(entry.source)
        kind, length = self._numbers(entry.source.take(8), "u4")
        if kind != _MATRIX:
            raise damaged(self.path, f"field {name!r} holds type {kind}, expected {_MATRIX}")
        if not 0 < length <= max_bytes:
            return None
        found = self._header(_Plain(self.path, io.BytesIO(entry.source.take(length)), length))
        return self.values(found) if found.variable.numeric else None

    def _skip(self, source: _Source) -> None:
        _, length = self._numbers(source.take(8), "u4")
        for at in range(0, length, _CHUNK):
            source.take(min(_CHUNK, length - at))

    def _header(self, source: _Source) -> _Entry:
        flags = self._numbers(self._element(source, _UINT32, 8), "u4")[0]
        code = flags & 0xFF
        if code not in _CLASS_NAMES:
            raise damaged(self.path, f"a variable is of class {code}, which MATLAB does not have")
        shape: tuple[int, ...] = ()
        if code != _OPAQUE:
            shape = tuple(self._numbers(self._element(source, _INT32, 4 * _MAX_DIMENSIONS), "i4"))
            if len(shape) < 2 or min(shape) < 0:
                raise damaged(self.path, f"a variable has the impossible shape {shape}")
        name = self._element(source, _INT8, _MAX_NAME_BYTES).decode("latin-1")
        kind = _CLASS_NAMES[code]
        n_bytes = math.prod(shape) * np.dtype(_CLASS_DTYPES[code]).itemsize if code in _CLASS_DTYPES else 0
        if flags & _COMPLEX_FLAG:
            kind = f"complex {kind}"
        elif flags & _LOGICAL_FLAG and code in _CLASS_DTYPES:  # a sparse matrix can be logical too
            kind = "logical"
        return _Entry(MatVariable(name, shape, kind, n_bytes), code, source)

    def _element(self, source: _Source, expected: int, at_most: int) -> bytes:
        kind, length, inline = self._tag(source)
        if kind != expected or length > at_most:
            raise damaged(
                self.path, f"a variable's header holds type {kind} of {length:,} bytes, expected type {expected}"
            )
        return inline[:length] if inline else source.take(-(-length // 8) * 8)[:length]

    def _tag(self, source: _Source) -> tuple[int, int, bytes]:
        """Type, length and, for elements of at most four bytes, the data stored in the tag itself."""
        tag = source.take(8)
        first, second = self._numbers(tag, "u4")
        if first >> 16:
            if first >> 16 > 4:
                raise damaged(self.path, f"a short element claims {first >> 16} bytes")
            return first & 0xFFFF, first >> 16, tag[4:]
        return first, second, b""

    def _numbers(self, data: bytes, dtype: str) -> list[int]:
        if len(data) % 4 or not data:
            raise damaged(self.path, f"a header field has {len(data)} bytes")
        return [int(number) for number in np.frombuffer(data, np.dtype(self.order + dtype))]


def scan_mat5(path: Path, stream: BinaryIO) -> list[MatVariable]:
    """List the variables of a version 5 file without reading their values."""
    return [entry.variable for entry in _Elements(path, stream).entries()]


def read_mat5(path: Path, stream: BinaryIO, names: frozenset[str]) -> dict[str, npt.NDArray[np.generic]]:
    """Read numeric variables listed by `scan_mat5`; the caller has checked kind and size."""
    elements = _Elements(path, stream)
    return {entry.variable.name: elements.values(entry) for entry in elements.entries() if entry.variable.name in names}


def field_mat5(
    path: Path, stream: BinaryIO, structure: str, field: str, max_bytes: int
) -> npt.NDArray[np.generic] | None:
    """Read a numeric field of a structure; None if there is no such structure or field."""
    elements = _Elements(path, stream)
    for entry in elements.entries():
        if entry.variable.name == structure and entry.variable.kind == "struct":
            return elements.field(entry, field, max_bytes)
    return None


def encode_mat5(variables: Mapping[str, npt.NDArray[np.generic]], *, compress: bool) -> Iterator[bytes]:
    """Yield the bytes of a version 5 file; the same arrays always yield the same bytes.

    The header contains neither a time nor a machine name.
    """
    text = b"MATLAB 5.0 MAT-file, written by GlioMap"
    yield text.ljust(_TEXT_BYTES) + bytes(8) + (0x0100).to_bytes(2, "little") + b"IM"
    for name, array in variables.items():
        element = _encode(name, array)
        if compress:
            packed = zlib.compress(element, 6)
            yield _pack([_COMPRESSED, len(packed)]) + packed
        else:
            yield element


def _encode(name: str, array: npt.NDArray[np.generic]) -> bytes:
    logical = array.dtype.kind == "b"
    plain = array.astype("u1") if logical else array
    dtype = f"{plain.dtype.kind}{plain.dtype.itemsize}"
    class_code = next((code for code, known in _CLASS_DTYPES.items() if known == dtype), None)
    if class_code is None or array.ndim < 2:
        raise StudyError(
            f"variable {name!r}",
            f"is {array.dtype} of shape {array.shape}",
            "Use a numeric array with at least two dimensions.",
        )
    stored = next(code for code, known in _STORED_DTYPES.items() if known == dtype)
    flags = class_code | (_LOGICAL_FLAG if logical else 0)
    data = plain.astype(plain.dtype.newbyteorder("<"), copy=False).tobytes(order="F")
    body = b"".join(
        [
            _pack([_UINT32, 8, flags, 0]),
            _padded(_INT32, _pack(list(array.shape))),
            _padded(_INT8, name.encode("ascii")),
            _padded(stored, data),
        ]
    )
    if len(body) > _MAX_BYTES:
        raise StudyError(
            f"variable {name!r}",
            f"has {len(body):,} bytes, and a MATLAB 5 file holds at most {_MAX_BYTES:,} per variable",
            "Write a smaller crop or fewer bands.",
        )
    return _pack([_MATRIX, len(body)]) + body


def _padded(kind: int, data: bytes) -> bytes:
    return _pack([kind, len(data)]) + data + bytes(-len(data) % 8)


def _pack(numbers: list[int]) -> bytes:
    return np.array(numbers, "<u4").tobytes()
