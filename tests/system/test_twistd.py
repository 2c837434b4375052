"""Every way to start and to stop the server, before the stub of Hermes."""

from __future__ import annotations

import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets.exceptions

import hermes_twisted
from hermes_twisted import __version__
from tests.conftest import STUB, find_port
from tests.system.conftest import (
    PATIENCE,
    Client,
    Server,
    Terminal,
    World,
    children,
    is_alive,
    is_open,
    text_of,
    wait_until,
)

TWISTD = ["twistd", "--nodaemon", "--pidfile=", "hermes-attach"]
TWIST = ["twist", "hermes-attach"]
SERVE = ["hermes-attach", "serve"]


def worker_of(client: Client) -> int:
    pid: int = client.call("environment")["pid"]
    return pid


class TestCommands:
    @pytest.mark.parametrize("command", [TWISTD, TWIST, SERVE], ids=lambda c: c[0])
    def test_serves_in_the_foreground(
        self, world: World, free_port: int, command: list[str]
    ) -> None:
        server = world.start([*command, f"--port={free_port}"], free_port).wait_for_port()

        assert server.client().call("echo", n=1) == {"n": 1}

        server.terminate()
        # Twisted ends by the signal that stopped it: to systemd, a clean end.
        assert server.ended() == -signal.SIGTERM
        assert "Traceback" not in server.output

    def test_serves_as_a_daemon(self, world: World, free_port: int) -> None:
        server = start_daemon(world, free_port)

        assert server.client().call("echo", n=1) == {"n": 1}

        log = server.log_path.read_text()
        assert "listening on" in log
        assert not server.output_path.read_text()
        server.terminate()
        server.ended()
        assert not server.pid_path.exists()
        assert "Traceback" not in server.output

    @pytest.mark.parametrize("daemon", [False, True], ids=["foreground", "daemon"])
    def test_hermes_gets_the_users_umask(self, world: World, free_port: int, daemon: bool) -> None:
        """What the agent writes is the user's: twistd's own umask is not for it."""
        if daemon:
            server = start_daemon(world, free_port, umask=0o027)
        else:
            server = world.twistd(free_port, umask=0o027)

        assert server.client().call("environment")["umask"] == 0o027

    def test_hermes_sees_nothing_of_ours(self, world: World, free_port: int) -> None:
        world.without_key()
        world.environment |= {"HERMES_ATTACH_KEY": world.key, "NOTIFY_SOCKET": "/run/none"}
        server = world.twistd(free_port)

        found = server.client().call("environment")

        assert found["environ"]["HERMES_HOME"] == str(world.home)
        assert not [name for name in found["environ"] if name.startswith("HERMES_ATTACH")]
        assert "NOTIFY_SOCKET" not in found["environ"]
        assert world.key not in str(found)

    @pytest.mark.parametrize(
        ("option", "variable", "grace"),
        [((), None, "300"), (("--session-grace=1m",), None, "60"), ((), "7", "7")],
    )
    def test_sessions_wait_for_their_clients(
        self,
        option: tuple[str, ...],
        variable: str | None,
        grace: str,
        world: World,
        free_port: int,
    ) -> None:
        """Longer than by Hermes' default; who has set Hermes' own variable meant it."""
        if variable is not None:
            world.environment["HERMES_TUI_WS_ORPHAN_REAP_GRACE_S"] = variable
        found = world.twistd(free_port, *option).client().call("environment")

        assert found["environ"]["HERMES_TUI_WS_ORPHAN_REAP_GRACE_S"] == grace

    def test_key_from_the_environment(self, world: World, free_port: int) -> None:
        world.without_key()
        world.environment["HERMES_ATTACH_KEY"] = world.key

        assert world.twistd(free_port).client().call("echo") == {}

    def test_settings_from_a_file(self, world: World, free_port: int) -> None:
        config = world.directory / "attach.toml"
        config.write_text(f"port = {free_port}\nmax-message = '1k'\n")
        server = world.start([*TWISTD, f"--config={config}"], free_port).wait_for_port()
        client = server.client()

        client.request("echo", text="x" * 2000)

        assert client.closed()[0] == 1009

    def test_demo_needs_no_hermes(self, world: World, free_port: int) -> None:
        """It has a key of its own, which the terminal shows, and makes no other."""
        world.without_key()
        del world.environment["HERMES_ATTACH_HERMES_PYTHON"]
        with Terminal() as terminal:
            command = ["hermes-attach", "demo", f"--port={free_port}"]
            server = terminal.start(world, command, free_port)
            server.key = (
                terminal.read_until("hermes --tui").partition("token=")[2].partition("'")[0]
            )

            assert server.client().call("session.create")["session_id"]

            server.terminate()
            server.ended()
        assert not (world.home / "attach").exists()

    def test_demo_leaves_nothing_behind(self, world: World, free_port: int) -> None:
        """No home of its own, temporary or not, and no file in Hermes'."""
        temporary = world.directory / "temporary"
        temporary.mkdir()
        world.environment["TMPDIR"] = str(temporary)
        server = world.start(["hermes-attach", "demo", f"--port={free_port}"], free_port)
        server.wait_for_port().terminate()
        server.ended()

        assert not list(temporary.iterdir())
        assert not (world.home / "attach").exists()
        assert not (Path(hermes_twisted.__file__).parent / "no-home").exists()

    def test_demo_is_not_opened_by_the_real_key(self, world: World, free_port: int) -> None:
        command = ["hermes-attach", "demo", f"--port={free_port}"]
        server = world.start(command, free_port).wait_for_port()

        with pytest.raises(websockets.exceptions.InvalidStatus, match="401"):
            server.client()


