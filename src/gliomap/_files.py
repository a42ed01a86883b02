"""Atomic writing, so that no unfinished file or folder ever has its final name; and hashing."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import stat
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gliomap.errors import GlioMapError, MachineError, OutputExistsError, UsageError

__all__ = [
    "atomic_file",
    "atomic_folder",
    "put_in_place",
    "read_limited",
    "refuse_existing",
    "require_suffix",
    "set_aside",
    "sha256_of",
    "user_folder",
    "write_json",
    "write_text",
    "write_zip",
]


_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Timestamp of every archive entry: the earliest that the format allows."""


def refuse_existing(path: Path, *, overwrite: bool, mark: str | None = None) -> None:
    """Raise when `path` exists and may not be replaced.

    Parameters
    ----------
    mark
        For a folder: the file that marks an earlier result. Only such a folder, or an empty one, is overwritten.

    Raises
    ------
    OutputExistsError
        `path` exists, and `overwrite` is False.
    UsageError
        `path` is not an earlier result, or is '.' or '..'.
    """
    if path.exists() and not overwrite:
        replaceable = path.name not in ("", "..") and (mark is None or _is_like(path, [mark]))
        way = "add --overwrite to replace it" if replaceable else "remove it yourself"
        raise OutputExistsError(path, "already exists", f"Choose another output, or {way}.")
    if path.name in ("", ".."):
        raise UsageError(
            path,
            "is the working directory or one of its parents, which cannot be replaced from inside",
            "Run the command from outside it, and give the folder by name.",
        )
    if mark is not None:
        _spare_others(path, [mark])


def _spare_others(path: Path, marks: Collection[str]) -> None:
    """Refuse to overwrite other folders: a mistyped path must not delete patient data."""
    if path.exists() and not _is_like(path, marks):
        raise UsageError(
            path,
            f"holds no {' or '.join(sorted(marks)[:3])}, so it is not an earlier result, and overwriting would delete it",
            "Choose another folder, or remove it yourself.",
        )


def _is_like(path: Path, marks: Collection[str]) -> bool:
    """Whether a folder holds one of these files or is empty."""
    return any((path / mark).is_file() for mark in marks) or (path.is_dir() and not any(path.iterdir()))


def require_suffix(path: Path, kind: str, suffix: str, *also: str) -> None:
    """Raise `UsageError` when the suffix of `path` is not one of this kind of file, by which others recognise it."""
    if path.suffix.lower() not in (suffix, *also):
        raise UsageError(
            path, f"is not a valid name for {kind}", f"Use a name that ends in {' or '.join((suffix, *also))}."
        )


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` and rename it to `path` when the block succeeds.

    The temporary file is flushed to disk before it is renamed. When the block raises, for example on a full disk
    or Ctrl-C, the temporary file is removed and `path` stays unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path, path.stem, path.suffix)
    with _faults_name(path):
        temporary.touch(exist_ok=False)
    try:
        with _faults_name(path, temporary):
            yield temporary
            _flush(temporary)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside `path` and rename it to `path` when the block succeeds.

    Without `overwrite`, an existing `path` is refused, even if another process created it during the block. With
    `overwrite`, it is replaced only at the very end, and only if it is empty or shares a file name with the new folder.
    """
    refuse_existing(path, overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path, path.name)
    with _faults_name(path):
        temporary.mkdir()
    try:
        with _faults_name(path, temporary):
            yield temporary
            if overwrite:
                _spare_others(path, [one.name for one in temporary.iterdir() if one.is_file()])
                put_in_place(temporary, path)
            else:
                _put_where_nothing_is(temporary, path)
    finally:
        _remove(temporary)


def put_in_place(folder: Path, path: Path) -> None:
    """Rename `folder` to `path`. An existing `path` is removed after the rename, or restored if the rename fails."""
    replaced = _beside(path, path.name, "-replaced")
    try:
        if path.exists():
            path.replace(replaced)
        folder.replace(path)
    except BaseException:
        if not path.exists() and replaced.exists():
            replaced.replace(path)
        else:
            _remove(replaced)  # another process has put its own folder there first
        raise
    _remove(replaced)


@contextmanager
def set_aside(path: Path) -> Iterator[None]:
    """Move an existing `path` away while the block makes a new one there; it returns if the block raises.

    For folders whose content holds their own path, so that they cannot be made elsewhere; see `atomic_folder` for others.
    """
    replaced = _beside(path, path.name, "-replaced")
    existed = path.exists()
    if existed:
        path.replace(replaced)
    try:
        yield
    except BaseException:
        _remove(path)
        if existed:
            replaced.replace(path)
        raise
    _remove(replaced)


def _put_where_nothing_is(folder: Path, path: Path) -> None:
    try:
        folder.rename(path)  # replaces an empty folder at most
    except OSError:
        refuse_existing(path, overwrite=False)
        raise


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON with sorted keys and a final newline, atomically.

    NaN and infinity are refused (ValueError): they are not JSON.
    """
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a .zip of plain files, in the given order, atomically; the same files always yield the same bytes."""
    with atomic_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, content)


def user_folder(variable: str, usual: str, environ: Mapping[str, str] = os.environ) -> Path:
    """The user's GlioMap folder for settings or cached copies: in `$variable`, else in `usual` of the home folder.

    Raises
    ------
    MachineError
        Neither exists: in a container, a user may have an ID but no home folder.
    """
    base = environ.get(variable)
    try:
        return (Path(base) if base else Path.home() / usual) / "gliomap"
    except RuntimeError as error:
        raise MachineError("this user", "has no home folder", f"Set {variable} to a folder for these files.") from error


def read_limited(
    path: Path, most: int, fault: type[GlioMapError], *, large: str, missing: str = "Check the path."
) -> bytes:
    """The bytes of an untrusted file, `most` at most.

    Parameters
    ----------
    fault
        The error to raise if the file is missing or larger.
    large, missing
        The remedies for a file that is too large or missing.
    """
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            # A pipe reports no size. Requesting more than the file holds would allocate memory for it.
            content = b"" if size > most else stream.read((size or most) + 1)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise fault(path, "is a folder" if path.is_dir() else "does not exist", missing) from error
    if max(size, len(content)) > most:
        raise fault(path, f"is larger than {most // 2**20} MiB", large)
    return content


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _faults_name(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Make operating-system errors name the target: those of a full disk name no file, or the temporary one."""
    try:
        yield
    except OSError as error:
        if temporary is None or error.filename is None or str(error.filename).startswith(str(temporary)):
            error.filename = str(path)
        raise


def _beside(path: Path, name: str, ending: str = "") -> Path:
    """An unused hidden name in the folder of `path`."""
    return path.with_name(f".{name}-{secrets.token_hex(4)}{ending}")


def _flush(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
