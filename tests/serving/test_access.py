"""Who may use the service: keys, certificates, addresses."""

from __future__ import annotations

import ipaddress
import itertools
import signal
import ssl
import subprocess
import threading
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from gliomap.errors import GlioMapError, MachineError, RequestError, UsageError
from gliomap.serving import Client, ServiceSettings, TlsSettings, keys_as_variable, read_keys
from gliomap.serving._keys import find_client
from gliomap.serving._reply import unpack_reply
from serving.servers import ADMIN, COMMAND, KEY, RunningServer, Scene, answer_of

KEYS = f"# who may ask\ncamera {KEY}\n\nchief {ADMIN} admin\n"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys.txt"
    path.write_text(KEYS)
    return path


class TestKeys:
    def test_keys_come_from_a_file_or_the_environment(self, keys: Path) -> None:
        from_file = read_keys(keys, {})
        assert from_file == read_keys(None, {"GLIOMAP_KEYS": f"camera:{KEY},chief:{ADMIN}:admin"})
        assert [(key.client.name, key.client.admin) for key in from_file] == [("camera", False), ("chief", True)]

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("camera short", "is shorter than 16"),
            ("camera", "does not have the form"),
            (f"camera {KEY} boss", "does not have the form"),
            (f"a/b {KEY}", "does not have the form"),
            (f"camera {KEY}\ncamera {ADMIN}", "appears twice"),
            ("# nobody yet\n", "has no key, so anybody would be admitted"),
        ],
    )
    def test_bad_files_are_refused_without_showing_a_key(self, tmp_path: Path, text: str, fault: str) -> None:
        (tmp_path / "keys").write_text(text)
        with pytest.raises(UsageError, match=fault) as caught:
            read_keys(tmp_path / "keys", {})
        assert KEY not in str(caught.value)
        assert "short" not in str(caught.value).replace("shorter", "")

    def test_a_keys_file_as_a_variable_admits_the_same_clients(self, keys: Path) -> None:
        assert read_keys(None, {"GLIOMAP_KEYS": keys_as_variable(keys)}) == read_keys(keys, {})

    @pytest.mark.parametrize("character", [":", ","])
    def test_a_key_with_a_separator_cannot_become_a_variable(self, tmp_path: Path, character: str) -> None:
        (tmp_path / "keys").write_text(f"camera {KEY}{character}1")
        with pytest.raises(UsageError, match="has keys with ':' or ','") as caught:
            keys_as_variable(tmp_path / "keys")
        assert KEY not in str(caught.value)

    def test_a_bad_file_does_not_become_a_variable(self, tmp_path: Path) -> None:
        (tmp_path / "keys").write_text("camera short")
        with pytest.raises(UsageError, match="is shorter than 16"):
            keys_as_variable(tmp_path / "keys")

    def test_sixteen_characters_are_enough(self) -> None:
        (key,) = read_keys(None, {"GLIOMAP_KEYS": "camera:0123456789abcdef"})
        assert find_client([key], {"authorization": "Bearer 0123456789abcdef"}).name == "camera"

    @pytest.mark.parametrize(("certificate", "name"), [(None, "anonymous"), ("theatre-1", "theatre-1")])
    def test_without_an_admin_key_nobody_is_an_admin(self, certificate: str | None, name: str) -> None:
        client = find_client((), {}, certificate)
        assert (client.name, client.admin) == (name, False)

    def test_a_missing_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="not a readable file"):
            read_keys(tmp_path / "none", {})

    def test_a_key_is_never_shown(self, keys: Path, tmp_path: Path) -> None:
        settings = ServiceSettings(tmp_path, keys=read_keys(keys, {}))
        for shown in (repr(settings), repr(settings.keys), str(settings.keys[0])):
            assert KEY not in shown
            assert "digest" not in shown

    @given(st.text(max_size=40))
    def test_any_other_text_is_refused_as_a_key(self, text: str) -> None:
        with pytest.raises(RequestError) as caught:
            find_client(read_keys(None, {"GLIOMAP_KEYS": f"camera:{KEY}"}), {"x-api-key": text})
        assert caught.value.status == 401


