"""Real servers on the loopback: TLS as the SuperLink has it, a proxy that takes CONNECT."""

from __future__ import annotations

import datetime
import http.server
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ms_pfl.deployment.network import Address

PROJECT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.2"  # of this machine, and no address that is reached without a proxy


def free_port(host: str = "127.0.0.1") -> int:
    with socket.create_server((host, 0)) as server:
        return int(server.getsockname()[1])


def make_certificates(folder: Path, *names: str) -> Path:
    """A folder as `deploy/make_certificates.sh` makes it."""
    script = PROJECT / "deploy" / "make_certificates.sh"
    subprocess.run([script, folder, *names], check=True, capture_output=True)
    return folder


def make_authority(folder: Path) -> Path:
    """The certificate of an authority that has signed nothing."""
    folder.mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", "/CN=other", "-keyout", folder / "ca.key", "-out", folder / "ca.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder / "ca.crt"


def expire(certificates: Path, folder: Path) -> Path:
    """The same authority, and a certificate of the server that was valid until yesterday."""
    authority = x509.load_pem_x509_certificate((certificates / "ca.crt").read_bytes())
    signs = serialization.load_pem_private_key((certificates / "ca.key").read_bytes(), None)
    was = x509.load_pem_x509_certificate((certificates / "server.pem").read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(
        authority.subject, was.subject, key.public_key(), x509.random_serial_number(),
        now - datetime.timedelta(days=10), now - datetime.timedelta(days=1),
        [extension for extension in was.extensions
         if isinstance(extension.value, x509.SubjectAlternativeName)],
    )  # fmt: skip
    made = builder.sign(signs, hashes.SHA256())  # type: ignore[arg-type]
    folder.mkdir()
    (folder / "ca.crt").write_bytes((certificates / "ca.crt").read_bytes())
    (folder / "server.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder


@contextmanager
def https_server(
    certificates: Path | None, status: int = 401, date: str | None = None, host: str = HOST
) -> Iterator[Address]:
    """A server that answers each request with one status; without certificates, without TLS."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def date_time_string(self, timestamp: float | None = None) -> str:
            return date or super().date_time_string(timestamp)

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # clients that do not trust the certificate go away

    with Server((host, 0), Handler) as server:
        if certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield Address(host, server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


class ConnectProxy:
    """A proxy that takes CONNECT; with ``refusal`` ("403 Forbidden") it refuses all."""

    def __init__(self, refusal: str | None = None) -> None:
        self.refusal = refusal
        self.asked: list[str] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> ConnectProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client = self._server.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split()
        self.asked.append(f"{method} {target}")
        if self.refusal is not None or method != "CONNECT":
            client.sendall(f"HTTP/1.1 {self.refusal or '405 No'}\r\n\r\n".encode())
            client.close()
            return
        host, _, port = target.rpartition(":")
        server = socket.create_connection((host, int(port)))
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        threading.Thread(target=_pump, args=(client, server), daemon=True).start()
        _pump(server, client)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
