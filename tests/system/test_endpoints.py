"""Every kind of `--listen`, with real sockets."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.certs import issue
from tests.conftest import find_port
from tests.system.conftest import PATIENCE, Server, World

TWISTD = ["twistd", "--nodaemon", "--pidfile=", "hermes-attach"]


def listen(world: World, port: int, *endpoints: str) -> Server:
    """A server that does, once it does."""
    options = [f"--listen={endpoint}" for endpoint in endpoints]
    return world.start([*TWISTD, *options], port).wait_for_log()


class TestUnix:
    @pytest.fixture
    def path(self, world: World) -> Path:
        return world.directory / "s"

    @pytest.mark.parametrize(
        ("suffix", "mode"), [("", 0o600), (":mode=660", 0o660), (":backlog=9", 0o600)]
    )
    def test_mode(self, world: World, free_port: int, path: Path, suffix: str, mode: int) -> None:
        """Its owner's alone, unless the operator says otherwise."""
        server = listen(world, free_port, f"unix:{path}{suffix}")

        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert server.client(unix=path).call("echo") == {}

    @pytest.mark.parametrize("lock", ["dead", "recycled", "none"])
    def test_socket_of_a_killed_server(
        self, world: World, free_port: int, path: Path, lock: str
    ) -> None:
        """It is no obstacle, even if its process number is another process's by now."""
        first = listen(world, free_port, f"unix:{path}")
        os.kill(first.pid, signal.SIGKILL)
        first.ended()
        assert path.is_socket()
        link = path.with_name("s.lock")
        assert os.path.islink(link)
        if lock != "dead":
            link.unlink()
        if lock == "recycled":
            link.symlink_to(str(os.getpid()))

        second = listen(world, find_port(), f"unix:{path}")

        assert second.client(unix=path).call("echo") == {}

    def test_second_server(self, world: World, free_port: int, path: Path) -> None:
        """It is told, and the first goes on."""
        first = listen(world, free_port, f"unix:{path}")

        ended = world.run(*TWISTD, f"--listen=unix:{path}")

        assert ended.returncode == 1
        assert "Traceback" not in ended.stdout
        assert f"{path}: " in ended.stdout.splitlines()[-1]
        assert "is another server there already" in ended.stdout.splitlines()[-1]
        assert first.client(unix=path).call("echo") == {}

    @pytest.mark.parametrize("kind", ["file", "no directory"])
    def test_path_that_cannot_be(self, world: World, path: Path, kind: str) -> None:
        if kind == "file":
            path.write_text("precious")
        else:
            path = path / "below" / "s"

        ended = world.run(*TWISTD, f"--listen=unix:{path}")

        assert ended.returncode == 1
        assert "Traceback" not in ended.stdout
        assert str(path) in ended.stdout.splitlines()[-1]
        if kind == "file":
            assert path.read_text() == "precious"


class TestTcp6:
    def test_loopback(self, world: World, free_port: int) -> None:
        server = listen(world, free_port, rf"tcp6:{free_port}:interface=\:\:1")

        client = server.client(url=f"ws://[::1]:{free_port}")

        assert client.call("echo") == {}
        assert "attached from [::1]:" in server.output
        assert f"listening on [::1]:{free_port}" in server.output

    @pytest.mark.parametrize("kind", ["tcp", "tcp6"])
    def test_every_address(self, world: World, free_port: int, kind: str) -> None:
        endpoint = rf"{kind}:{free_port}:interface=\:\:"

        ended = world.run(*TWISTD, f"--listen={endpoint}")

        assert ended.returncode == 1
        assert "in the clear" in ended.stdout.splitlines()[-1]

    def test_mapped_loopback(self, world: World, free_port: int) -> None:
        """127.0.0.1 in the clothes of IPv6 is as local as without them."""
        endpoint = rf"tcp6:{free_port}:interface=\:\:ffff\:127.0.0.1"

        assert listen(world, free_port, endpoint).client().call("echo") == {}


