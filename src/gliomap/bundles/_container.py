"""Reading and writing the files of a bundle as bytes, in a folder or a .zip. Nothing is ever unpacked to disk."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from gliomap._files import atomic_file, atomic_folder, refuse_existing, write_zip
from gliomap.errors import BundleError, machine_error

__all__ = ["CARD", "CUBE_GRAPH", "FRAME_GRAPH", "FRESH", "HASH", "MANIFEST", "read_files", "write_files"]

MANIFEST, HASH, CARD = "manifest.json", "manifest.sha256", "card.md"
CUBE_GRAPH, FRAME_GRAPH = "cube.onnx", "frame.onnx"

_LIMITS = {MANIFEST: 8 * 2**20, HASH: 1024, CARD: 8 * 2**20, CUBE_GRAPH: 512 * 2**20, FRAME_GRAPH: 512 * 2**20}
"""The only file names that a bundle may contain, and the maximum size of each in bytes."""

FRESH = "Take a fresh copy of the bundle, or export it again."
"""Remedy for all kinds of damage."""


def read_files(path: Path) -> dict[str, bytes]:
    """Every file of the bundle at `path`, a folder or a .zip.

    Raises
    ------
    BundleError
        `path` does not exist or is not a bundle, the archive is damaged, or it holds files that no bundle has.
    """
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise BundleError(path, "does not exist", "Check the path; a bundle is a folder or a .zip.")
    if path.suffix.lower() != ".zip" and (path.parent / MANIFEST).is_file():
        raise BundleError(path, "is a file of a bundle, not the bundle", f"Use the folder: {path.parent}.")
    return _read_archive(path)


def write_files(path: Path, files: Mapping[str, bytes], *, overwrite: bool) -> None:
    """Write the files atomically, as a folder, or as an archive if the name ends in .zip.

    Raises
    ------
    OutputExistsError
        `path` already exists and `overwrite` is False.
    """
    if path.suffix.lower() != ".zip":
        with atomic_folder(path, overwrite=overwrite) as folder:
            for name, content in files.items():
                with atomic_file(folder / name) as temporary:
                    temporary.write_bytes(content)
        return
    refuse_existing(path, overwrite=overwrite)
    write_zip(path, dict(sorted(files.items())))


def _read_folder(path: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    entries = sorted(path.iterdir())
    _require(path, MANIFEST, [entry.name for entry in entries])
    for entry in entries:
        limit = _limit(path, entry.name)
        if entry.is_symlink() or not entry.is_file():
            raise BundleError(
                entry, "is not a plain file", "A bundle holds plain files only; copy it with its contents."
            )
        with entry.open("rb") as stream:
            content = stream.read(limit + 1)
        files[entry.name] = _within(path, entry.name, content)
    _require(path, HASH, files)
    return files


def _read_archive(path: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            folder = _folder_inside(entries)
            _require(path, MANIFEST, [entry.filename.removeprefix(folder) for entry in entries])
            for entry in entries:
                name = entry.filename.removeprefix(folder)
                if not name:
                    continue
                limit = _limit(path, name)
                if name in files:
                    raise BundleError(path, f"holds {name} twice", FRESH)
                if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
                    raise BundleError(path, f"its {name} is not a plain file", FRESH)
                with archive.open(entry) as stream:
                    # Reading stops at the limit, whatever size the archive claims.
                    files[name] = _within(path, name, stream.read(limit + 1))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise BundleError(path, f"is not a readable .zip ({error})", FRESH) from error
    except OSError as error:
        # Faults of the machine pass through; a corrupt archive can make the reader seek to impossible positions.
        if machine_error(error) is not None:
            raise
        raise BundleError(path, f"is not a readable .zip ({error})", FRESH) from error
    _require(path, HASH, files)
    return files


def _folder_inside(entries: Sequence[zipfile.ZipInfo]) -> str:
    """The single top-level folder, as `NAME/`, if the folder itself was packed; otherwise an empty string."""
    folders = {entry.filename.partition("/")[0] for entry in entries}
    packed = len(folders) == 1 and folders.isdisjoint(("", ".", "..")) and all("/" in e.filename for e in entries)
    return f"{folders.pop()}/" if packed else ""


def _limit(path: Path, name: str) -> int:
    if name not in _LIMITS:
        raise BundleError(path, f"holds {name!r}, which no bundle has", "Remove it, or take a fresh copy.")
    return _LIMITS[name]


def _within(path: Path, name: str, content: bytes) -> bytes:
    if len(content) > _LIMITS[name]:
        raise BundleError(path, f"its {name} is larger than {_LIMITS[name]} bytes", FRESH)
    return content


def _require(path: Path, name: str, among: Collection[str]) -> None:
    """Require a file. Checking for the manifest first avoids complaints about extra files in an unrelated folder."""
    if name not in among:
        raise BundleError(path, f"has no {name}", "Specify a bundle made by `gliomap bundle create`.")
