"""How a service runs: where it listens, who may ask, how much it takes on at once."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal

from gliomap.engine import BackendName
from gliomap.errors import UsageError
from gliomap.serving._keys import Key

__all__ = ["ArchiveSettings", "ServiceSettings", "TlsSettings"]

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Certificates.

    Attributes
    ----------
    certificate, key
        PEM files of the service.
    client_authority
        PEM file; with it only clients with a certificate of that authority are let in.
    """

    certificate: Path
    key: Path
    client_authority: Path | None = None


@dataclass(frozen=True, slots=True)
class ArchiveSettings:
    """Where answered cases are kept.

    Attributes
    ----------
    folder
        The archive.
    database
        SQLAlchemy URL of its index; None: SQLite in the folder.
    stream_frames
        Whether frames of streams are kept too (30 a second are 134 MB/s).
    keep_ids
        Patient identifiers as they come, instead of a keyed hash.
    least_free
        New work is refused when fewer bytes are free on its disk.
    """

    folder: Path
    database: str | None = None
    stream_frames: bool = False
    keep_ids: bool = False
    least_free: int = 1 << 30


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """Everything that `gliomap serve` can be told.

    Attributes
    ----------
    bundle
        Folder or .zip.
    model_version
        In a registry; empty without one.
    locate
        Asked for bundle and version when the bundle is read anew, since an alias of a registry may have moved; None: the
        same path again.
    host, port
        Address to listen on; port 0 takes a free one.
    keys
        Who may ask; empty: anybody who reaches the address.
    keys_file
        Where they were read, and are read anew on SIGHUP; None: they stay.
    tls
        Certificates, or None for plain HTTP.
    backend, threads
        See `gliomap.engine.Engine`.
    workers
        Frames that are classified at the same time.
    queue
        Requests that may wait beyond these; further ones get 503 with Retry-After.
    deadline
        Longest time from the end of a request's body to its answer; later 503 is answered.
    body_timeout
        Longest time for the body of a request to arrive.
    max_body, max_json
        Largest body of a request, and of the JSON requests of /score, in bytes.
    max_references
        Pairs of references that are kept at once; each takes about 40 MB.
    max_streams
        WebSockets at once.
    max_reference_age
        References further from the frame than this blank the map; None sets no limit.
    archive
        Where answers are kept, or None.
    log_format
        'text' for people, 'json' for collectors of logs.

    Raises
    ------
    UsageError
        An address other than loopback with neither keys nor client certificates.
    """

    bundle: Path
    model_version: str = ""
    locate: Callable[[], tuple[Path, str]] | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    keys: tuple[Key, ...] = field(default=(), repr=False)
    keys_file: Path | None = None
    tls: TlsSettings | None = None
    backend: BackendName = "onnxruntime"
    threads: int | None = None
    workers: int = 1
    queue: int = 16
    deadline: timedelta = timedelta(seconds=10)
    body_timeout: timedelta = timedelta(seconds=30)
    max_body: int = 64 * MEBIBYTE
    max_json: int = 128 * MEBIBYTE
    max_references: int = 8
    max_streams: int = 4
    max_reference_age: timedelta | None = timedelta(minutes=60)
    archive: ArchiveSettings | None = None
    log_format: Literal["text", "json"] = "text"

    def __post_init__(self) -> None:
        guarded = bool(self.keys) or (self.tls is not None and self.tls.client_authority is not None)
        if not guarded and not is_loopback(self.host):
            raise UsageError(
                f"address {self.host}",
                "can be reached from other machines, and nobody would be asked for a key",
                "Give --keys FILE (or GLIOMAP_KEYS), or --tls-client-ca for client certificates; or listen on 127.0.0.1.",
            )


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
