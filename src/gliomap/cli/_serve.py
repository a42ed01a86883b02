"""`gliomap serve`."""

from __future__ import annotations

import os
from datetime import timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gliomap.cli._app import app
from gliomap.cli._models import located
from gliomap.cli._options import Backend, TrackingUri
from gliomap.cli._ui import Ui
from gliomap.cli._verb import verb
from gliomap.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from gliomap.serving import ArchiveSettings, TlsSettings


class LogFormat(StrEnum):
    """How the log is written."""

    text = "text"
    json = "json"


@verb(
    app,
    "serve",
    examples=(
        "gliomap serve bundle",
        "gliomap serve models:/glioma-map@champion",
        "gliomap serve bundle --port 9000 --backend openvino --archive cases",
        "gliomap serve bundle --host 0.0.0.0 --keys keys.txt \\\n      --tls-cert cert.pem --tls-key key.pem",
    ),
)
def serve(
    ui: Ui,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle, folder or .zip, or models:/NAME@ALIAS.")],
    model_version: Annotated[
        str | None,
        typer.Option("--model-version", metavar="V", help="As your registry calls it; for answers and archive."),
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="0 takes a free one.")] = 8000,
    keys: Annotated[
        Path | None,
        typer.Option("--keys", metavar="FILE", help="Who may ask: lines NAME KEY [admin]. Or GLIOMAP_KEYS."),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option("--tls-cert", metavar="PEM", help="Certificate.")] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="PEM", help="Its private key.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option("--tls-client-ca", metavar="PEM", help="Let in only clients with its certificates.")
    ] = None,
    backend: Annotated[Backend, typer.Option("--backend", help="What runs the bundle.")] = Backend.onnxruntime,
    workers: Annotated[int, typer.Option("--workers", metavar="N", min=1, help="Frames at the same time.")] = 1,
    queue: Annotated[
        int, typer.Option("--queue", metavar="N", min=0, help="Requests that may wait; further ones get 503.")
    ] = 16,
    deadline: Annotated[
        float, typer.Option("--deadline", metavar="S", min=0.1, help="Longest wait for an answer, in seconds.")
    ] = 10.0,
    body_timeout: Annotated[
        float, typer.Option("--body-timeout", metavar="S", min=0.1, help="Longest time for a request to arrive.")
    ] = 30.0,
    max_references: Annotated[
        int, typer.Option("--max-references", metavar="N", min=1, help="Pairs kept at once, 36 MB each.")
    ] = 8,
    max_streams: Annotated[int, typer.Option("--max-streams", metavar="N", min=0, help="Streams at once.")] = 4,
    max_reference_age: Annotated[
        float, typer.Option("--max-reference-age", metavar="MINUTES", min=0, help="Older ones blank the map.")
    ] = 60.0,
    archive: Annotated[
        Path | None, typer.Option("--archive", metavar="DIR", help="Keep what is answered, before it is.")
    ] = None,
    archive_url: Annotated[
        str | None, typer.Option("--archive-url", metavar="URL", help="Database of its index; SQLite if not given.")
    ] = None,
    archive_frames: Annotated[bool, typer.Option("--archive-frames", help="Keep frames of streams too.")] = False,
    archive_keep_ids: Annotated[
        bool, typer.Option("--archive-keep-ids", help="Patient identifiers as they come, not as a keyed hash.")
    ] = False,
    log_format: Annotated[LogFormat, typer.Option("--log-format", help="For people or for machines.")] = LogFormat.text,
    tracking: TrackingUri = None,
) -> None:
    """Serve a bundle over HTTP: a frame in, a tissue map out.

    It listens on this machine alone unless told otherwise, and elsewhere only
    with keys or client certificates. The page /docs shows the interface. SIGTERM
    ends it after what has begun; SIGHUP reads the bundle anew, and for a
    models:/NAME@ALIAS asks the registry again.

    Research software, not a medical device.
    """
    try:
        import fastapi  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("gliomap serve", "serve") from error
    from gliomap.serving import ServiceSettings, read_keys, run

    locate = partial(located, bundle, tracking)
    path, version = locate()
    settings = ServiceSettings(
        bundle=path,
        model_version=model_version or version,
        locate=locate if version else None,
        host=host,
        port=port,
        keys=read_keys(keys, os.environ),
        tls=_tls(tls_cert, tls_key, tls_client_ca),
        backend=backend.value,
        threads=ui.threads,
        workers=workers,
        queue=queue,
        deadline=timedelta(seconds=deadline),
        body_timeout=timedelta(seconds=body_timeout),
        max_references=max_references,
        max_streams=max_streams,
        max_reference_age=timedelta(minutes=max_reference_age),
        archive=_archive(archive, archive_url, archive_frames, archive_keep_ids),
        log_format=log_format.value,
    )
    run(settings)


def _tls(certificate: Path | None, key: Path | None, client_authority: Path | None) -> TlsSettings | None:
    from gliomap.serving import TlsSettings

    if (certificate is None) != (key is None) or (client_authority is not None and certificate is None):
        raise UsageError("serve", "a certificate needs its key, and a client authority both", "Give all of them.")
    return None if certificate is None or key is None else TlsSettings(certificate, key, client_authority)


def _archive(folder: Path | None, url: str | None, frames: bool, keep_ids: bool) -> ArchiveSettings | None:
    from gliomap.serving import ArchiveSettings

    if folder is not None:
        return ArchiveSettings(folder, url, frames, keep_ids)
    only_archive = {"--archive-url": url is not None, "--archive-frames": frames, "--archive-keep-ids": keep_ids}
    misplaced = [flag for flag, given in only_archive.items() if given]
    if misplaced:
        raise UsageError("serve", f"{', '.join(misplaced)} belongs to --archive", "Add --archive DIR.")
    return None
