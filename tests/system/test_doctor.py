"""`hermes-attach doctor` against real servers and small false ones, one for each layer."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.server import serve

from tests.conftest import find_port, hermes_python, skip
from tests.system.conftest import Server, World, is_open, wait_until
from tests.system.peers import Authority, answering, read_head, relaying, serving

DOCTOR = ("hermes-attach", "doctor", "--seconds=0.4")


class Diagnosis:
    """What the doctor said, with what it must not have said looked for."""

    def __init__(self, done: subprocess.CompletedProcess[str], key: str) -> None:
        assert key not in done.stdout
        assert "Traceback" not in done.stdout
        self.status = done.returncode
        self.text = done.stdout
        self.found: list[dict[str, str]] = json.loads(done.stdout)["findings"]

    def of(self, check: str) -> list[tuple[str, str]]:
        """Levels and words of one layer."""
        return [
            (found["level"], f"{found['what']} {found['why']} {found['next']}")
            for found in self.found
            if found["check"] == check
        ]

    def the(self, check: str, level: str) -> str:
        """The words of the one finding of this layer and level."""
        (words,) = [words for found, words in self.of(check) if found == level]
        return words

    @property
    def problems(self) -> list[str]:
        """The layers that fail."""
        return [found["check"] for found in self.found if found["level"] == "problem"]


def diagnose(world: World, url: str | None, *options: str, **environment: str) -> Diagnosis:
    """Run the doctor as a user does, the address with its key in the variable."""
    environ = {**world.environment, **environment}
    environ.pop("HERMES_ATTACH_KEY_FILE", None)
    if url is not None:
        environ["HERMES_TUI_GATEWAY_URL"] = url
    done = world.run(*DOCTOR, "--json", *options, env=environ)
    return Diagnosis(done, world.key)


def url_of(server: Server | int, world: World, scheme: str = "ws", path: str = "/api/ws") -> str:
    port = server if isinstance(server, int) else server.port
    return f"{scheme}://127.0.0.1:{port}{path}?token={world.key}"


@pytest.fixture
def server(world: World) -> Server:
    return world.twistd(find_port())


def ready(server: Server) -> Server:
    server.client().socket.close()
    return server


# Attached.


def test_all_is_well(world: World, server: Server) -> None:
    """With the variable alone, as the UI has it: every layer is there and fine."""
    found = diagnose(world, url_of(ready(server), world))

    assert found.status == 0
    checks = [(line["check"], line["level"]) for line in found.found]
    assert checks == [
        (check, "ok") for check in ("url", "name", "tcp", "websocket", "ready", "link")
    ]
    assert "pings lost" in found.the("link", "ok")
    wait_until(lambda: "detached" in server.output, "the doctor's seat to be given back")


def test_a_key_from_a_file(world: World, server: Server) -> None:
    """The address in argv, the key in a file: nothing is remarked."""
    address = f"ws://127.0.0.1:{ready(server).port}/api/ws"

    found = diagnose(world, None, address, f"--key-file={world.key_file}")

    assert found.status == 0
    assert {line["level"] for line in found.found} == {"ok"}


def test_a_key_on_the_command_line(world: World, server: Server) -> None:
    """It works, and is warned about."""
    found = diagnose(world, None, url_of(ready(server), world))

    assert found.status == 0
    assert "command line" in found.the("url", "warning")


def test_the_table(world: World, server: Server) -> None:
    """Not on a terminal there are no colours; the key is not shown."""
    environ = {**world.environment, "HERMES_TUI_GATEWAY_URL": url_of(ready(server), world)}

    done = world.run(*DOCTOR, env=environ)

    assert done.returncode == 0
    assert done.stdout.endswith("no problems, no warnings.\n")
    assert "\x1b" not in done.stdout
    assert world.key not in done.stdout


@pytest.mark.parametrize("arguments", [("--nonsense",), ("a", "b"), ("--timeout=x",)])
def test_wrong_usage(arguments: tuple[str, ...], world: World) -> None:
    """2, and a line that says what is wrong."""
    done = world.run(*DOCTOR, *arguments)

    assert done.returncode == 2
    assert done.stdout.startswith("hermes-attach doctor: ")


# Refused by us.


def test_a_wrong_key(world: World) -> None:
    """401 in plain words, although the UI would have been let into the waiting room; then 429."""
    server = world.twistd(find_port(), "--max-failures=2", "--failure-period=1h")
    wrong = url_of(server, world).replace(world.key, "hat_" + secrets.token_urlsafe(32))

    first, second, third = (diagnose(world, wrong) for _ in range(3))

    assert (first.status, first.problems) == (1, ["http"])
    assert "does not know the key" in first.the("http", "problem")
    assert "401" in second.the("http", "problem")
    assert "429" in third.the("http", "problem")


def test_no_key(world: World, server: Server) -> None:
    """Missing here, and refused there."""
    found = diagnose(world, f"ws://127.0.0.1:{server.port}/api/ws")

    assert "no key" in found.the("url", "warning")
    assert "needs a key" in found.the("http", "problem")


def test_a_wrong_path(world: World, server: Server) -> None:
    """404 names the right path."""
    found = diagnose(world, url_of(server, world, path="/ws"))

    assert "/api/ws" in found.the("http", "problem")


def test_a_wrong_host(world: World, server: Server) -> None:
    """A proxy that does not pass Host as it came: 403, and the option that helps."""

    def rewrite(head: bytes) -> bytes:
        return head.replace(b"Host: 127.0.0.1", b"Host: attach.example")

    with serving(relaying(server.port, rewrite)) as port:
        found = diagnose(world, url_of(port, world))

    assert "--allow-host" in found.the("http", "problem")


def test_full(world: World) -> None:
    """503 with its reason."""
    server = world.twistd(find_port(), "--max-connections=1")
    server.client()

    assert "--max-connections" in diagnose(world, url_of(server, world)).the("http", "problem")


def test_hermes_is_broken(world: World) -> None:
    """The socket is held, gateway.ready does not come, and /ready tells why."""
    world.environment["HERMES_ATTACH_HERMES_PYTHON"] = "/bin/false"
    server = world.twistd(find_port())

    found = diagnose(world, url_of(server, world), "--timeout=5")

    assert (found.status, found.problems) == (1, ["ready"])
    assert "Hermes is not ready" in found.the("ready", "problem")
    assert found.of("link")[0][0] == "ok"


# The network.


def test_nobody_listens(world: World) -> None:
    """Refused, with where to look."""
    found = diagnose(world, url_of(find_port(), world))

    assert found.problems == ["tcp"]
    assert "Connection refused" in found.the("tcp", "problem")


def test_an_unknown_name(world: World) -> None:
    """RFC 6761 §6.4: no such name exists."""
    found = diagnose(world, f"ws://attach.invalid:8643/api/ws?token={world.key}")

    assert found.problems == ["name"]


def test_another_protocol(world: World) -> None:
    """SSH's port, by mistake."""
    with serving(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")) as port:
        assert "SSH" in diagnose(world, url_of(port, world)).the("http", "problem")


def test_silence(world: World) -> None:
    """A peer that takes the request and says nothing."""
    with serving(lambda connection: connection.recv(1 << 20) and connection.recv(1)) as port:  # type: ignore[arg-type,return-value]
        found = diagnose(world, url_of(port, world), "--timeout=0.5")

    assert "not answered within 0.5 s" in found.the("http", "problem")


# TLS.


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_tls_that_is_trusted(world: World, authority: Authority) -> None:
    """Over TLS all is well once the UI's Node knows the authority."""
    certificate, key = authority.issue("127.0.0.1")
    port = find_port()
    server = world.twistd(port, f"--listen=ssl:{port}:privateKey={key}:certKey={certificate}")
    url = url_of(server, world, "wss")

    unknown = diagnose(world, url)
    known = diagnose(world, url, NODE_EXTRA_CA_CERTS=str(authority.certificate))

    assert unknown.problems == ["tls"]
    assert "export NODE_EXTRA_CA_CERTS=" in unknown.the("tls", "problem")
    assert (known.status, known.problems) == (0, [])
    assert "TLSv1.3" in known.the("tls", "ok")


@pytest.mark.parametrize(
    ("names", "days", "word"),
    [
        (("127.0.0.1",), -1, "has expired"),
        (("attach.example",), 30, "not for 127.0.0.1, but for attach.example"),
    ],
)
def test_certificates_that_are_wrong(
    names: tuple[str, ...], days: int, word: str, world: World, authority: Authority
) -> None:
    """Expired, or another's: named even where the authority is unknown as well."""
    trusting = {"NODE_EXTRA_CA_CERTS": str(authority.certificate)}
    with serving(answering(), authority.context(*names, days=days)) as port:
        found = diagnose(world, url_of(port, world, "wss"), **trusting)
        unknown = diagnose(world, url_of(port, world, "wss"))

    assert word in found.the("tls", "problem")
    assert unknown.problems == ["tls", "tls"]
    assert word in unknown.text


def test_a_certificate_that_ends_soon(world: World, authority: Authority) -> None:
    """Accepted today; worth a warning."""
    with serving(answering(("/", 404, "", "")), authority.context("127.0.0.1", days=3)) as port:
        extra = str(authority.certificate)
        found = diagnose(world, url_of(port, world, "wss"), NODE_EXTRA_CA_CERTS=extra)

    assert "ends on" in found.the("tls", "warning")


def test_wss_at_a_plain_port(world: World, server: Server) -> None:
    """The other way round than it should be."""
    found = diagnose(world, url_of(server, world, "wss"))

    assert "plain HTTP" in found.the("tls", "problem")
    assert "Write ws:// in front of 127.0.0.1:" in found.the("tls", "problem")


def test_ws_at_a_tls_port(world: World, authority: Authority) -> None:
    """A TLS server closes, or answers with an alert; both mean wss://."""
    certificate, key = authority.issue("127.0.0.1")
    port = find_port()
    world.twistd(port, f"--listen=ssl:{port}:privateKey={key}:certKey={certificate}")

    found = diagnose(world, url_of(port, world))

    assert f"Write wss:// in front of 127.0.0.1:{port}" in found.the("http", "problem")


# Proxies.


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        (b"Upgrade: websocket\r\n", b"", "drops it"),
        (b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", "changes it"),
    ],
)
def test_a_proxy_without_upgrade(
    old: bytes, new: bytes, word: str, world: World, server: Server
) -> None:
    """The lines that nginx needs are named."""
    with serving(relaying(server.port, lambda head: head.replace(old, new))) as port:
        found = diagnose(world, url_of(port, world))

    assert word in found.the("http", "problem")
    assert "proxy_set_header Upgrade" in found.the("http", "problem")