class Systemd:
    """Does what systemd does: opens sockets, and starts the server with them as 3, 4, ..."""

    #: `LISTEN_PID` has to be the process's own number, which `exec` keeps.
    LAUNCH = (
        "import fcntl, os, sys\n"
        "given = [int(fd) for fd in sys.argv[1].split(',')]\n"
        "saved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in given]\n"
        "for number, fd in enumerate(saved):\n"
        "    os.dup2(fd, 3 + number)\n"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(given)),\n"
        "                  LISTEN_FDNAMES=sys.argv[2])\n"
        "os.execvp(sys.argv[3], sys.argv[3:])\n"
    )

    def __init__(self, world: World) -> None:
        self.world = world
        self.sockets: list[socket.socket] = []

    def open(self, family: socket.AddressFamily, address: str) -> int:
        """A listening socket; its port."""
        made = socket.socket(family)
        self.sockets.append(made)
        if family == socket.AF_UNIX:
            made.bind(address)
            made.listen()
            return 0
        made.bind((address, 0))
        made.listen()
        port: int = made.getsockname()[1]
        return port

    def command(self, *options: str, daemon: Path | None = None) -> list[str]:
        given = ",".join(str(made.fileno()) for made in self.sockets)
        names = ":".join(f"socket-{number}" for number in range(len(self.sockets)))
        twistd = TWISTD
        if daemon is not None:
            twistd = ["twistd", f"--pidfile={daemon}", "--logfile=/dev/null", "hermes-attach"]
        return [sys.executable, "-c", self.LAUNCH, given, names, *twistd, *options]

    @property
    def fds(self) -> list[int]:
        return [made.fileno() for made in self.sockets]

    def start(self, port: int, *options: str) -> Server:
        command = self.command(*options)
        return self.world.start(command, port, pass_fds=self.fds).wait_for_log()

    def close(self) -> None:
        for made in self.sockets:
            made.close()


@pytest.fixture
def systemd(world: World) -> Iterator[Systemd]:
    with closing(Systemd(world)) as made:
        yield made


class TestSystemd:
    @pytest.mark.parametrize("which", ["index=1", "name=socket-1"])
    def test_inet(self, systemd: Systemd, which: str) -> None:
        systemd.open(socket.AF_INET, "127.0.0.1")
        port = systemd.open(socket.AF_INET, "127.0.0.1")
        server = systemd.start(port, f"--listen=systemd:domain=INET:{which}")

        found = server.client().call("environment")["environ"]

        assert f"listening on 127.0.0.1:{port}" in server.output
        assert not [name for name in found if name.startswith("LISTEN_")]

    def test_inet6(self, systemd: Systemd) -> None:
        port = systemd.open(socket.AF_INET6, "::1")
        server = systemd.start(port, "--listen=systemd:domain=INET6:index=0")

        assert server.client(url=f"ws://[::1]:{port}").call("echo") == {}

    def test_unix(self, systemd: Systemd, world: World, free_port: int) -> None:
        """The mode is systemd's to set, with SocketMode=."""
        path = world.directory / "s"
        systemd.open(socket.AF_UNIX, str(path))
        server = systemd.start(free_port, "--listen=systemd:domain=UNIX:index=0")

        assert server.client(unix=path).call("echo") == {}

    def test_daemon(self, systemd: Systemd, world: World) -> None:
        """twistd forks twice in between."""
        port = systemd.open(socket.AF_INET, "127.0.0.1")
        command = systemd.command(
            "--listen=systemd:domain=INET:index=0", daemon=world.directory / f"pid-{port}"
        )
        server = world.start(command, port, pass_fds=systemd.fds).wait_for_daemon()

        assert server.client().call("echo") == {}

    def test_beyond_this_machine(self, systemd: Systemd, world: World) -> None:
        systemd.open(socket.AF_INET, "0.0.0.0")
        command = systemd.command("--listen=systemd:domain=INET:index=0")

        ended = world.run(*command, pass_fds=systemd.fds)

        assert ended.returncode == 1
        assert "in the clear" in ended.stdout.splitlines()[-1]

    def test_beyond_this_machine_with_tls(self, systemd: Systemd, world: World) -> None:
        port = systemd.open(socket.AF_INET6, "::")
        server = systemd.start(port, "--listen=systemd:domain=INET6:index=0", "--tls=self")
        context = ssl.create_default_context(cafile=world.home / "attach" / "tls" / "ca.pem")

        client = server.client(url=f"wss://localhost:{port}", ssl=context)

        assert client.call("echo") == {}

    @pytest.mark.parametrize("claimed", ["INET", "UNIX"])
    def test_wrong_domain(self, systemd: Systemd, world: World, claimed: str) -> None:
        """`ListenStream=8643` makes an IPv6 socket; its address, read as IPv4's, is garbage."""
        systemd.open(socket.AF_INET6, "::")
        command = systemd.command(f"--listen=systemd:domain={claimed}:index=0")

        ended = world.run(*command, pass_fds=systemd.fds)

        assert ended.returncode == 1
        assert "Traceback" not in ended.stdout
        last = ended.stdout.splitlines()[-1]
        assert "domain=INET6" in last if claimed == "INET" else "domain=UNIX" in last

    def test_without_systemd(self, world: World) -> None:
        ended = world.run(*TWISTD, "--listen=systemd:domain=INET:index=0")

        assert ended.returncode == 1
        assert "systemd:domain=INET:index=0" in ended.stdout.splitlines()[-1]
        assert "Traceback" not in ended.stdout


