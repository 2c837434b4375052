"""TLS with real sockets, processes and other people's clients."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import websockets.exceptions

from tests.certs import DAY, Issued, issue
from tests.conftest import skip
from tests.system.conftest import PATIENCE, Client, Server, World, wait_until
from tests.system.test_twistd import SERVE, TWIST, TWISTD, Terminal


@pytest.fixture
def authority() -> Issued:
    return issue("authority", ca=True)


@pytest.fixture
def pair(world: World, authority: Issued) -> list[str]:
    """The options for a certificate of the operator's own."""
    certificate, key = issue(by=authority).write(world.directory)
    return [f"--tls-cert={certificate}", f"--tls-key={key}"]


def own_authority(world: World) -> Path:
    return world.home / "attach" / "tls" / "ca.pem"


def serve(world: World, port: int, *options: str) -> Server:
    """A server with a certificate of its own making, once that is made."""
    return world.twistd(port, "--tls=self", *options).wait_for_log()


def trusting(authority: Issued | Path) -> ssl.SSLContext:
    """A client that trusts nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if isinstance(authority, Path):
        context.load_verify_locations(authority)
    else:
        context.load_verify_locations(cadata=authority.pem.decode())
    return context


def attach(server: Server, authority: Issued | Path, **more: Any) -> Client:
    url = f"wss://localhost:{server.port}"
    return server.client(url=url, ssl=trusting(authority), **more)


def shown(server: Server, authority: Issued | Path) -> bytes:
    """The certificate that a new connection is shown."""
    context = trusting(authority)
    with (
        socket.create_connection(("127.0.0.1", server.port), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as encrypted,
    ):
        found = encrypted.getpeercert(binary_form=True)
    assert found is not None
    return found


def run(command: str, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    found = shutil.which(command)
    if found is None:
        skip(f"{command} is not installed")
    return subprocess.run(
        [str(found), *arguments], input=text, capture_output=True, text=True, timeout=PATIENCE
    )


class TestOwnCertificate:
    @pytest.mark.parametrize("command", [TWISTD, TWIST, SERVE], ids=lambda c: c[0])
    def test_attach(
        self, world: World, free_port: int, pair: list[str], authority: Issued, command: list[str]
    ) -> None:
        server = world.start([*command, f"--port={free_port}", *pair], free_port).wait_for_port()

        assert attach(server, authority).call("echo", n=1) == {"n": 1}

    def test_key_in_the_same_file(self, world: World, free_port: int, authority: Issued) -> None:
        issued = issue(by=authority)
        both = world.directory / "both.pem"
        both.touch(0o600)
        both.write_bytes(issued.pem + issued.key_pem())
        server = world.twistd(free_port, f"--tls-cert={both}")

        assert attach(server, authority).call("echo") == {}

    def test_beyond_this_machine(
        self, world: World, free_port: int, pair: list[str], authority: Issued
    ) -> None:
        """TLS needs no leave to listen everywhere."""
        server = world.start([*TWISTD, f"--listen=tcp:{free_port}", *pair], free_port)

        assert attach(server.wait_for_port(), authority).call("echo") == {}

    def test_plain_client(self, world: World, free_port: int, pair: list[str]) -> None:
        """It is cut off at once, and the log says why."""
        server = world.twistd(free_port, *pair)

        with pytest.raises((websockets.exceptions.WebSocketException, OSError, EOFError)):
            server.client()

        server.wait_for_log("a client spoke plain HTTP to the TLS port (127.0.0.1:")

    def test_tls_client_of_a_plain_port(
        self, world: World, free_port: int, authority: Issued
    ) -> None:
        server = world.twistd(free_port)

        with pytest.raises((ssl.SSLError, OSError, EOFError)):
            attach(server, authority)

        server.wait_for_log("a client spoke TLS to the plain port (127.0.0.1:")
        assert server.client().call("echo") == {}


class TestReload:
    def test_new_certificate(
        self, world: World, free_port: int, pair: list[str], authority: Issued
    ) -> None:
        """Links go on, what was asked is answered; new ones are shown the new certificate."""
        server = world.twistd(free_port, *pair)
        link = attach(server, authority)
        blocked = link.request("block", name="gate")
        link.event("stub.blocked")
        first = shown(server, authority)
        second = issue(by=authority)
        second.write(world.directory)

        os.kill(server.pid, signal.SIGHUP)

        wait_until(lambda: shown(server, authority) != first, "the new certificate")
        link.request("open.respond", name="gate")
        assert link.answer(blocked)["result"] == {"opened": True}
        assert "detached" not in server.output
        assert attach(server, authority).call("echo") == {}

    def test_bad_certificate(
        self, world: World, free_port: int, pair: list[str], authority: Issued
    ) -> None:
        """The old one stays."""
        server = world.twistd(free_port, *pair)
        link = attach(server, authority)
        (world.directory / "server.crt").write_bytes(issue().pem)

        os.kill(server.pid, signal.SIGHUP)

        server.wait_for_log("the current one stays in use: The key in")
        assert link.call("echo") == {}
        assert attach(server, authority).call("echo") == {}

    @pytest.mark.parametrize("command", [TWISTD, TWIST, SERVE], ids=lambda c: c[0])
    def test_without_tls(self, world: World, free_port: int, command: list[str]) -> None:
        """The signal ends nothing, wherever it comes."""
        server = world.start([*command, f"--port={free_port}"], free_port).wait_for_port()
        link = server.client()

        for _ in range(3):
            os.kill(server.pid, signal.SIGHUP)

        server.wait_for_log("reloading")
        assert link.call("echo") == {}
        server.terminate()
        assert server.ended() == -signal.SIGTERM

    def test_daemon(self, world: World, free_port: int, pair: list[str], authority: Issued) -> None:
        pid, log = world.directory / f"pid-{free_port}", world.directory / f"log-{free_port}"
        command = ["twistd", f"--pidfile={pid}", f"--logfile={log}", "hermes-attach"]
        server = world.start([*command, f"--port={free_port}", *pair], free_port).wait_for_daemon()
        link = attach(server, authority)

        os.kill(server.pid, signal.SIGHUP)

        server.wait_for_log("reloading")
        assert link.call("echo") == {}


class TestSelf:
    def test_attach(self, world: World, free_port: int) -> None:
        server = serve(world, free_port)

        assert attach(server, own_authority(world)).call("echo") == {}

        directory = own_authority(world).parent
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        modes = {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}
        assert modes == {0o600}

    def test_shown_on_the_terminal(self, world: World, free_port: int) -> None:
        """What to paste, and never in the log; the fingerprint in both."""
        with Terminal() as terminal:
            command = [*SERVE, f"--port={free_port}", "--tls=self"]
            server = terminal.start(world, command, free_port)
            text = terminal.read_until("=\r\n")  # The end of the fingerprint.
            server.wait_for_port()
            server.terminate()
            server.ended()

        assert f"wss://127.0.0.1:{free_port}/api/ws?token={server.key}" in text
        assert "export NODE_EXTRA_CA_CERTS=~/" in text
        assert str(own_authority(world)) in text
        assert "NODE_EXTRA_CA_CERTS" not in server.output
        pin = text.partition("sha256//")[2].split()[0]
        assert f"SPKI sha256//{pin}" in server.output

    def test_second_start(self, world: World, free_port: int) -> None:
        """The authority and the key stay, even if the names change."""
        first = serve(world, free_port)
        authority = own_authority(world).read_bytes()
        certificate = shown(first, own_authority(world))
        first.terminate()
        first.ended()

        second = serve(world, free_port, "--tls-name=attach.example")

        assert own_authority(world).read_bytes() == authority
        assert shown(second, own_authority(world)) != certificate
        assert "attach.example" in second.output
        pins = [line.partition("SPKI ")[2].split()[0] for line in pin_lines(first, second)]
        assert len(set(pins)) == 1

    def test_directory_that_others_can_enter(self, world: World, free_port: int) -> None:
        directory = own_authority(world).parent
        directory.mkdir(parents=True)
        directory.chmod(0o755)

        ended = world.run(*TWISTD, f"--port={free_port}", "--tls=self")

        assert ended.returncode == 1
        assert f"chmod 700 {directory}" in ended.stdout.splitlines()[-1]
        assert "Traceback" not in ended.stdout


def pin_lines(*servers: Server) -> list[str]:
    lines = "\n".join(server.output_path.read_text() for server in servers).splitlines()
    return [line for line in lines if "SPKI " in line]


class TestOtherClients:
    def test_curl(self, world: World, free_port: int) -> None:
        """With the authority and the pin from the log, and not without."""
        server = serve(world, free_port)
        url = f"https://localhost:{free_port}/health"
        [line] = pin_lines(server)
        pin = line.partition("SPKI ")[2].split()[0]
        trust = ["--cacert", str(own_authority(world))]

        found = run("curl", "-sS", *trust, "--pinnedpubkey", pin, url)
        assert json.loads(found.stdout) == {"status": "ok"}, found.stderr

        assert run("curl", "-sS", url).returncode == 60
        other = "sha256//" + "A" * 43 + "="
        assert run("curl", "-sS", *trust, "--pinnedpubkey", other, url).returncode == 90
        assert run("curl", "-sS", f"http://localhost:{free_port}/health").returncode in (52, 56)

    @pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
    def test_openssl(self, world: World, free_port: int, version: str) -> None:
        serve(world, free_port)
        where = f"127.0.0.1:{free_port}"
        trust = ["-CAfile", str(own_authority(world)), "-verify_ip", "127.0.0.1"]

        found = run(
            "openssl", "s_client", "-connect", where, f"-{version}", *trust, "-verify_return_error"
        )

        assert "Verify return code: 0 (ok)" in found.stdout
        assert "Compression: NONE" in found.stdout

    def test_renegotiation(self, world: World, free_port: int) -> None:
        """A client cannot have the server compute key after key on one connection."""
        server = serve(world, free_port)
        found = shutil.which("openssl")
        if found is None:
            skip("openssl is not installed")
        with subprocess.Popen(
            [str(found), "s_client", "-connect", f"127.0.0.1:{free_port}", "-tls1_2"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as client:
            assert client.stdin is not None and client.stdout is not None
            read = b""
            while b"Verify return code" not in read:
                read += client.stdout.read1(1 << 16)  # type: ignore[attr-defined]
            client.stdin.write(b"R\n")
            client.stdin.flush()
            rest = client.stdout.read()
            client.stdin.close()

        assert b"no renegotiation" in rest
        assert attach(server, own_authority(world)).call("echo") == {}


class TestClientCertificates:
    @pytest.fixture
    def clients(self, world: World) -> Issued:
        made = issue("clients", ca=True)
        (world.directory / "clients.pem").write_bytes(made.pem)
        return made

    @pytest.fixture
    def server(self, world: World, free_port: int, clients: Issued) -> Server:
        return serve(world, free_port, "--tls-client-ca=clients.pem")

    def test_with_one(self, world: World, server: Server, clients: Issued) -> None:
        context = trusting(own_authority(world))
        context.load_cert_chain(*issue("laptop", by=clients).write(world.directory / "client"))

        client = server.client(url=f"wss://localhost:{server.port}", ssl=context)

        assert client.call("echo") == {}

    def test_without_one(self, world: World, server: Server) -> None:
        """The key alone opens nothing."""
        with pytest.raises((websockets.exceptions.WebSocketException, OSError, EOFError)):
            attach(server, own_authority(world))

        server.wait_for_log("a client showed no certificate")


NOW = datetime.now(UTC)


class TestMistakes:
    """All of them before a daemon would be one, in one line."""

    def complaint(self, world: World, *options: str) -> str:
        ended = world.run(*TWISTD, *options)
        assert ended.returncode == 1
        assert "Traceback" not in ended.stdout
        return ended.stdout.strip().splitlines()[-1]

    @pytest.mark.parametrize(
        ("options", "what"),
        [
            (["--tls=yes"], "must be self"),
            (["--tls=self", "--tls-cert=a"], "contradict each other"),
            (["--tls-key=a"], "--tls-key needs --tls-cert"),
            (["--tls-client-ca=a"], "--tls-client-ca needs TLS"),
            (["--tls-name=a"], "--tls-name is for --tls self"),
            (["--tls=self", "--tls-name=a b"], "must be a DNS name"),
            (["--tls=self", "--listen=unix:/nowhere/s"], "names none of them"),
            (["--tls-cert=absent.crt"], "absent.crt cannot be read: No such file"),
            (["--tls=self", "--tls-client-ca=absent.pem"], "absent.pem cannot be read"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else None,
    )
    def test_options(self, world: World, options: list[str], what: str) -> None:
        assert what in self.complaint(world, *options)

    def test_missing_key(self, world: World, pair: list[str]) -> None:
        (world.directory / "server.key").unlink()

        assert "server.key cannot be read: No such file" in self.complaint(world, *pair)

    def test_key_that_others_can_read(self, world: World, pair: list[str]) -> None:
        (world.directory / "server.key").chmod(0o640)

        assert "chmod 600" in self.complaint(world, *pair)

    def test_other_key(self, world: World, pair: list[str]) -> None:
        (world.directory / "server.key").write_bytes(issue().key_pem())

        assert "does not belong to the certificate" in self.complaint(world, *pair)

    def test_encrypted_key(self, world: World) -> None:
        issued = issue()
        certificate, key = issued.write(world.directory)
        key.write_bytes(issued.key_pem(b"passphrase"))

        assert "is encrypted" in self.complaint(
            world, f"--tls-cert={certificate}", f"--tls-key={key}"
        )

    @pytest.mark.parametrize(
        ("first", "last", "what"),
        [
            (NOW - 9 * DAY, NOW - DAY, "expired on"),
            (NOW + DAY, NOW + 9 * DAY, "is not valid before"),
        ],
        ids=["expired", "not yet valid"],
    )
    def test_time(self, world: World, first: datetime, last: datetime, what: str) -> None:
        certificate, key = issue(first=first, last=last).write(world.directory)

        assert what in self.complaint(world, f"--tls-cert={certificate}", f"--tls-key={key}")
