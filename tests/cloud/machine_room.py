"""The parts of a cloud on loopback: certificates, a proxy for Azure's host names, and Azurite.

The command under test uses Azure's own host names and, as behind the firewall of a hospital, a proxy (`HTTPS_PROXY`).
The proxy connects `management.azure.com` to the stand-in for the control plane and `*.blob.core.windows.net` to
Azurite. It refuses any other host, so nothing ever leaves the machine.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support import free_port, wait_until

NAMES = (
    "management.azure.com",
    "login.microsoftonline.com",
    "*.blob.core.windows.net",
    "*.api.azureml.ms",
    "*.westeurope.inference.ml.azure.com",
)


@dataclass(frozen=True)
class Certificates:
    """PEM files of a server and of the authority that signed its certificate."""

    authority: Path
    certificate: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """TLS settings of a server with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def make_certificates(folder: Path) -> Certificates:
    """Make an authority and a certificate signed by it for Azure's host names, valid for a day."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of the tests")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cloud of the tests")])
    now = datetime.datetime.now(datetime.UTC)

    def build(name: x509.Name, public: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
        )

    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    root = build(issuer, authority_key.public_key(), ca=True).add_extension(usage, critical=True)
    alternatives = [*(x509.DNSName(name) for name in NAMES), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    leaf = build(subject, key.public_key(), ca=False).add_extension(
        x509.SubjectAlternativeName(alternatives), critical=False
    )
    pem = serialization.Encoding.PEM
    files = Certificates(folder / "authority.pem", folder / "server.pem", folder / "server.key")
    files.authority.write_bytes(root.sign(authority_key, hashes.SHA256()).public_bytes(pem))
    files.certificate.write_bytes(leaf.sign(authority_key, hashes.SHA256()).public_bytes(pem))
    files.key.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return files


@dataclass
class Routes:
    """Patterns of host names → ports on loopback; hosts without a port are refused and noted.

    If `left` is a number, every connection breaks after that many bytes have been sent.
    """

    ports: dict[str, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    down: bool = False
    left: int | None = None

    def carries(self, size: int) -> bool:
        """Whether this many more bytes can be sent."""
        if self.left is not None:
            self.left -= size
            self.down = self.left < 0
        return not self.down

    def port(self, host: str) -> int | None:
        """The port of a host; None if the host is refused."""
        found = None if self.down else next((port for name, port in self.ports.items() if fnmatch(host, name)), None)
        if found is None:
            self.refused.append(host)
        return found


class _Connect(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        words = self.rfile.readline().decode("latin-1").split()
        while self.rfile.readline().strip():
            continue
        routes: Routes = self.server.routes  # type: ignore[attr-defined]
        # Azure's library also asks, over plain HTTP, whether it runs on a machine of Azure's. It does not.
        port = routes.port(words[1].partition(":")[0]) if len(words) == 3 and words[0] == "CONNECT" else None
        if port is None:
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", port)) as there:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(there, self.connection), daemon=True)
            back.start()
            _pump(self.connection, there, routes.carries)
            back.join(5)


def _pump(source: socket.socket, target: socket.socket, carries: Callable[[int], bool] = bool) -> None:
    try:
        while data := source.recv(1 << 16):
            if not carries(len(data)):
                source.shutdown(socket.SHUT_RDWR)
                break
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


class HangUps:
    """Mixin of servers that print no traceback to the tests' stderr when a client hangs up."""

    def handle_error(self, request: Any, address: Any) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, address)  # type: ignore[misc]


class _Proxy(HangUps, socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64


@contextmanager
def proxy(routes: Routes) -> Iterator[str]:
    """Run the proxy; yields its address."""
    with _Proxy(("127.0.0.1", 0), _Connect) as server:
        server.routes = routes  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def azurite_command() -> str | None:
    """The program `azurite-blob`, if it is installed."""
    return shutil.which("azurite-blob")


ACCOUNT, ACCOUNT_KEY = "brainstore", "a2V5IG9mIHRoZSB0ZXN0cw=="  # known to Azurite alone


@contextmanager
def azurite(folder: Path, certificates: Certificates | None = None) -> Iterator[int]:
    """Run Azurite's blob service and yield its port once it responds; certificates turn on TLS and Entra tokens."""
    command = azurite_command()
    assert command is not None
    port = free_port()
    secure = (
        []
        if certificates is None
        else ["--cert", str(certificates.certificate), "--key", str(certificates.key), "--oauth", "basic"]
    )
    folder.mkdir(parents=True, exist_ok=True)
    arguments = [
        *("--silent", "--skipApiVersionCheck", "--disableTelemetry"),
        *("--blobHost", "127.0.0.1", "--blobPort", str(port), "-l", str(folder)),
    ]
    with (folder / "azurite.log").open("wb") as log:
        process = subprocess.Popen(
            [command, *arguments, *secure],
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{ACCOUNT_KEY}"},
        )
    try:
        wait_until(lambda: _listens(port), process, (folder / "azurite.log").read_text)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