V1 = b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 443\r\n"
V1_IPV6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n"
V1_UNKNOWN = b"PROXY UNKNOWN\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V2 = (
    SIGNATURE
    + b"\x21\x11"
    + struct.pack(
        "!H4s4sHH",
        12,
        socket.inet_aton("198.51.100.7"),
        socket.inet_aton("10.0.0.1"),
        4711,
        443,
    )
)
V2_IPV6 = (
    SIGNATURE
    + b"\x21\x21"
    + struct.pack(
        "!H16s16sHH",
        36,
        socket.inet_pton(socket.AF_INET6, "2001:db8::7"),
        socket.inet_pton(socket.AF_INET6, "2001:db8::1"),
        4711,
        443,
    )
)


class TestHaproxy:
    @pytest.fixture
    def server(self, world: World, free_port: int) -> Server:
        return listen(world, free_port, f"haproxy:tcp:{free_port}:interface=127.0.0.1")

    @pytest.mark.parametrize(
        ("header", "peer"),
        [
            (V1, "198.51.100.7:4711"),
            (V1_IPV6, "[2001:db8::7]:4711"),
            (V1_UNKNOWN, "127.0.0.1:"),
            (V2, "198.51.100.7:4711"),
            (V2_IPV6, "[2001:db8::7]:4711"),
        ],
        ids=["v1", "v1-ipv6", "v1-unknown", "v2", "v2-ipv6"],
    )
    def test_address(self, server: Server, header: bytes, peer: str) -> None:
        """The log knows the client, not the proxy."""
        proxied = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        proxied.sendall(header)

        assert server.client(sock=proxied).call("echo") == {}
        server.wait_for_log(f"attached from {peer}")

    @pytest.mark.parametrize(
        "sent",
        [
            b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"PROXY TCP4 198.51.100.7\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"PROXY " + b"x" * 200,
        ],
        ids=["none", "short", "endless"],
    )
    def test_no_header(self, server: Server, sent: bytes) -> None:
        """Who does not come through the proxy gets no answer."""
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as direct:
            direct.sendall(sent)
            with suppress(ConnectionResetError):
                assert direct.recv(1 << 16) == b""
        assert "Traceback" not in server.output

    def test_on_a_unix_socket(self, world: World, free_port: int) -> None:
        path = world.directory / "s"
        server = listen(world, free_port, f"haproxy:unix:{path}")
        proxied = socket.socket(socket.AF_UNIX)
        proxied.connect(str(path))
        proxied.sendall(V1)

        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert server.client(sock=proxied).call("echo") == {}
        server.wait_for_log("attached from 198.51.100.7:4711")

    def test_beyond_this_machine(self, world: World, free_port: int) -> None:
        ended = world.run(*TWISTD, f"--listen=haproxy:tcp:{free_port}")

        assert ended.returncode == 1
        assert "in the clear" in ended.stdout.splitlines()[-1]


def test_ssl(world: World, free_port: int) -> None:
    """Twisted's own, for those who know its options; ours leave it alone."""
    issued = issue()
    certificate, key = issued.write(world.directory)
    server = listen(
        world,
        free_port,
        f"ssl:{free_port}:interface=0.0.0.0:privateKey={key}:certKey={certificate}",
    )
    context = ssl.create_default_context(cadata=issued.pem.decode())

    assert server.client(url=f"wss://localhost:{free_port}", ssl=context).call("echo") == {}


def test_several_with_tls(world: World, free_port: int) -> None:
    """TLS where it is needed, and none on a Unix socket, in one server."""
    path = world.directory / "s"
    command = [
        *TWISTD,
        "--tls=self",
        f"--listen=tcp:{free_port}:interface=127.0.0.1",
        f"--listen=unix:{path}",
    ]
    server = world.start(command, free_port).wait_for_log(f"listening on 127.0.0.1:{free_port}")
    context = ssl.create_default_context(cafile=world.home / "attach" / "tls" / "ca.pem")

    assert server.client(url=f"wss://localhost:{free_port}", ssl=context).call("echo") == {}
    assert server.client(unix=path).call("echo") == {}