def start_daemon(world: World, port: int, **popen: Any) -> Server:
    pid, log = world.directory / f"pid-{port}", world.directory / f"log-{port}"
    command = ["twistd", f"--pidfile={pid}", f"--logfile={log}", "hermes-attach", f"--port={port}"]
    return world.start(command, port, **popen).wait_for_daemon()


class TestReactor:
    def test_another_reactor_is_refused(self, world: World) -> None:
        ended = world.run(*TWISTD[:3], "--reactor=epoll", "hermes-attach")

        assert ended.returncode == 1
        assert_advice(ended.stdout, "needs the asyncio reactor", "drop --reactor epoll")

    def test_another_reactor_is_refused_by_twist(self, world: World) -> None:
        """It shows the mistake first and its help below."""
        ended = world.run("twist", "--reactor=epoll", "hermes-attach")

        assert ended.returncode != 0
        assert "Traceback" not in ended.stdout
        first = ended.stdout.splitlines()[0]
        assert "needs the asyncio reactor" in first
        assert "drop --reactor" in first

    @pytest.mark.parametrize("command", ["twistd", "twist"])
    def test_its_own_reactor_may_be_named(self, world: World, free_port: int, command: str) -> None:
        options = ["--nodaemon", "--pidfile="] if command == "twistd" else []
        command_line = [command, *options, "--reactor=asyncio", "hermes-attach"]
        server = world.start([*command_line, f"--port={free_port}"], free_port).wait_for_port()

        assert server.client().call("echo") == {}

    def test_another_plugin_was_first(
        self, world: World, free_port: int, rude_plugin: Path
    ) -> None:
        ended = world.run(*TWISTD, f"--port={free_port}")

        assert ended.returncode == 1
        assert_advice(ended.stdout, "another Twisted plugin", "hermes-attach serve")

    def test_that_advice_helps(self, world: World, free_port: int, rude_plugin: Path) -> None:
        """Reading all plugins once makes a cache, and then only ours is imported."""
        assert world.run("twistd", "--help").returncode == 0

        assert world.twistd(free_port).client().call("echo") == {}

    def test_serve_comes_before_any_plugin(
        self, world: World, free_port: int, rude_plugin: Path
    ) -> None:
        server = world.start([*SERVE, f"--port={free_port}"], free_port).wait_for_port()

        assert server.client().call("echo") == {}

    def test_serve_needs_no_plugin_cache(
        self, world: World, free_port: int, rude_plugin: Path
    ) -> None:
        """In an environment of root's, say, the cache cannot be written."""
        # A directory in its place stops even root.
        (rude_plugin / "dropin.cache" / "taken").mkdir(parents=True)
        server = world.start([*SERVE, f"--port={free_port}"], free_port).wait_for_port()

        assert server.client().call("echo") == {}


@pytest.fixture
def rude_plugin(world: World) -> Path:
    """A plugin, not in any cache, that installs the default reactor when it is read."""
    plugins = world.directory / "site" / "twisted" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "rude.py").write_text("from twisted.internet import reactor\n")
    world.environment["PYTHONPATH"] = str(plugins.parents[1])
    return plugins


