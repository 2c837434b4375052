"""The proxies of `examples/`, started on loopback with the very files, ports and paths put in."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from tests.conftest import ROOT, find_port, skip
from tests.system.conftest import BIN, PATIENCE, Client, World, is_open, wait_until
from tests.system.peers import Authority
from tests.system.turns import take_turns

EXAMPLES = ROOT / "examples"
#: A second address of this machine, so that clients can be told from proxies.
ELSEWHERE = "127.0.0.2"
#: What the examples call the server, and what it is here.
NAME = "attach.example"

_NGINX = """\
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    access_log off;
    {content}
}}
"""
_NGINX_SITE = """\
    server {{
        listen {port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        {content}
    }}
"""


@dataclass
class Proxy:
    """A running proxy. Its log is everything that it wrote anywhere."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    authority: Authority
    prefix: str = ""
    clients: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def log(self) -> str:
        """All that it wrote."""
        files = (self.folder / "output", self.folder / "access.log")
        return "".join(file.read_text() for file in files if file.exists())

    def url(self, key: str, **query: str) -> str:
        """The address that a user gets."""
        more = "".join(f"{name}={value}&" for name, value in query.items())
        return f"wss://localhost:{self.port}{self.prefix}/api/ws?{more}token={key}"

    def client(self, key: str, *, ready: bool = True, forged: str = "", **query: str) -> Client:
        """Attach from elsewhere, with the key in the query as the UI has it."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        options: dict[str, Any] = {
            "ssl": take_turns(context),
            "proxy": None,
            "source_address": (ELSEWHERE, 0),
            "additional_headers": {"X-Forwarded-For": forged} if forged else None,
            "ping_interval": None,
            "open_timeout": PATIENCE,
            "close_timeout": 1,
        }
        socket = connect(self.url(key, **query), **options)
        client = Client(self.clients.enter_context(socket))
        if ready:
            client.event("gateway.ready")
        return client


def example(name: str, *changes: tuple[str, str]) -> str:
    """An example's text with *changes*, each of which must apply."""
    text = (EXAMPLES / name).read_text()
    for old, new in changes:
        assert old in text, f"examples/{name} has no {old!r} any more"
        text = text.replace(old, new)
    return text


def need(command: str) -> str:
    """Where a program is; skips the test without it."""
    found = shutil.which(command, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        package = {"sshd": "openssh-server", "ssh": "openssh-client"}.get(command, command)
        skip(f"{command} is not installed; apt-get install {package} does it")
    assert found is not None
    return found


@contextlib.contextmanager
def running(
    command: list[str], port: int, folder: Path, authority: Authority, prefix: str = ""
) -> Iterator[Proxy]:
    """A proxy, once it listens."""
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
            env={"HOME": str(folder), "PATH": f"{BIN}:/usr/bin:/bin", "LANG": "C.UTF-8"},
        )
    proxy = Proxy(process, port, folder, authority, prefix)
    try:
        wait_until(lambda: is_open(port) or process.poll() is not None, "the proxy to listen")
        assert process.poll() is None, proxy.log
        yield proxy
    finally:
        proxy.clients.close()
        process.terminate()
        process.wait(PATIENCE)
        print(proxy.log)  # Shown if the test fails.


@contextlib.contextmanager
def nginx(world: World, backend: int, *, idle: str = "75s", prefix: str = "") -> Iterator[Proxy]:
    """`examples/nginx.conf`, or with a *prefix* `examples/nginx-prefix.conf`."""
    program, folder, port = need("nginx"), _folder(world, "nginx"), find_port()
    authority = Authority(folder)
    certificate, key = authority.issue("localhost")
    if prefix:
        content = example(
            "nginx-prefix.conf", ("127.0.0.1:8643", f"127.0.0.1:{backend}"), ("75s", idle)
        )
        content = _NGINX_SITE.format(port=port, certificate=certificate, key=key, content=content)
    else:
        content = example(
            "nginx.conf",
            ("127.0.0.1:8643", f"127.0.0.1:{backend}"),
            ("listen 443", f"listen {port}"),
            ("server_name attach.example", "server_name localhost"),
            ("/etc/ssl/attach.example.crt", str(certificate)),
            ("/etc/ssl/attach.example.key", str(key)),
            ("/var/log/nginx/hermes-attach.log", str(folder / "access.log")),
            ("75s", idle),
        )
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, content=content))
    command = [program, "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with running(command, port, folder, authority, prefix) as proxy:
        yield proxy


@contextlib.contextmanager
def caddy(world: World, backend: int, *, prefix: str = "") -> Iterator[Proxy]:
    """`examples/Caddyfile`, with a certificate of ours instead of a public one."""
    program, folder, port = need("caddy"), _folder(world, "caddy"), find_port()
    authority = Authority(folder)
    certificate, key = authority.issue("localhost")
    text = example(
        "Caddyfile",
        ("127.0.0.1:8643", f"127.0.0.1:{backend}"),
        ("attach.example {", f"https://localhost:{port} {{\n\ttls {certificate} {key}"),
        ("\tlog default {", "\tadmin off\n\tauto_https off\n\tlog default {"),
    )
    if prefix:  # As the comment in it says.
        one, other = f"\treverse_proxy 127.0.0.1:{backend}\n", "\t# handle_path /hermes/* {\n"
        begin = text.index(other)
        block = text[begin:].replace("\t# ", "\t").replace("# ", "")
        text = text[:begin].replace(one, "", 1) + block
    (folder / "Caddyfile").write_text(text)
    command = [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    with running(command, port, folder, authority, prefix) as proxy:
        yield proxy


@contextlib.contextmanager
def haproxy(world: World, backend: int, *, idle: str = "75s") -> Iterator[Proxy]:
    """`examples/haproxy.cfg`."""
    folder, port = _folder(world, "haproxy"), find_port()
    text = example(
        "haproxy.cfg",
        ("127.0.0.1:8643", f"127.0.0.1:{backend}"),
        ("timeout tunnel  75s", f"timeout tunnel {idle}"),
    )
    with _haproxy(text, folder, port) as proxy:
        yield proxy


@contextlib.contextmanager
def haproxy_gateways(world: World, one: int, two: int) -> Iterator[Proxy]:
    """`examples/haproxy-gateways.cfg` with its map, before two servers."""
    # A short path: that of a Unix socket has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="attach-") as name:
        folder, port = Path(name), find_port()
        text = example(
            "haproxy-gateways.cfg",
            ("10.0.0.11:8643", f"127.0.0.1:{one}"),
            ("10.0.0.12:8643", f"127.0.0.1:{two}"),
            ("/etc/haproxy/gateways.map", str(EXAMPLES / "gateways.map")),
            ("/run/haproxy/admin.sock", str(folder / "admin.sock")),
            # A busy machine may not get a request out in ten seconds.
            ("timeout http-request 10s", "timeout http-request 60s"),
        )
        with _haproxy(text, folder, port) as proxy:
            yield proxy


@contextlib.contextmanager
def _haproxy(text: str, folder: Path, port: int) -> Iterator[Proxy]:
    program, authority = need("haproxy"), Authority(folder)
    certificate, key = authority.issue("localhost")
    pem = folder / "both.pem"
    pem.touch(0o600)
    pem.write_bytes(certificate.read_bytes() + key.read_bytes())
    for old, new in (
        ("/etc/haproxy/attach.example.pem", str(pem)),
        ("bind :443", f"bind 127.0.0.1:{port}"),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "haproxy.cfg").write_text(text)
    with running(
        [program, "-db", "-f", str(folder / "haproxy.cfg")], port, folder, authority
    ) as it:
        yield it


def tell_haproxy(proxy: Proxy, command: str) -> str:
    """A command on HAProxy's admin socket; its answer."""
    with socket.socket(socket.AF_UNIX) as admin:
        admin.connect(str(proxy.folder / "admin.sock"))
        admin.sendall(command.encode() + b"\n")
        admin.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: admin.recv(65536), b"")).decode()


def _folder(world: World, name: str) -> Path:
    return Path(tempfile.mkdtemp(dir=world.directory, prefix=name))
