"""`gliomap serve`."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from gliomap.cli._app import app
from gliomap.cli._models import located
from gliomap.cli._options import Backend, BackendChoice, TrackingUri
from gliomap.cli._serve_options import (
    ArchiveFolder,
    ArchiveFrames,
    ArchiveKeepIds,
    ArchiveUrl,
    BodyTimeout,
    Deadline,
    Host,
    KeysFile,
    LogFormat,
    LogFormatChoice,
    MaxReferenceAge,
    MaxReferences,
    MaxStreams,
    ModelVersion,
    Port,
    Queue,
    ServedBundle,
    TlsCertificate,
    TlsClientAuthority,
    TlsKey,
    Workers,
)
from gliomap.cli._ui import Ui
from gliomap.cli._verb import verb
from gliomap.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from gliomap.serving import ArchiveSettings, TlsSettings


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
    bundle: ServedBundle,
    model_version: ModelVersion = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    keys: KeysFile = None,
    tls_cert: TlsCertificate = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientAuthority = None,
    backend: BackendChoice = Backend.onnxruntime,
    workers: Workers = 1,
    queue: Queue = 16,
    deadline: Deadline = 10.0,
    body_timeout: BodyTimeout = 30.0,
    max_references: MaxReferences = 8,
    max_streams: MaxStreams = 4,
    max_reference_age: MaxReferenceAge = 60.0,
    archive: ArchiveFolder = None,
    archive_url: ArchiveUrl = None,
    archive_frames: ArchiveFrames = False,
    archive_keep_ids: ArchiveKeepIds = False,
    log_format: LogFormatChoice = LogFormat.text,
    tracking: TrackingUri = None,
) -> None:
    """Serve a bundle over HTTP: a frame in, a tissue map out.

    It listens on this machine alone unless told otherwise, and elsewhere only
    with keys or client certificates. The page /docs shows the interface. SIGTERM
    ends it after what has begun; SIGHUP reads the bundle anew, and for a
    models:/NAME@ALIAS asks the registry again.

    Research software, not a medical device.
    """
    _need_service()
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


def _need_service() -> None:
    if find_spec("fastapi") is None:
        raise MissingExtraError("gliomap serve", "serve")


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