def test_a_login(world: World) -> None:
    """A redirect to a login page, shown without the key that it carries."""
    location = f"Location: https://sso.example/login?back={world.key}\r\n"
    with serving(answering(("/", 302, location, ""))) as port:
        found = diagnose(world, url_of(port, world))

    assert "to https://sso.example/login." in found.the("http", "problem")
    assert "login page" in found.the("http", "problem")


def test_a_page_instead(world: World) -> None:
    """200: some web server."""
    with serving(answering(("/", 200, "Server: nginx\r\n", "<html>"))) as port:
        found = diagnose(world, url_of(port, world))

    assert "another program (nginx) answers 200" in found.the("http", "problem")


def test_a_slow_link(world: World) -> None:
    """Half a second there and back is measured, and warned about."""
    server = ready(world.twistd(find_port(), "--allow-host=127.0.0.1"))
    with serving(relaying(server.port, delay=0.3)) as port:
        found = diagnose(world, url_of(port, world), "--seconds=1")

    assert found.status == 0, found.text
    assert "The link is slow: round trip p50" in found.the("link", "warning")


# Other servers.


@contextlib.contextmanager
def websocket_server(handle: Callable[[Any], None]) -> Iterator[int]:
    """Somebody else's WebSocket server, which compresses; the port."""
    with serve(handle, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.socket.getsockname()[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("answer", ["limited", "fine"])
def test_the_compression_trap(answer: str, world: World, tmp_path: Path) -> None:
    """Another server compresses: a problem only if this machine's Node has the limit."""
    node = tmp_path / "bin" / "node"
    node.parent.mkdir()
    node.write_text(f"#!/bin/sh\nprintf {answer}\n")
    node.chmod(0o755)
    path = f"{node.parent}:{world.environment['PATH']}"

    def handle(connection: Any) -> None:
        connection.send(json.dumps({"method": "event", "params": {"type": "gateway.ready"}}))
        connection.recv()

    with websocket_server(handle) as port:
        found = diagnose(world, url_of(port, world), PATH=path)

    assert found.of("compression")[0][0] == ("problem" if answer == "limited" else "ok")
    assert found.of("ready")[0][0] == "ok"


def test_a_socket_that_ends(world: World) -> None:
    """Upgraded and then closed: the close code is shown."""

    def handle(connection: Any) -> None:
        connection.close(4401, "auth")

    with websocket_server(handle) as port:
        found = diagnose(world, url_of(port, world))

    assert "4401" in found.the("link", "problem")


def start_hermes(world: World, port: int, *command: str, **environment: str) -> Any:
    """A server of the real Hermes itself."""
    python = hermes_python("0.19.0")
    environ = {**world.environment, "PATH": f"{python.parent}:/usr/bin:/bin", **environment}
    with (world.directory / f"hermes-{port}").open("wb") as output:
        process = subprocess.Popen(
            [str(python), "-m", "hermes_cli.main", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=world.directory,
            env=environ,
            start_new_session=True,
        )
    try:
        wait_until(lambda: is_open(port) or process.poll() is not None, "Hermes to listen", 120)
        assert process.poll() is None, (world.directory / f"hermes-{port}").read_text()
    except BaseException:
        end(process)
        raise
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.mark.hermes
def test_the_api_server_of_hermes(world: World, model: Any) -> None:
    """The real one is recognised, and the user is sent to the right port."""
    python = hermes_python("0.19.0")
    if subprocess.run([python, "-c", "import aiohttp"], capture_output=True).returncode:
        skip("Hermes' API server needs aiohttp beside it")
    world.configure_hermes(model, python)
    port = find_port()
    process = start_hermes(
        world, port, "gateway", "run",
        API_SERVER_ENABLED="1", API_SERVER_PORT=str(port), API_SERVER_KEY=secrets.token_hex(16),
    )  # fmt: skip
    try:
        found = diagnose(world, url_of(port, world))
    finally:
        end(process)

    assert "Hermes' API server answers 404" in found.the("http", "problem")
    assert "port 8643" in found.the("http", "problem")


@pytest.mark.hermes
def test_the_dashboard_of_hermes(world: World, model: Any) -> None:
    """The real one refuses a wrong token with 403, and upgrades with the right one."""
    python = hermes_python("0.19.0")
    if subprocess.run([python, "-c", "import fastapi"], capture_output=True).returncode:
        skip("Hermes' dashboard needs fastapi beside it")
    world.configure_hermes(model, python)
    port, token = find_port(), secrets.token_urlsafe(32)
    process = start_hermes(
        world, port, "dashboard", "--no-open", f"--port={port}",
        HERMES_DASHBOARD_SESSION_TOKEN=token,
    )  # fmt: skip
    try:
        refused = diagnose(world, url_of(port, world))
        upgraded = diagnose(world, f"ws://127.0.0.1:{port}/api/ws?token={token}", "--timeout=60")
    finally:
        end(process)

    assert "Hermes' dashboard answers 403" in refused.the("http", "problem")
    assert "Hermes' dashboard, not hermes-attach" in upgraded.the("websocket", "warning")
    assert "gateway.ready after" in upgraded.the("ready", "ok")
    assert token not in upgraded.text


# On the server.


def test_on_the_server(world: World, server: Server) -> None:
    """Everything that the server depends on, and the server itself."""
    ready(server)

    found = diagnose(world, None, f"--port={server.port}", f"--key-file={world.key_file}")

    assert found.status == 0, found.text
    assert "hermes-attach serves" in found.the("port", "ok")
    assert "Hermes " in found.the("hermes", "ok")
    assert found.of("key")[0][0] == "ok"
    assert {"config", "plugin", "node"} <= {line["check"] for line in found.found}


def test_on_the_server_with_the_ui_s_variable(world: World) -> None:
    """`--server` looks here although the variable of a UI is set."""
    found = diagnose(world, "ws://127.0.0.1:1/api/ws", "--server", f"--port={find_port()}")

    assert "Nothing listens" in found.the("port", "warning")


def test_a_port_of_another_program(world: World) -> None:
    """Who it is, as far as can be seen."""
    with serving(answering(("/", 404, "Server: thing\r\n", ""))) as port:
        found = diagnose(world, None, f"--port={port}")

    assert f"port {port} is in use by another program (thing), process" in (
        found.the("port", "problem")
    )


def test_a_missing_hermes(world: World) -> None:
    """The words are the server's own."""
    world.environment["HERMES_ATTACH_HERMES_PYTHON"] = "/nonexistent/python"

    found = diagnose(world, None, f"--port={find_port()}")

    assert found.status == 1
    assert "/nonexistent/python" in found.the("hermes", "problem")


@pytest.mark.hermes
@pytest.mark.parametrize("release", ["0.14.0", "0.19.0"])
def test_a_real_hermes(release: str, world: World, model: Any) -> None:
    """Release, configuration and provider are found; what is wrong with them, too."""
    python = hermes_python(release)
    world.configure_hermes(model, python)
    port = f"--port={find_port()}"

    well = diagnose(world, None, port)
    (world.home / "config.yaml").write_text("model: [\n")
    broken = diagnose(world, None, port)

    assert release in well.the("hermes", "ok")
    assert well.of("config")[0][0] == well.of("provider")[0][0] == "ok"
    assert "YAML" in broken.the("config", "problem")


def test_a_unix_socket(world: World, tmp_path: Path) -> None:
    """A server on a Unix socket is looked at through it."""
    path = tmp_path / "attach.sock"
    listen = f"--listen=unix:{path}:mode=600"
    server = world.start(
        ["twistd", "--nodaemon", "--pidfile=", "hermes-attach", listen], find_port()
    )
    server.client(unix=path).socket.close()

    found = diagnose(world, None, listen)

    assert f"hermes-attach serves on {path}" in found.the("port", "ok")


def test_a_request_without_a_key_in_the_clear(world: World) -> None:
    """Looking whether a TLS port speaks plain HTTP never sends the key unencrypted."""
    heads: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        heads.append(read_head(connection))
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    with serving(handle) as port:
        diagnose(world, url_of(port, world, "wss"))

    assert any(head.startswith(b"GET /health") for head in heads)
    assert not any(world.key.encode() in head for head in heads)