class TestAddress:
    @pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "theatre.example"])
    def test_other_addresses_than_loopback_need_keys_or_certificates(self, tmp_path: Path, host: str) -> None:
        with pytest.raises(UsageError, match="can be reached from other machines"):
            ServiceSettings(tmp_path, host=host)
        with pytest.raises(UsageError, match="can be reached"):
            ServiceSettings(tmp_path, host=host, tls=TlsSettings(tmp_path, tmp_path))
        ServiceSettings(tmp_path, host=host, keys=read_keys(None, {"GLIOMAP_KEYS": f"camera:{KEY}"}))
        ServiceSettings(tmp_path, host=host, tls=TlsSettings(tmp_path, tmp_path, tmp_path))

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
    def test_loopback_needs_no_keys(self, tmp_path: Path, host: str) -> None:
        ServiceSettings(tmp_path, host=host)

    def test_the_command_without_keys_ends_with_exit_code_2(self, bundle: Path) -> None:
        done = subprocess.run([COMMAND, "serve", str(bundle), "--host", "0.0.0.0"], capture_output=True, text=True)
        assert done.returncode == 2
        assert "--keys" in done.stderr

    def test_a_port_in_use_ends_with_exit_code_3(self, server: RunningServer, bundle: Path) -> None:
        port = server.url.rpartition(":")[2]
        done = subprocess.run([COMMAND, "serve", str(bundle), "--port", port], capture_output=True, text=True)
        assert done.returncode == 3
        assert f"127.0.0.1:{port}: cannot listen on this address" in done.stderr


def test_a_service_with_keys_admits_only_clients_with_a_key(
    serve: Callable[..., RunningServer], keys: Path, scene: Scene
) -> None:
    server = serve("--keys", str(keys), "--host", "0.0.0.0", "--log-format", "json")
    url = server.url.replace("0.0.0.0", "127.0.0.1")
    for path in ("/health/live", "/health/ready", "/metrics", "/v2/health/ready", "/openapi.json", "/docs"):
        assert answer_of("GET", f"{url}{path}").status_code == 200, path
    for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": f"Basic {KEY}"}, {"Authorization": "Bearer"}):
        answer = answer_of("GET", f"{url}/v1/model", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == "Bearer"
    assert answer_of("GET", f"{url}/v1/model", headers={"X-API-Key": KEY}).status_code == 200
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{url.replace('http', 'ws')}/v1/stream?references=or-1")
    assert refused.value.response.status_code == 401
    with Client(url, key=KEY) as camera, Client(url, key=ADMIN) as chief:
        camera.put_references("or-1", scene.white, scene.dark)
        assert camera.classify(scene.raw, references="or-1").mask.any()
        assert len(list(camera.stream([scene.raw], references="or-1"))) == 1
        assert answer_of("PUT", f"{url}/v1/model", headers={"X-API-Key": KEY}).status_code == 403
        assert answer_of("PUT", f"{url}/v1/model", headers={"X-API-Key": ADMIN}).status_code == 200
        assert chief.model().name == "small"
    log = server.logged()
    assert '"client": "camera"' in log
    assert KEY not in log
    assert ADMIN not in log


def test_sighup_rereads_the_keys(serve: Callable[..., RunningServer], keys: Path) -> None:
    server = serve("--keys", str(keys))

    def status(key: str) -> int:
        return answer_of("GET", f"{server.url}/v1/model", headers={"X-API-Key": key}).status_code

    keys.write_text("# all withdrawn\n")
    server.process.send_signal(signal.SIGHUP)
    assert "has no key" in server.logged_line("the new keys cannot be used, the current one stays")
    assert status(KEY) == 200
    new = "another-key-0123456789"
    keys.write_text(f"microscope {new}\n")
    server.process.send_signal(signal.SIGHUP)
    assert server.logged_line("keys read again").endswith(": microscope")
    assert (status(KEY), status(new)) == (401, 200)
    assert new not in server.logged()


def test_a_stream_ends_with_its_key(serve: Callable[..., RunningServer], keys: Path, scene: Scene) -> None:
    """A new key under the same name replaces the old one; streams with other keys go on."""
    server = serve("--keys", str(keys))
    with server.client(ADMIN) as chief:
        chief.put_references("or-1", scene.white, scene.dark)
    url = f"{server.url.replace('http', 'ws')}/v1/stream?references=or-1"
    with connect(url, additional_headers={"X-API-Key": ADMIN}) as kept, server.client(KEY) as camera:
        idle = connect(url, additional_headers={"X-API-Key": KEY})
        replies = camera.stream(itertools.repeat(scene.raw), references="or-1")
        next(replies)
        keys.write_text(f"camera another-key-0123456789\nchief {ADMIN} admin\n")
        server.process.send_signal(signal.SIGHUP)
        with idle, pytest.raises(ConnectionClosed) as caught:
            idle.recv(timeout=60)
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1008, "its key was withdrawn")
        with pytest.raises(RequestError, match=r"closed the stream \(its key was withdrawn\)"):
            list(replies)
        kept.send(scene.files["raw"])
        assert unpack_reply(kept.recv(timeout=60))[0].problem is None
    assert " error " not in server.logged()


