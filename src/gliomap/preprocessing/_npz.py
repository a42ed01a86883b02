"""Cubes as NumPy archives: `cube`, `wavelengths`, `mask`, `reasons`, `units`."""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gliomap._files import atomic_file, read_limited
from gliomap.errors import CubeError
from gliomap.preprocessing._cube import HyperCube

__all__ = ["load_npz", "save_npz"]

_MAX_BYTES = 2**30
_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(rb"\{'descr': '([^']{2,20})', 'fortran_order': (True|False), 'shape': \(([0-9, ]{0,60})\), \} *\n")
_PLAIN = re.compile(r"[<>|](b1|[ui][1248]|f[248]|U[0-9]{1,4})")
_DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, RuntimeError, KeyError, struct.error)
_NEEDED = ("cube", "mask", "reasons")
_REMEDY = "Write it again with `gliomap preprocess … -o cube.npz`."


def save_npz(cube: HyperCube, path: Path | str) -> None:
    """Write a cube, atomically; the same cube yields the same bytes.

    The archive holds `cube` (float32 H×W×B), `wavelengths` (nm; empty if unknown), `mask` (bool H×W), `reasons`
    (uint8 H×W) and `units` (text).
    """
    waves = np.zeros(0) if cube.wavelengths_nm is None else cube.wavelengths_nm
    with atomic_file(Path(path)) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            cube=cube.data,
            wavelengths=waves,
            mask=cube.mask,
            reasons=cube.reasons,
            units=np.array(cube.units),
        )


def load_npz(path: Path | str) -> HyperCube:
    """Read a cube written by `save_npz`. Nothing is unpickled.

    Raises
    ------
    CubeError
        The file is missing or damaged, an array is missing, shapes or types do not match, or a value is NaN or infinite.
    """
    path = Path(path)
    # Parsed in memory, so that an OSError always comes from the disk and never from a broken archive.
    content = io.BytesIO(read_limited(path, _MAX_BYTES, CubeError, large=_REMEDY))
    try:
        with zipfile.ZipFile(content) as archive:
            arrays = {name.removesuffix(".npy"): _read(archive, name) for name in archive.namelist()}
    except _DAMAGED as error:
        raise CubeError(path, f"is not a readable cube archive ({error})", _REMEDY) from error
    missing = [name for name in _NEEDED if name not in arrays]
    if missing:
        raise CubeError(path, f"lacks {', '.join(missing)}", _REMEDY)
    try:
        return _cube(arrays)
    except CubeError as error:
        raise CubeError(path, f"{error.thing} {error.fault}", error.remedy) from error


def _read(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    """Read one member in format 1.0; its declared shape must match its size before memory is allocated.

    The header is matched with a pattern. NumPy evaluates it instead, is lenient and raises many kinds of errors.
    """
    size = archive.getinfo(name).file_size
    if size > _MAX_BYTES:
        raise ValueError(f"{name} declares {size:,} bytes")
    with archive.open(name) as stream:
        start = stream.read(len(_MAGIC) + 2)
        length = int.from_bytes(start[-2:], "little")
        header = _HEADER.fullmatch(stream.read(length))
        if not start.startswith(_MAGIC) or header is None:
            raise ValueError(f"{name} is not an array of format 1.0")
        descr, fortran, sizes = (part.decode("ascii") for part in header.groups())
        shape = tuple(int(part) for part in sizes.replace(",", " ").split())
        kind = np.dtype(descr) if _PLAIN.fullmatch(descr) else None
        count = math.prod(shape)
        if kind is None or count * kind.itemsize != size - len(start) - length:
            raise ValueError(f"{name} declares {descr} of shape {shape} in {size:,} bytes")
        values = np.frombuffer(bytearray(stream.read()), kind) if count * kind.itemsize else np.zeros(count, kind)
    return values.reshape(shape, order="F" if fortran == "True" else "C")


def _cube(arrays: dict[str, npt.NDArray[Any]]) -> HyperCube:
    data, mask, reasons = (arrays[name] for name in _NEEDED)
    data = data.astype(data.dtype.newbyteorder("="), copy=False)
    waves = arrays.get("wavelengths", np.zeros(0))
    if waves.dtype.kind not in "fiu" or not np.isfinite(waves).all():
        raise CubeError("cube", f"has wavelengths of type {waves.dtype} that are not all finite numbers", _REMEDY)
    units = arrays.get("units", np.array("unknown"))
    text = str(units[()]) if units.ndim == 0 and units.dtype.kind == "U" else "unknown"
    return HyperCube(data, waves.astype(np.float64) if waves.size else None, text, mask, reasons)
