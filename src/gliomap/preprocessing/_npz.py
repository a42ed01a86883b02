"""Cubes as NumPy archives: `cube`, `wavelengths`, `mask`, `reasons`, `units`."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gliomap._files import atomic_file
from gliomap.errors import CubeError
from gliomap.preprocessing._cube import HyperCube

__all__ = ["load_npz", "save_npz"]

_MAX_BYTES = 2**32
_NEEDED = ("cube", "mask", "reasons")
_REMEDY = "Write it again with `gliomap preprocess … -o cube.npz`."


def save_npz(cube: HyperCube, path: Path | str) -> None:
    """Write a cube, atomically; the same cube gives the same bytes.

    The archive holds `cube` (float32 H×W×B), `wavelengths` (nm; empty where unknown), `mask` (bool H×W), `reasons`
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
    """Read a cube that `save_npz` wrote. Nothing is unpickled.

    Raises
    ------
    CubeError
        A missing or damaged file, a missing array, shapes or types that do not fit, NaN or infinity.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {name.removesuffix(".npy"): _read(archive, name) for name in archive.namelist()}
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise CubeError(path, "is not a file", "Check the path.") from error
    except _DAMAGED as error:
        raise CubeError(path, f"is not a readable cube archive ({error})", _REMEDY) from error
    missing = [name for name in _NEEDED if name not in arrays]
    if missing:
        raise CubeError(path, f"lacks {', '.join(missing)}", _REMEDY)
    try:
        return _cube(arrays)
    except CubeError as error:
        raise CubeError(path, f"{error.thing} {error.fault}", error.remedy) from error


_DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError, RuntimeError, KeyError)


def _read(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    """One member; its declared shape must fit its size before memory is taken."""
    size = archive.getinfo(name).file_size
    if size > _MAX_BYTES:
        raise ValueError(f"{name} declares {size:,} bytes")
    with archive.open(name) as stream:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"{name} has array format {version}")
        shape, fortran, kind = np.lib.format.read_array_header_1_0(stream)
        count = int(np.prod(shape, dtype=object)) if shape else 1
        if kind.hasobject or count < 0 or count * kind.itemsize != size - stream.tell():
            raise ValueError(f"{name} declares {kind} of shape {shape} in {size:,} bytes")
        values = np.frombuffer(stream.read(count * kind.itemsize), kind) if kind.itemsize else np.zeros(count, kind)
    return values.reshape(shape, order="F" if fortran else "C")


def _cube(arrays: dict[str, npt.NDArray[Any]]) -> HyperCube:
    data, mask, reasons = (arrays[name] for name in _NEEDED)
    if mask.dtype != np.bool_ or reasons.dtype != np.uint8:
        raise CubeError("cube", f"has a mask of {mask.dtype} and reasons of {reasons.dtype}", _REMEDY)
    waves = arrays.get("wavelengths", np.zeros(0))
    if waves.dtype.kind not in "fiu" or not np.isfinite(waves).all():
        raise CubeError("cube", f"has wavelengths of {waves.dtype} or not finite", _REMEDY)
    units = arrays.get("units", np.array("unknown"))
    text = str(units[()]) if units.ndim == 0 and units.dtype.kind == "U" else "unknown"
    return HyperCube(data, waves.astype(np.float64) if waves.size else None, text, mask, reasons)
