"""The options of `gliomap serve`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "ArchiveFolder",
    "ArchiveFrames",
    "ArchiveKeepIds",
    "ArchiveUrl",
    "BodyTimeout",
    "Deadline",
    "Host",
    "KeysFile",
    "LogFormat",
    "LogFormatChoice",
    "MaxReferenceAge",
    "MaxReferences",
    "MaxStreams",
    "ModelVersion",
    "Port",
    "Queue",
    "ServedBundle",
    "TlsCertificate",
    "TlsClientAuthority",
    "TlsKey",
    "Workers",
]


class LogFormat(StrEnum):
    """How the log is written."""

    text = "text"
    json = "json"


ServedBundle = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="A bundle, folder or .zip, or models:/NAME@ALIAS.")
]
ModelVersion = Annotated[
    str | None,
    typer.Option("--model-version", metavar="V", help="As your registry calls it; for answers and archive."),
]
Host = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")]
Port = Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="0 takes a free one.")]
KeysFile = Annotated[
    Path | None,
    typer.Option("--keys", metavar="FILE", help="Who may ask: lines NAME KEY [admin]. Or GLIOMAP_KEYS."),
]
TlsCertificate = Annotated[Path | None, typer.Option("--tls-cert", metavar="PEM", help="Certificate.")]
TlsKey = Annotated[Path | None, typer.Option("--tls-key", metavar="PEM", help="Its private key.")]
TlsClientAuthority = Annotated[
    Path | None, typer.Option("--tls-client-ca", metavar="PEM", help="Let in only clients with its certificates.")
]
Workers = Annotated[int, typer.Option("--workers", metavar="N", min=1, max=1024, help="Frames at the same time.")]
Queue = Annotated[
    int, typer.Option("--queue", metavar="N", min=0, help="Requests that may wait; further ones get 503.")
]
Deadline = Annotated[
    float, typer.Option("--deadline", metavar="S", min=0.1, max=86_400, help="Longest wait for an answer, in seconds.")
]
BodyTimeout = Annotated[
    float,
    typer.Option("--body-timeout", metavar="S", min=0.1, max=86_400, help="Longest time for a request to arrive."),
]
MaxReferences = Annotated[
    int, typer.Option("--max-references", metavar="N", min=1, help="Pairs kept at once, 40 MB each.")
]
MaxStreams = Annotated[int, typer.Option("--max-streams", metavar="N", min=0, help="Streams at once.")]
MaxReferenceAge = Annotated[
    float, typer.Option("--max-reference-age", metavar="MINUTES", min=0, max=525_600, help="Older ones blank the map.")
]
ArchiveFolder = Annotated[
    Path | None, typer.Option("--archive", metavar="DIR", help="Keep what is answered, before it is.")
]
ArchiveUrl = Annotated[
    str | None, typer.Option("--archive-url", metavar="URL", help="Database of its index; SQLite if not given.")
]
ArchiveFrames = Annotated[bool, typer.Option("--archive-frames", help="Keep frames of streams too.")]
ArchiveKeepIds = Annotated[
    bool, typer.Option("--archive-keep-ids", help="Patient identifiers as they come, not as a keyed hash.")
]
LogFormatChoice = Annotated[LogFormat, typer.Option("--log-format", help="For people or for machines.")]
