"""Transfer files to and from a blob container: in parallel, checked by SHA-256, and resumable after any interruption."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobProperties, ContainerClient, ContentSettings

from gliomap._files import atomic_file, sha256_of
from gliomap._progress import Track, silent
from gliomap.errors import AzureError, OutputExistsError

__all__ = ["WORKERS", "Transfer", "download_files", "remote_files", "upload_files"]

WORKERS = 8
"""Files transferred at the same time."""
HASH = "sha256"
"""Key of the hash in a blob's metadata."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Transfer:
    """The result of a transfer.

    Attributes
    ----------
    sent, skipped
        Number of files transferred, and of files that already existed.
    bytes
        Bytes transferred.
    seconds
        Duration.
    unverified
        Downloaded files without a checksum to verify them.
    """

    sent: int
    skipped: int
    bytes: int
    seconds: float
    unverified: tuple[str, ...] = ()


def remote_files(container: ContainerClient, prefix: str) -> dict[str, BlobProperties]:
    """Blobs below a prefix, by their name relative to it."""
    start = prefix.rstrip("/") + "/"
    found = container.list_blobs(name_starts_with=start, include=["metadata"])
    return {blob.name[len(start) :]: blob for blob in found if not _is_folder(blob)}


def upload_files(
    container: ContainerClient,
    files: Mapping[str, Path],
    prefix: str,
    *,
    overwrite: bool = False,
    track: Track = silent,
) -> tuple[Transfer, dict[str, str]]:
    """Upload files; existing ones with the same SHA-256 are skipped, so the same call continues after a kill.

    A blob appears only once all of it has arrived.

    Parameters
    ----------
    container
        The target.
    files
        Name below `prefix` → file.
    prefix
        Folder in the container.
    overwrite
        Replace blobs that differ.
    track
        Receives progress, file by file.

    Returns
    -------
    transfer, hashes
        The result, and name → SHA-256 of every file.

    Raises
    ------
    AzureError
        A blob differs from its file; then nothing has been uploaded.
    """
    begun = time.perf_counter()
    there = remote_files(container, prefix)
    present = [name for name in files if name in there]
    hashes = dict(_parallel(lambda name: (name, sha256_of(files[name])), present, track, "comparing"))
    differing = [name for name in present if _hash_of(there[name]) != hashes[name]]
    changed = [name for name in differing if not _same_md5(there[name], files[name])]
    if changed and not overwrite:
        more = f", as do {len(changed) - 1} more" if changed[1:] else ""
        raise AzureError(
            f"{prefix}/{changed[0]}",
            f"already exists with other content{more}",
            "Data assets that point there would change under their version. Upload to another folder (--to NAME), or"
            " add --overwrite.",
        )
    missing = [name for name in files if name not in there]
    sizes = []
    for name, sha256, size in _parallel(
        lambda name: _send(container, f"{prefix}/{name}", name, files[name], overwrite=name in there),
        [*missing, *differing],
        track,
        "uploading",
    ):
        hashes[name] = sha256
        sizes.append(size)
    return Transfer(len(sizes), len(files) - len(sizes), sum(sizes), time.perf_counter() - begun), hashes


def _send(container: ContainerClient, blob: str, name: str, path: Path, *, overwrite: bool) -> tuple[str, str, int]:
    """Upload one file and return name, SHA-256 and size of what was sent and confirmed by the storage."""
    content = path.read_bytes()
    sha256, md5 = hashlib.sha256(content).hexdigest(), _md5(content)
    try:
        answer = container.get_blob_client(blob).upload_blob(
            content,
            overwrite=overwrite,
            metadata={HASH: sha256},
            content_settings=ContentSettings(content_md5=bytearray(md5)),
        )
    except ResourceExistsError as error:
        told = "Run the command again: it compares first."
        raise AzureError(blob, "was created by somebody else in the meantime", told) from error
    # For a file sent in one piece, the storage returns the checksum of what arrived.
    arrived = answer.get("content_md5")
    if arrived is not None and bytes(arrived) != md5:
        container.delete_blob(blob)
        raise AzureError(blob, "arrived damaged and was removed", "Run the command again.")
    return name, sha256, len(content)


