"""Small peers for the doctor and the recipes: what is not our server, or stands in front of it."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

#: Talks to one connection, which is closed behind it.
Handler = Callable[[socket.socket], None]


@contextlib.contextmanager
def serving(handle: Handler, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server in a thread, one connection per thread; the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def talk(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            if tls is not None:
                connection = stack.enter_context(tls.wrap_socket(connection, server_side=True))
            handle(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = listener.accept()
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def read_head(connection: socket.socket) -> bytes:
    """A request's head."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            break
        data += more
    return data


def answering(*pages: tuple[str, int, str, str]) -> Handler:
    """Answers with the first page whose path fits: path, status, header lines, body."""

    def handle(connection: socket.socket) -> None:
        head = read_head(connection)
        path = head.split(b" ")[1].partition(b"?")[0].decode() if head else ""
        for prefix, status, headers, body in pages:
            if path.startswith(prefix):
                lines = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
                connection.sendall((lines + body).encode())
                return

    return handle


def relaying(
    port: int,
    rewrite: Callable[[bytes], bytes] = lambda head: head,
    delay: float = 0.0,
) -> Handler:
    """A proxy: the request's head goes through *rewrite*, what follows is late by *delay*."""

    def handle(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as server:
            server.sendall(rewrite(read_head(connection)))
            both = {connection: server, server: connection}
            while True:
                readable, _, _ = select.select(both, [], [])
                for source in readable:
                    data = source.recv(65536)
                    if not data:
                        return
                    time.sleep(delay)
                    both[source].sendall(data)

    return handle


class Authority:
    """A certificate authority of one test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
        self.certificate = folder / "ca.pem"
        certificate = self._build(self._name, self._key.public_key(), 30).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        signed = certificate.sign(self._key, hashes.SHA256())
        self.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def issue(self, *names: str, days: int = 30) -> tuple[Path, Path]:
        """A certificate for *names* that ends in *days* (or ended), and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
        signed = (
            self._build(subject, key.public_key(), days)
            .add_extension(alternatives, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        certificate_path = self._folder / f"{names[0]}{days}.crt"
        key_path = self._folder / f"{names[0]}{days}.key"
        certificate_path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        key_path.touch(0o600)
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate_path, key_path

    def context(self, *names: str, days: int = 30) -> ssl.SSLContext:
        """For a server with such a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(*names, days=days))
        return context

    def _build(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, days: int
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=60))
            .not_valid_after(now + datetime.timedelta(days=days))
        )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
