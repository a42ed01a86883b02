"""What the verbs that talk to a service share: address, key, certificates."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gliomap.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from gliomap.serving import Client

__all__ = ["Access", "Url"]

KEY_VARIABLE = "GLIOMAP_KEY"

Url = Annotated[str, typer.Argument(metavar="URL", help="Address of a service (`gliomap serve`).")]


@dataclass(frozen=True)
class Access:
    """How a client identifies itself, and whom it trusts."""

    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="File with the API key. Or GLIOMAP_KEY.")
    ] = None
    ca: Annotated[
        Path | None, typer.Option("--tls-ca", metavar="PEM", help="Authority of the service's certificate.")
    ] = None
    certificate: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="PEM", help="Your certificate, if the service requires one.")
    ] = None
    private: Annotated[Path | None, typer.Option("--tls-key", metavar="PEM", help="Its private key.")] = None

    def client(self, verb: str, url: str) -> Client:
        """A client of the service.

        Raises
        ------
        MissingExtraError
            The client's libraries are not installed.
        UsageError
            A file is not what it should be.
        """
        try:
            from gliomap.serving import Client
        except ImportError as error:
            raise MissingExtraError(f"gliomap {verb}", "serve") from error
        if not url.startswith(("http://", "https://")):
            raise UsageError(url, "is not the address of a service", f"Write it as {_address(url)}.")
        return Client(url, key=_key(self.key), verify=_context(self.ca, self.certificate, self.private))


def _address(given: str) -> str:
    """The address that was probably meant."""
    host = given.split("://")[-1]
    return f"http://{host or '127.0.0.1:8000'}"


def _context(authority: Path | None, certificate: Path | None, private: Path | None) -> ssl.SSLContext | bool:
    if (certificate is None) != (private is None):
        raise UsageError("--tls-cert", "and --tls-key belong together", "Give both.")
    if authority is None and certificate is None:
        return True
    try:
        context = ssl.create_default_context(cafile=authority)
        if certificate is not None and private is not None:
            context.load_cert_chain(certificate, private)
    except (FileNotFoundError, ssl.SSLError) as error:
        raise UsageError("certificates", f"cannot be used ({error})", "Give PEM files that belong together.") from error
    return context


def _key(path: Path | None) -> str | None:
    if path is None:
        return os.environ.get(KEY_VARIABLE) or None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError) as error:
        raise UsageError(path, "is not a file with a key", "Write only the key into it.") from error
