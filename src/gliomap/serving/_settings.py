"""Settings of a service: where it listens, who may call it, how much it handles at once."""

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
        PEM file; if given, only clients with a certificate of that authority are admitted.
    """

    certificate: Path
    key: Path
    client_authority: Path | None = None


@dataclass(frozen=True, slots=True)
class ArchiveSettings:
    """Where answered cases are archived.

    Attributes
    ----------
    folder
        Folder of the archive.
    database
        SQLAlchemy URL of its index; None for SQLite in the folder.
    stream_frames
        Whether frames of streams are kept too (30 per second are 134 MB/s).
    keep_ids
        Whether patient identifiers are kept as they come, instead of a keyed hash.
    least_free
        New work is refused if fewer bytes are free on its disk.
    """

    folder: Path
    database: str | None = None
    stream_frames: bool = False
    keep_ids: bool = False
    least_free: int = 1 << 30


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """All settings of `gliomap serve`.

    Attributes
    ----------
    bundle
        Folder or .zip.
    model_version
        Version in a registry; empty without one.
    locate
        Returns bundle and version when the bundle is read again, since an alias of a registry may have moved; None for the
        same path.
    host, port
        Address to listen on; port 0 takes a free one.
    keys
        Keys of the clients; empty to admit anybody who reaches the address.
    keys_file
        File from which they were read, and are read again on SIGHUP; None if they stay as they are.
    tls
        Certificates, or None for plain HTTP.
    backend, threads
        See `gliomap.engine.Engine`.
    workers
        Frames that are classified at the same time.
    queue
        Requests that may wait beyond these; further ones get 503 with Retry-After.
    deadline
        Longest time from the end of a request's body to its answer; after that the answer is 503.
    body_timeout
        Longest time for the body of a request to arrive.
    max_body, max_json
        Largest body of a request, and of a JSON request, in bytes.
    max_references
        Pairs of references stored at once; each takes about 40 MB.
    max_streams
        WebSockets open at once.
    max_reference_age
        References further from the frame than this blank the map; None sets no limit.
    archive
        Where answers are archived, or None.
    log_format
        'text' for people, 'json' for log collectors.

    Raises
    ------
    UsageError
        The address is not loopback, and there are neither keys nor client certificates.
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
                "can be reached from other machines, and no key would be required",
                "Give --keys FILE (or GLIOMAP_KEYS), or --tls-client-ca to require client certificates; or listen on 127.0.0.1.",
            )


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