class TestTls:
    def test_only_a_client_certificate_admits(
        self, serve: Callable[..., RunningServer], scene: Scene, tmp_path: Path
    ) -> None:
        authority = make_certificates(tmp_path)
        flags = ("--tls-cert", f"{tmp_path}/server.pem", "--tls-key", f"{tmp_path}/server.key")
        server = serve("--host", "0.0.0.0", *flags, "--tls-client-ca", str(authority))
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        assert url.startswith("https")
        with (
            pytest.raises(MachineError, match=r"certificate that is not trusted here \(.*--tls-ca"),
            Client(url) as nobody,
        ):
            nobody.model()
        trusting = ssl.create_default_context(cafile=str(authority))
        with (
            pytest.raises(GlioMapError, match=r"cannot be reached.*give --tls-cert"),
            Client(url, verify=trusting) as nobody,
        ):
            nobody.model()
        trusting.load_cert_chain(tmp_path / "client.pem", tmp_path / "client.key")
        with Client(url, verify=trusting) as known:
            assert known.model().name == "small"
            known.put_references("or-1", scene.white, scene.dark)
            assert known.classify(scene.raw, references="or-1").mask.any()
            assert len(list(known.stream([scene.raw], references="or-1"))) == 1
        assert server.logged().count("[client ") >= 3, "the log has the name in the certificate"
        own = (
            "--tls-ca",
            str(authority),
            "--tls-cert",
            f"{tmp_path}/client.pem",
            "--tls-key",
            f"{tmp_path}/client.key",
        )
        words = ["bench", "serve", url, *own, "--kind", "labels,stream", "--seconds", "0.1", "--json"]
        done = subprocess.run([COMMAND, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def test_a_single_thread_handles_the_tls_of_a_stream(
        self, serve: Callable[..., RunningServer], scene: Scene, tmp_path: Path
    ) -> None:
        # OpenSSL forbids reading and writing a connection at once. When two threads did, one opening in thousands hung.
        threads: dict[object, set[int]] = defaultdict(set)

        def recording(kind: type) -> type:
            def told(name: str) -> Callable[..., Any]:
                def call(self: Any, *args: Any) -> Any:
                    threads[self].add(threading.get_ident())
                    return getattr(kind, name)(self, *args)

                return call

            names = [name for name in ("read", "write", "recv", "send") if hasattr(kind, name)]
            return type(kind.__name__, (kind,), {name: told(name) for name in names})

        authority = make_certificates(tmp_path)
        server = serve("--tls-cert", f"{tmp_path}/server.pem", "--tls-key", f"{tmp_path}/server.key")
        verify = ssl.create_default_context(cafile=str(authority))
        verify.sslsocket_class, verify.sslobject_class = recording(ssl.SSLSocket), recording(ssl.SSLObject)
        with Client(server.url, verify=verify) as client:
            client.put_references("or-1", scene.white, scene.dark)
            replies = list(client.stream([scene.raw] * 4, references="or-1", in_flight=2))
        assert replies[-1][0].sequence == 4
        assert [len(those) for those in threads.values()] == [1, 1], "one connection for HTTP, one for the stream"

    def test_an_expired_certificate_is_reported_as_expired(
        self, serve: Callable[..., RunningServer], tmp_path: Path
    ) -> None:
        authority = make_certificates(tmp_path, server_until=timedelta(minutes=-1))
        server = serve("--tls-cert", f"{tmp_path}/server.pem", "--tls-key", f"{tmp_path}/server.key")
        told = r"\(certificate has expired\)\. Renew it and restart the service"
        with pytest.raises(MachineError, match=told), Client(server.url, verify=str(authority)) as client:
            client.model()

    def test_sighup_rereads_the_certificate(self, serve: Callable[..., RunningServer], tmp_path: Path) -> None:
        old = ssl.create_default_context(cafile=make_certificates(tmp_path))
        certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
        server = serve("--tls-cert", str(certificate), "--tls-key", str(key))
        new = ssl.create_default_context(cafile=make_certificates(tmp_path))
        own = key.read_bytes()
        for number, unfit in enumerate(((tmp_path / "client.key").read_bytes(), with_password(own)), 1):
            key.write_bytes(unfit)
            server.process.send_signal(signal.SIGHUP)
            server.logged_line("the new certificate cannot be used, the current one stays", number)
            assert answer_of("GET", f"{server.url}/health/ready", verify=old).status_code == 200
        key.write_bytes(own)
        server.process.send_signal(signal.SIGHUP)
        server.logged_line("certificate read again")
        assert answer_of("GET", f"{server.url}/health/ready", verify=new).status_code == 200
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            answer_of("GET", f"{server.url}/health/ready", verify=old)

    def test_https_to_a_service_without_tls_is_explained(self, server: RunningServer) -> None:
        url = server.url.replace("http:", "https:")
        told = r"^https://127\.0\.0\.1:\d+: speaks plain HTTP, not HTTPS\. Write http://"
        with pytest.raises(MachineError, match=told), Client(url) as client:
            client.model()

    def test_unusable_certificates_are_refused(self, bundle: Path, tmp_path: Path) -> None:
        (tmp_path / "cert.pem").write_text("nothing")
        flags = ["--port", "0", "--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "cert.pem")]
        done = subprocess.run([COMMAND, "serve", str(bundle), *flags], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert "certificates: cannot be used" in done.stderr


def make_certificates(folder: Path, *, server_until: timedelta = timedelta(days=1)) -> Path:
    """Make certificates of an authority, a server and a client, valid for a day; returns the authority's."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    authority_key = ec.generate_private_key(ec.SECP256R1())
    for name in ("ca", "server", "client"):
        key = authority_key if name == "ca" else ec.generate_private_key(ec.SECP256R1())
        until = datetime.now(UTC) + (server_until if name == "server" else timedelta(days=1))
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named("ca"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
        )
        if name != "ca":
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        certificate = builder.sign(authority_key, hashes.SHA256())
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    return folder / "ca.pem"


def with_password(key: bytes) -> bytes:
    """The private key, encrypted with a password."""
    from cryptography.hazmat.primitives import serialization

    form = serialization.PrivateFormat.PKCS8
    private = serialization.load_pem_private_key(key, None)
    return private.private_bytes(serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"secret"))