def download_files(
    container: ContainerClient,
    prefix: str,
    folder: Path,
    *,
    wanted: Mapping[str, str] | None = None,
    only: Callable[[str], bool] = bool,
    overwrite: bool = False,
    track: Track = silent,
) -> Transfer:
    """Fetch all blobs below a prefix; each is verified before it gets its name, and existing files are skipped.

    Parameters
    ----------
    container
        The source.
    prefix
        Folder in the container.
    folder
        Folder for the files.
    wanted
        Name → SHA-256 that a file must have, if known from a source other than the blob itself.
    only
        Selects names; all, if not given.
    overwrite
        Replace files that differ.
    track
        Receives progress, file by file.

    Raises
    ------
    AzureError
        There is nothing below the prefix, a name leads out of `folder`, or what arrived differs from what was sent.
    OutputExistsError
        A file already exists with other content.
    """
    begun = time.perf_counter()
    blobs = {name: blob for name, blob in remote_files(container, prefix).items() if only(name)}
    if not blobs:
        raise AzureError(
            prefix, f"holds no files in container {container.container_name}", "Upload it: gliomap azure upload STUDY."
        )
    known = {name: (wanted or {}).get(name) or _hash_of(blob) for name, blob in blobs.items()}
    targets = {name: inside(folder, name) for name in blobs}
    present = [name for name, path in targets.items() if path.is_file()]
    same = {
        name
        for name, found in _parallel(lambda one: (one, sha256_of(targets[one])), present, silent, "reading")
        if found == known[name]
    }
    for name in present:
        if name not in same and not overwrite:
            raise OutputExistsError(
                targets[name],
                "already exists with other content",
                "Choose another folder, or add --overwrite to replace it.",
            )

    def fetch(name: str) -> int:
        with atomic_file(targets[name]) as temporary:
            with temporary.open("wb") as stream:
                container.download_blob(f"{prefix}/{name}").readinto(stream)
            _verify(name, temporary, known[name], blobs[name])
        return int(blobs[name].size)

    missing = [name for name in blobs if name not in same]
    sizes = list(_parallel(fetch, missing, track, "downloading"))
    unverified = tuple(name for name in missing if known[name] is None and not blobs[name].content_settings.content_md5)
    return Transfer(len(sizes), len(same), sum(sizes), time.perf_counter() - begun, unverified)


def _parallel(work: Callable[[T], R], things: Sequence[T], track: Track, description: str) -> Iterator[R]:
    """Yield results as they come; the first error, or Ctrl-C, cancels what has not begun."""
    with ThreadPoolExecutor(WORKERS) as pool:
        futures = [pool.submit(work, thing) for thing in things]
        try:
            for future in track(as_completed(futures), description, len(things)):
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _verify(name: str, path: Path, sha256: str | None, blob: BlobProperties) -> None:
    md5 = blob.content_settings.content_md5
    if sha256 is not None:
        sound = sha256_of(path) == sha256
    elif md5:
        sound = _md5(path.read_bytes()) == bytes(md5)
    else:
        sound = path.stat().st_size == blob.size
    if not sound:
        raise AzureError(
            name,
            "is not what was uploaded: its checksum differs",
            "Run the command again; if the error persists, the stored file has changed: upload it again.",
        )


def _hash_of(blob: BlobProperties) -> str | None:
    return (blob.metadata or {}).get(HASH)


def _same_md5(blob: BlobProperties, path: Path) -> bool:
    """Whether a blob uploaded by another program, without GlioMap's SHA-256, has a file's content."""
    md5 = blob.content_settings.content_md5
    return _hash_of(blob) is None and md5 is not None and _md5(path.read_bytes()) == bytes(md5)


def _md5(content: bytes) -> bytes:
    """The checksum that Azure keeps for each blob; it protects against accidents, not against attackers."""
    return hashlib.md5(content, usedforsecurity=False).digest()


def _is_folder(blob: BlobProperties) -> bool:
    """Whether a blob marks a folder: accounts with folders list them as empty blobs with this mark."""
    return (blob.metadata or {}).get("hdi_isfolder") == "true"


def inside(folder: Path, name: str) -> Path:
    """The local path of a blob's file.

    Raises
    ------
    AzureError
        Its name leads out of the folder.
    """
    parts = PurePosixPath(name).parts
    if PurePosixPath(name).is_absolute() or ".." in parts or "\\" in name:
        raise AzureError(name, "leads out of the folder", "Do not download it: such a name is deliberate.")
    return folder.joinpath(*parts)