def assert_advice(output: str, *parts: str) -> None:
    """The last line says it, and nobody has to read a traceback."""
    assert "Traceback" not in output
    last = output.strip().splitlines()[-1]
    for part in parts:
        assert part in last


class TestMistakes:
    @pytest.mark.parametrize(
        ("options", "parts"),
        [
            (["--port=ssh"], ["--port", "ssh"]),
            (["--port=70000"], ["--port", "70000"]),
            (["--listen=8643"], ["--listen 8643", "not an endpoint"]),
            (["--backend=docker"], ["--backend", "docker"]),
            (["--no-such-option"], ["no-such-option"]),
            (["surplus"], ["arguments"]),
            (["--config=absent.toml"], ["--config", "absent.toml"]),
            (["--key-file=absent"], ["absent"]),
        ],
        ids=lambda value: value[0] if value[0].startswith("-") else None,
    )
    def test_bad_option(self, world: World, options: list[str], parts: list[str]) -> None:
        ended = world.run(*TWISTD, *options)

        assert ended.returncode == 1
        assert_advice(ended.stdout, *parts)
        assert ended.stdout.count("\n") == 1

    @pytest.mark.parametrize(
        ("command", "status"),
        [(TWISTD, 1), (TWIST, 64), (SERVE, 2)],
        ids=["twistd", "twist", "serve"],
    )
    def test_wrong_name(self, world: World, command: list[str], status: int) -> None:
        """One line names it and the nearest right one, not a page of help."""
        ended = world.run(*command, "--prot", "1")

        assert ended.returncode == status
        assert_advice(ended.stdout, "no option --prot", "did you mean --port?", "--help")
        assert ended.stdout.count("\n") == 1

    def test_contradiction(self, world: World) -> None:
        """Each of the two is called by its name where it was given."""
        world.environment["HERMES_ATTACH_PORT"] = "1"

        ended = world.run(*TWISTD, "--listen=tcp:1")

        assert ended.returncode == 1
        assert_advice(ended.stdout, "--listen and HERMES_ATTACH_PORT contradict each other")

    @pytest.mark.parametrize("command", [TWISTD, TWIST, SERVE], ids=lambda c: c[0])
    def test_version(self, world: World, command: list[str]) -> None:
        """Ours, not Twisted's."""
        ended = world.run(*command, "--version")

        assert (ended.returncode, ended.stdout) == (0, f"hermes-twisted {__version__}\n")

    def test_unknown_variable(self, world: World, free_port: int) -> None:
        """The log says so, and the server starts: the variable may be for another version."""
        world.environment["HERMES_ATTACH_PROT"] = "1"

        server = world.twistd(free_port)

        assert "HERMES_ATTACH_PROT in the environment is no setting" in server.output
        assert server.client().call("echo") == {}

    @pytest.mark.parametrize("option", ["--key", "--token"])
    def test_a_key_is_no_option(self, world: World, option: str) -> None:
        """Nor is it taken for the beginning of another option's name, and quoted."""
        ended = world.run(*TWISTD, f"{option}={world.key}")

        assert ended.returncode == 1
        assert_advice(ended.stdout, "never an option", "--key-file")
        assert world.key not in ended.stdout

    def test_unknown_setting_in_the_file(self, world: World) -> None:
        (world.directory / "attach.toml").write_text("colour = 'blue'\n")

        ended = world.run(*TWISTD, "--config=attach.toml")

        assert ended.returncode == 1
        assert_advice(ended.stdout, "attach.toml", "colour")

    def test_bad_value_in_the_environment(self, world: World) -> None:
        world.environment["HERMES_ATTACH_PORT"] = "ssh"

        ended = world.run(*TWISTD)

        assert ended.returncode == 1
        assert_advice(ended.stdout, "HERMES_ATTACH_PORT", "ssh")

    def test_key_file_that_others_can_read(self, world: World) -> None:
        world.key_file.chmod(0o640)

        ended = world.run(*TWISTD)

        assert ended.returncode == 1
        assert_advice(ended.stdout, str(world.key_file), "chmod 600")
        assert world.key not in ended.stdout

    @pytest.mark.parametrize("key", ["changeme", "short"])
    def test_weak_key(self, world: World, key: str) -> None:
        world.key_file.write_text(key)

        ended = world.run(*TWISTD)

        assert ended.returncode == 1
        assert_advice(ended.stdout, str(world.key_file), "token_urlsafe")

    def test_daemon_without_a_key(self, world: World) -> None:
        world.without_key()

        ended = world.run("twistd", "--pidfile=pid", "--logfile=log", "hermes-attach")

        assert ended.returncode == 1
        assert_advice(ended.stdout, "no key yet", "hermes-attach key new NAME;", "--key-file")
        assert not (world.home / "attach").exists()

    @pytest.mark.parametrize("command", [TWISTD, TWIST, SERVE], ids=lambda c: c[0])
    def test_port_in_use(self, world: World, command: list[str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]

            ended = world.run(*command, f"--port={port}")

        assert ended.returncode == 1
        assert_advice(ended.stdout, str(port), "Address already in use", "another port")

    def test_port_in_use_for_a_daemon(self, world: World) -> None:
        """twistd waits for the daemon, and shows the beginning of what was wrong."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]

            ended = world.run(
                "twistd", "--pidfile=pid", "--logfile=log", "hermes-attach", f"--port={port}"
            )

        assert ended.returncode == 1
        assert f"port {port}: Address already in use" in ended.stdout
        assert "Traceback" not in ended.stdout
        log = world.directory / "log"
        wait_until(lambda: "Choose another port" in log.read_text(), "the whole advice in the log")
        assert not (world.directory / "pid").exists()

    def test_nothing_runs_after_a_refused_start(self, world: World) -> None:
        """The first endpoint is closed again when the second cannot be opened."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            socket_path = world.directory / "socket"

            ended = world.run(
                *TWISTD, f"--listen=unix:{socket_path}", f"--listen=tcp:{port}:interface=127.0.0.1"
            )

        assert ended.returncode == 1
        assert "worker" not in ended.stdout

    @pytest.mark.parametrize("address", ["0.0.0.0", ""], ids=["named", "default"])
    def test_plaintext_beyond_this_machine(
        self, world: World, free_port: int, address: str
    ) -> None:
        endpoint = f"tcp:{free_port}" + (f":interface={address}" if address else "")

        ended = world.run(*TWISTD, f"--listen={endpoint}")

        assert ended.returncode == 1
        assert_advice(ended.stdout, endpoint, "in the clear", "--allow-plaintext")
        assert not is_open(free_port)


class TestListening:
    def test_plaintext_beyond_this_machine_on_demand(self, world: World, free_port: int) -> None:
        endpoint = f"--listen=tcp:{free_port}:interface=0.0.0.0"

        server = world.start([*TWISTD, endpoint, "--allow-plaintext"], free_port)

        assert server.wait_for_port().client().call("echo") == {}

    def test_unix_socket(self, world: World, free_port: int) -> None:
        path = world.directory / "s"
        server = world.start([*TWISTD, f"--listen=unix:{path}:mode=600"], free_port)

        assert server.client(unix=path).call("echo") == {}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

        server.terminate()
        server.ended()
        assert not path.exists()

    def test_several_at_once(self, world: World, free_port: int) -> None:
        path = world.directory / "s"
        listen = [f"--listen=tcp:{free_port}:interface=127.0.0.1", f"--listen=unix:{path}"]
        server = world.start([*TWISTD, *listen], free_port).wait_for_port()

        assert server.client().call("echo") == {}
        assert server.client(unix=path).call("echo") == {}


class TestFirstStart:
    def test_key_is_made_and_shown(self, world: World, free_port: int) -> None:
        """On the terminal, and nowhere else: the log may be anybody's."""
        world.without_key()
        with Terminal() as terminal:
            server = terminal.start(world, [*SERVE, f"--port={free_port}"], free_port)
            shown = terminal.read_until("hermes --tui")
            server.key = shown.partition("token=")[2].partition("'")[0]
            assert server.client().call("echo") == {}
            server.terminate()
            server.ended()

        path = world.home / "attach" / "keys.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert server.key not in path.read_text()
        assert "'default'" in shown
        assert export_line(free_port, server.key) in shown
        assert f"set -gx HERMES_TUI_GATEWAY_URL 'ws://127.0.0.1:{free_port}" in shown
        assert "export" not in server.output

    def test_second_start_cannot_show_it(self, world: World, free_port: int) -> None:
        """The key goes on to admit, but only its hash is known: KEY stands in its place."""
        world.without_key()
        shown = []
        for _ in range(2):
            with Terminal() as terminal:
                server = terminal.start(world, [*TWISTD, f"--port={free_port}"], free_port)
                shown.append(terminal.read_until("hermes --tui"))
                server.key = shown[0].partition("token=")[2].partition("'")[0]
                assert server.client().call("echo") == {}
                server.terminate()
                server.ended()

        assert export_line(free_port, "KEY") in shown[1]
        assert "key rotate" in shown[1]
        assert server.key not in shown[1]

    @pytest.mark.parametrize("command", [TWISTD, SERVE], ids=lambda c: c[0])
    def test_without_a_terminal(self, world: World, free_port: int, command: list[str]) -> None:
        """In a pipe or below a supervisor no key is made that nobody would see."""
        world.without_key()

        ended = world.run(*command, f"--port={free_port}")

        assert ended.returncode == 1
        assert_advice(ended.stdout, "no key", "hermes-attach key new NAME")
        assert not (world.home / "attach").exists()

    def test_daemon(self, world: World, free_port: int) -> None:
        """A daemon has no terminal, though the shell that starts it has one."""
        world.without_key()
        with Terminal() as terminal:
            command = ["twistd", "hermes-attach", f"--port={free_port}"]
            server = terminal.launch(world, command, free_port)
            assert server.ended() == 1

        assert_advice(server.output, "no key", "hermes-attach key new NAME")
        assert not (world.home / "attach").exists()

    def test_former_key_file(self, world: World, free_port: int) -> None:
        """The file of earlier versions is no longer read by itself, and works when named."""
        world.without_key()
        former = world.home / "attach" / "key"
        former.parent.mkdir(0o700)
        former.touch(0o600)
        former.write_text(world.key)

        ended = world.run(*TWISTD, f"--port={free_port}")

        assert_advice(ended.stdout, "no longer read", f"--key-file {former}")
        server = world.twistd(free_port, f"--key-file={former}")
        assert server.client().call("echo") == {}
        server.terminate()
        server.ended()
        with Terminal() as terminal:
            server = terminal.start(world, [*TWISTD, f"--port={free_port}"], free_port)
            shown = terminal.read_until("hermes --tui")
            server.terminate()
            server.ended()
        assert f"--key-file {former}" in shown

    def test_port_is_taken(self, world: World, free_port: int) -> None:
        """No key is made, and lost, by a start that fails."""
        world.without_key()
        with socket.create_server(("127.0.0.1", free_port)), Terminal() as terminal:
            server = terminal.launch(world, [*TWISTD, f"--port={free_port}"], free_port)
            assert server.ended() == 1

        assert f"port {free_port}" in server.output
        assert not (world.home / "attach" / "keys.json").exists()

    def test_url_before_the_first_start(self, world: World) -> None:
        world.without_key()

        ended = world.run("hermes-attach", "url")

        assert ended.returncode == 2
        assert_advice(ended.stdout, "no key", "hermes-attach key new")

    def test_key_cannot_be_written(self, world: World, free_port: int) -> None:
        world.without_key()
        (world.home / "attach").write_text("a file in the place of the directory")

        with Terminal() as terminal:
            server = terminal.launch(world, [*TWISTD, f"--port={free_port}"], free_port)
            assert server.ended() == 1

        assert_advice(server.output, str(world.home / "attach"))


def export_line(port: int, key: str) -> str:
    return f"export HERMES_TUI_GATEWAY_URL='ws://127.0.0.1:{port}/api/ws?token={key}'"


class TestStopping:
    def test_clients_are_told(self, world: World, free_port: int) -> None:
        server = world.twistd(free_port)
        client = server.client()

        server.terminate()

        assert "is stopping" in client.notice()
        assert client.closed() == (1001, "the server is stopping")
        assert server.ended() == -signal.SIGTERM
        assert "Traceback" not in server.output

    @pytest.mark.parametrize("method", ["block", "long.block"])
    def test_running_requests_are_finished(self, world: World, free_port: int, method: str) -> None:
        """Also those that run in threads of Hermes': `slash.exec`, `shell.exec` and the like."""
        server = world.twistd(free_port)
        client = server.client()
        blocked = client.request(method, name="gate")
        client.event("stub.blocked")

        server.terminate()
        client.notice()
        client.request("open.respond", name="gate")

        assert client.answer(blocked)["result"] == {"opened": True}
        assert client.closed()[0] == 1001

    def test_their_answers_arrive_whole(self, world: World, free_port: int) -> None:
        """Also when they take longer to send than to make."""
        server = world.twistd(free_port)
        client = server.client()
        blocked = client.request("block", name="gate")
        large = [client.request("result.of_size", bytes=1_000_000) for _ in range(20)]
        client.event("stub.blocked")

        server.terminate()
        client.notice()
        client.request("open.respond", name="gate")

        assert client.answer(blocked)["result"] == {"opened": True}
        assert [len(client.answer(one)["result"]["text"]) for one in large] == [1_000_000] * 20
        assert client.closed()[0] == 1001

    def test_but_not_waited_for_without_end(self, world: World, free_port: int) -> None:
        server = world.twistd(free_port, "--drain=0.2")
        client = server.client()
        client.request("block", name="gate", timeout=600)
        client.event("stub.blocked")

        server.terminate()

        assert client.closed()[0] == 1001
        server.ended(limit=15)
        assert "drain time was over" in server.output

    def test_client_that_does_not_answer(self, world: World, free_port: int) -> None:
        """A stopped terminal must not keep the server from ending."""
        server = world.twistd(free_port)
        with socket.create_connection(("127.0.0.1", free_port)) as mute:
            head = f"GET /api/ws?token={server.key} HTTP/1.1\r\nHost: 127.0.0.1:{free_port}\r\n"
            upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            mute.sendall((head + upgrade + key).encode())
            assert mute.recv(12) == b"HTTP/1.1 101"
            wait_until(lambda: "attached" in server.output, "the seat")

            server.terminate()

            server.ended(limit=15)

    def test_hermes_finishes_its_sessions(self, world: World, free_port: int) -> None:
        """Its exit handlers do not run below twistd: it is asked in so many words."""
        mark = world.directory / "mark"
        world.environment["STUB_SHUTDOWN_MARK"] = str(mark)
        server = world.twistd(free_port)
        session = server.client().call("session.create")["session_id"]

        server.terminate()
        server.ended()

        assert mark.read_text() == session

    def test_no_client(self, world: World, free_port: int) -> None:
        server = world.twistd(free_port)
        wait_until(lambda: "Hermes is ready" in server.output, "the worker")
        (worker,) = children(server.pid)

        server.terminate()

        assert server.ended() == -signal.SIGTERM
        assert not is_alive(worker)

    def test_while_hermes_is_loading(self, world: World, free_port: int) -> None:
        server = world.twistd(free_port)

        server.terminate()

        assert server.ended(limit=15) == -signal.SIGTERM
        assert "Traceback" not in server.output

    def test_stdout_of_hermes_is_logged(self, world: World, free_port: int) -> None:
        server = world.twistd(free_port)

        server.client().call("print", text="said by Hermes")

        wait_until(lambda: "said by Hermes" in server.output, "the line in the log")


class TestKilled:
    def test_worker_in_the_middle_of_a_stream(self, world: World, free_port: int) -> None:
        """The socket stays, what was asked is answered, and Hermes comes back."""
        server = world.twistd(free_port)
        client = server.client()
        worker = worker_of(client)
        session = client.call("session.create")["session_id"]
        client.call("stream", session_id=session, count=100_000, rate=200)
        blocked = client.request("block", name="gate", timeout=600)
        client.event("stub.blocked")
        client.event("message.delta")

        os.kill(worker, signal.SIGKILL)

        error = client.answer(blocked)["error"]
        assert error["code"] == -32000
        assert "being restarted" in error["message"]
        assert "was killed by SIGKILL" in client.notice()
        assert client.event("message.complete")["payload"] == {"status": "interrupted"}
        assert client.call("session.where", session_id=session) == {"detached": False}
        assert worker_of(client) != worker

    def test_requests_in_between_wait(self, world: World, free_port: int) -> None:
        server = world.twistd(free_port)
        client = server.client()
        worker = worker_of(client)

        os.kill(worker, signal.SIGKILL)
        client.notice()

        assert client.call("echo", n=3) == {"n": 3}

    def test_front(self, world: World, free_port: int) -> None:
        """No worker without its front: nobody could reach or end it."""
        server = world.twistd(free_port)
        client = server.client()
        worker = worker_of(client)
        session = client.call("session.create")["session_id"]
        client.call("stream", session_id=session, count=100_000, rate=200)

        os.kill(server.pid, signal.SIGKILL)

        assert server.ended() == -signal.SIGKILL
        wait_until(lambda: not is_alive(worker), "the worker to end")


class TestInProcess:
    """The stub in the server's own process: the same service, without a worker."""

    @pytest.fixture
    def server(self, world: World, free_port: int) -> Server:
        world.environment["PYTHONPATH"] = str(STUB)
        world.environment["STUB_SHUTDOWN_MARK"] = str(world.directory / "mark")
        return world.twistd(free_port, "--backend=inprocess")

    def test_serves(self, server: Server) -> None:
        client = server.client()
        session = client.call("session.create")["session_id"]

        client.call("stream", session_id=session, count=100, text="word ")

        assert text_of(client.events(until="message.complete")) == "word " * 100
        assert client.call("environment")["pid"] == server.pid
        assert not children(server.pid)

    def test_stops(self, server: Server, world: World) -> None:
        client = server.client()
        session = client.call("session.create")["session_id"]

        server.terminate()

        assert "is stopping" in client.notice()
        assert client.closed()[0] == 1001
        assert server.ended(limit=15) == -signal.SIGTERM
        assert (world.directory / "mark").read_text() == session

    def test_late_frames_reach_nobody(self, server: Server) -> None:
        client = server.client()

        assert client.call("late.event") == {}

        assert client.call("echo") == {}
        assert "a secret that must not be printed" not in server.output

    def test_hermes_is_absent(self, world: World, free_port: int) -> None:
        server = world.twistd(free_port, "--backend=inprocess")

        assert "Hermes cannot be served." in server.client(ready=False).notice()


class TestFrames:
    """On one server: they do it no harm."""

    def test_clients_are_kept_apart(self, shared: Server) -> None:
        clients = {name: shared.client() for name in ("left ", "right ")}
        for name, client in clients.items():
            session = client.call("session.create")["session_id"]
            client.call("stream", session_id=session, count=500, text=name)

        for name, client in clients.items():
            events = client.events(until="message.complete")
            sessions = {event["session_id"] for event in events if event.get("session_id")}
            deltas = [event for event in events if event["type"] == "message.delta"]
            assert len(sessions) == 1
            assert "".join(event["payload"]["text"] for event in deltas) == name * 500

    def test_large_result(self, shared: Server) -> None:
        result = shared.client().call("result.of_size", bytes=20_000_000)

        assert result["text"] == "x" * 20_000_000

    def test_largest_request(self, shared: Server) -> None:
        """One MiB below the limit: all of it comes back."""
        text = "x" * (15 * 1024 * 1024)

        assert shared.client().call("echo", text=text)["text"] == text

    def test_request_that_is_too_large(self, shared: Server) -> None:
        client = shared.client()

        client.request("echo", text="x" * (16 * 1024 * 1024))

        assert client.closed()[0] == 1009
        assert shared.client().call("echo") == {}

    def test_binary_message(self, shared: Server) -> None:
        client = shared.client()

        client.socket.send(b"{}")

        assert client.closed()[0] == 1003

    def test_many_requests_at_once(self, shared: Server) -> None:
        client = shared.client()
        asked = [client.request("echo", n=n) for n in range(2000)]

        assert [client.answer(request)["result"]["n"] for request in asked] == list(range(2000))

    def test_wrong_key(self, shared: Server) -> None:
        key, shared.key = shared.key, "a" * 43
        try:
            with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
                shared.client()
        finally:
            shared.key = key

        assert refused.value.response.status_code == 401
        assert b"hermes-attach key list" in refused.value.response.body

    def test_pages(self, shared: Server) -> None:
        shared.client()

        assert get(shared.port, "/health") == (200, '{"status": "ok"}\n')
        assert get(shared.port, "/ready") == (200, '{"status": "ready"}\n')
        status, page = get(shared.port, "/")
        assert status == 200
        assert "HERMES_TUI_GATEWAY_URL" in page
        assert shared.key not in page

    def test_late_frames_reach_nobody(self, shared: Server) -> None:
        """Hermes writes what belongs to no client to its standard output."""
        client = shared.client()

        assert client.call("late.event") == {}

        assert client.call("echo") == {}
        assert "a secret that must not be printed" not in shared.output


def get(port: int, path: str) -> tuple[int, str]:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        with client.makefile("rb") as file:
            head, _, body = file.read().partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


@pytest.fixture(scope="class")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    world = World(tmp_path_factory.mktemp("shared"))
    world.use_stub()
    try:
        yield world.twistd(find_port())
    finally:
        world.close()
