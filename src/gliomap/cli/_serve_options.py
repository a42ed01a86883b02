"""The options of `gliomap serve`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gliomap.cli._options import BackendChoice
from gliomap.errors import UsageError

if TYPE_CHECKING:
    from gliomap.serving import ArchiveSettings, ServiceSettings, TlsSettings

__all__ = ["Serving"]


@dataclass(frozen=True)
class Serving:
    """How a bundle is served."""

    model_version: Annotated[
        str | None,
        typer.Option("--model-version", metavar="V", help="Version in your registry; for answers and archive."),
    ] = None
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port; 0 takes a free one.")] = 8000
    keys: Annotated[
        Path | None,
        typer.Option("--keys", metavar="FILE", help="API keys, lines NAME KEY [admin]. Or GLIOMAP_KEYS."),
    ] = None
    tls_cert: Annotated[Path | None, typer.Option("--tls-cert", metavar="PEM", help="Server certificate.")] = None
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="PEM", help="Its private key.")] = None
    tls_client_ca: Annotated[
        Path | None,
        typer.Option("--tls-client-ca", metavar="PEM", help="Admit only clients with certificates of this authority."),
    ] = None
    backend: BackendChoice = "onnxruntime"
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", min=1, max=1024, help="Frames processed at the same time.")
    ] = 1
    queue: Annotated[int, typer.Option("--queue", metavar="N", min=0, help="Requests that may wait; more get 503.")] = (
        16
    )
    deadline: Annotated[
        float,
        typer.Option("--deadline", metavar="S", min=0.1, max=86_400, help="Longest wait for an answer, in seconds."),
    ] = 10.0
    body_timeout: Annotated[
        float,
        typer.Option(
            "--body-timeout", metavar="S", min=0.1, max=86_400, help="Longest time for a request to arrive, in seconds."
        ),
    ] = 30.0
    max_references: Annotated[
        int, typer.Option("--max-references", metavar="N", min=1, help="Reference pairs kept at once, 40 MB each.")
    ] = 8
    max_streams: Annotated[int, typer.Option("--max-streams", metavar="N", min=0, help="Streams open at once.")] = 4
    max_reference_age: Annotated[
        float,
        typer.Option(
            "--max-reference-age", metavar="MINUTES", min=0, max=525_600, help="Older references blank the map."
        ),
    ] = 60.0
    archive: Annotated[
        Path | None, typer.Option("--archive", metavar="DIR", help="Archive each answer before it is sent.")
    ] = None
    archive_url: Annotated[
        str | None,
        typer.Option("--archive-url", metavar="URL", help="Database for the archive's index only; SQLite by default."),
    ] = None
    archive_frames: Annotated[bool, typer.Option("--archive-frames", help="Also archive the frames of streams.")] = (
        False
    )
    archive_keep_ids: Annotated[
        bool, typer.Option("--archive-keep-ids", help="Archive patient identifiers as received, not as a keyed hash.")
    ] = False
    log_format: Annotated[
        Literal["text", "json"], typer.Option("--log-format", help="Format of the log, for people or for machines.")
    ] = "text"

    def settings(self, locate: Callable[[], tuple[Path, str]], threads: int | None) -> ServiceSettings:
        """The settings in the form that the service takes; `locate` finds the bundle, and its version if it is in a registry.

        Raises
        ------
        UsageError
            Options contradict each other, or a file is not what it should be.
        """
        from gliomap.serving import ServiceSettings, read_keys

        bundle, version = locate()
        return ServiceSettings(
            bundle=bundle,
            model_version=self.model_version or version,
            locate=locate if version else None,
            host=self.host,
            port=self.port,
            keys=read_keys(self.keys, os.environ),
            keys_file=self.keys,
            tls=self._tls(),
            backend=self.backend,
            threads=threads,
            workers=self.workers,
            queue=self.queue,
            deadline=timedelta(seconds=self.deadline),
            body_timeout=timedelta(seconds=self.body_timeout),
            max_references=self.max_references,
            max_streams=self.max_streams,
            max_reference_age=timedelta(minutes=self.max_reference_age),
            archive=self._archive(),
            log_format=self.log_format,
        )

    def _tls(self) -> TlsSettings | None:
        from gliomap.serving import TlsSettings

        certificate, key, authority = self.tls_cert, self.tls_key, self.tls_client_ca
        if certificate is not None and key is not None:
            return TlsSettings(certificate, key, authority)
        if (certificate, key, authority) != (None, None, None):
            raise UsageError(
                "serve", "a certificate needs its key, and a client authority needs both", "Give all of them."
            )
        return None

    def _archive(self) -> ArchiveSettings | None:
        from gliomap.serving import ArchiveSettings

        url, frames, keep_ids = self.archive_url, self.archive_frames, self.archive_keep_ids
        if self.archive is not None:
            return ArchiveSettings(self.archive, url, frames, keep_ids)
        only_archive = {"--archive-url": url is not None, "--archive-frames": frames, "--archive-keep-ids": keep_ids}
        misplaced = [flag for flag, given in only_archive.items() if given]
        if misplaced:
            raise UsageError("serve", f"{', '.join(misplaced)} can only be used with --archive", "Add --archive DIR.")
        return None
