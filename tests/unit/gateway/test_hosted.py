"""What a gateway's operator decides, which key is honoured, whose loop the reactor runs on."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import formatEvent, globalLogPublisher

from hermes_twisted.gateway.hosted import FIXED, WHERE, find_keys, read_settings
from hermes_twisted.limits import Limits
from hermes_twisted.server import attach_lines
from hermes_twisted.server.settings import Settings
from hermes_twisted.shared.problem import Problem

HOME = Path("/some/home")
GOOD = "k3y-for_tests-0123456789abcdef"
OTHER = "k3y-of_others-0123456789abcdef"


@contextlib.contextmanager
def log_of(namespace: str) -> Iterator[list[str]]:
    """What a module logs with Twisted's logger."""
    lines: list[str] = []

    def observe(event: dict[str, Any]) -> None:
        if event.get("log_namespace") == namespace:
            lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    try:
        yield lines
    finally:
        globalLogPublisher.removeObserver(observe)


class TestSettings:
    """`platforms.attach.extra` in Hermes' `config.yaml`."""

    def test_names_are_those_of_the_options(self) -> None:
        given = {"port": 9000, "max-connections": 3, "allow-host": ["a", "B"], "drain": "1m"}

        settings = read_settings(given, {}, HOME)

        assert settings.listeners[0].description.startswith("tcp:9000:interface=127.0.0.1")
        assert settings.limits.max_connections == 3
        assert settings.hosts == {"a", "b"}
        assert settings.drain == 60
        assert not settings.accept_api_server_key

    def test_defaults_are_those_of_the_other_home(self) -> None:
        settings = read_settings({}, {}, HOME)

        assert settings == Settings.gather({"hermes-home": str(HOME), "backend": "inprocess"}, {})
        assert settings.home == HOME
        assert settings.limits == Limits()

    def test_the_environment_wins(self) -> None:
        settings = read_settings({"port": 9000}, {"HERMES_ATTACH_PORT": "9001"}, HOME)

        assert settings.listeners[0].description.startswith("tcp:9001:")

    @pytest.mark.parametrize("name", FIXED)
    def test_what_the_gateway_decides(self, name: str) -> None:
        """Refused where it was written for this server; the environment is for both homes."""
        with pytest.raises(Problem, match=f"{name} has no meaning inside a gateway"):
            read_settings({name: "x"}, {}, HOME)

        variable = "HERMES_ATTACH_" + name.upper().replace("-", "_")
        assert read_settings({}, {variable: "/x"}, HOME) == read_settings({}, {}, HOME)

    def test_unknown_names(self) -> None:
        """Refused, with the name that was meant."""
        told = f"{WHERE}: there is no setting 'prot'; did you mean port\\?"
        with pytest.raises(Problem, match=told):
            read_settings({"prot": 1}, {}, HOME)

    def test_contradictions(self) -> None:
        """Both are named, with where they are."""
        told = f"port in {WHERE} contradict"
        with pytest.raises(Problem, match=told):
            read_settings({"port": 9, "listen": ["tcp:1"]}, {}, HOME)

    def test_hermes_is_the_one_around_us(self) -> None:
        assert read_settings({"session-grace": 3}, {}, HOME).backend == "inprocess"

    def test_unknown_variables(self) -> None:
        """Logged, not refused: a variable may be for another version."""
        with log_of("hermes_twisted.gateway.hosted") as lines:
            read_settings({}, {"HERMES_ATTACH_PROT": "1", "HERMES_ATTACH_KEY": "k"}, HOME)

        assert lines == [
            "HERMES_ATTACH_PROT in the environment is no setting, and is ignored; did you mean "
            "HERMES_ATTACH_PORT?"
        ]

    @pytest.mark.parametrize("name", ["allow_plaintext", "accept_api_server_key"])
    def test_underscores(self, name: str) -> None:
        """A name that was meant to be ours; Hermes' own have underscores too and are left."""
        with pytest.raises(Problem, match=f"Write {name.replace('_', '-')}"):
            read_settings({name: True}, {}, HOME)

        read_settings({"_enabled_explicit": True, "group_sessions_per_user": True}, {}, HOME)

    def test_wrong_values(self) -> None:
        with pytest.raises(Problem, match=f"{WHERE}: port ="):
            read_settings({"port": "many"}, {}, HOME)
        with pytest.raises(Problem, match="listen has a value of the wrong type"):
            read_settings({"listen": "tcp:1"}, {}, HOME)

    @pytest.mark.parametrize(
        ("given", "variable", "accept"),
        [
            (None, "", False),
            (True, "", True),
            ("yes", "", True),
            (False, "", False),
            (None, "1", True),
            (True, "0", False),
        ],
    )
    def test_accept(self, given: object, variable: str, accept: bool) -> None:
        """The REST API server's key is not accepted unless somebody says so."""
        table = {} if given is None else {"accept-api-server-key": given}
        environ = {"HERMES_ATTACH_ACCEPT_API_SERVER_KEY": variable}

        assert read_settings(table, environ, HOME).accept_api_server_key is accept


class TestKeys:
    """Which keys admit: those of the other home."""

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return read_settings({}, {}, tmp_path)

    def test_none(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a terminal nobody would see the first one: none is made."""
        monkeypatch.setattr(attach_lines, "has_terminal", lambda: False)

        with pytest.raises(Problem, match="hermes-attach key new NAME"):
            find_keys(settings, {})

    def test_the_first_in_a_terminal(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(attach_lines, "has_terminal", lambda: True)

        assert find_keys(settings, {}).is_first_start

    def test_of_the_environment(self, settings: Settings) -> None:
        keys = find_keys(settings, {"HERMES_ATTACH_KEY": GOOD})

        assert keys.find(GOOD.encode()) is not None
        assert keys.find(OTHER.encode()) is None

    def test_of_the_api_server(self, settings: Settings, tmp_path: Path) -> None:
        """Beside the others, and only if it is accepted."""
        environ = {"HERMES_ATTACH_KEY": GOOD, "API_SERVER_KEY": OTHER}
        accepting = read_settings({"accept-api-server-key": True}, {}, tmp_path)

        assert find_keys(settings, environ).find(OTHER.encode()) is None
        keys = find_keys(accepting, environ)
        assert keys.find(OTHER.encode()) is not None
        assert keys.find(GOOD.encode()) is not None

    def test_weak(self, tmp_path: Path) -> None:
        """Refused by the name of where it is from, never by itself."""
        accepting = read_settings({"accept-api-server-key": True}, {}, tmp_path)

        with pytest.raises(Problem, match="The API server's key") as refused:
            find_keys(accepting, {"API_SERVER_KEY": "changeme"})
        assert "changeme" not in str(refused.value)


def in_a_loop(body: str, before: str = "") -> str:
    """What a fresh interpreter prints that runs *body* in a loop of its own."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    code = (
        "import asyncio, signal, threading\n"
        "from hermes_twisted.server.reactor import WrongReactor, adopt_running_loop\n"
        f"{before}\n"
        f"async def main():\n{lines}"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class TestAdopt:
    """The reactor on a loop that is somebody else's."""

    @pytest.mark.parametrize("method", ["stop", "crash"])
    def test_the_loop_goes_on(self, method: str) -> None:
        """And so does the reactor."""
        said = in_a_loop(
            "reactor = adopt_running_loop()\n"
            f"reactor.{method}()\n"
            "done = asyncio.get_running_loop().create_future()\n"
            "reactor.callLater(0, lambda: reactor.callLater(0, done.set_result, None))\n"
            "await done\n"
            "print(reactor.running)"
        )

        assert said == "True"

    def test_twice(self) -> None:
        """A platform is connected again."""
        assert in_a_loop("print(adopt_running_loop() is adopt_running_loop())") == "True"

    def test_no_signal_handler(self) -> None:
        said = in_a_loop(
            "def handlers():\n"
            "    return [signal.getsignal(number) for number in signal.valid_signals()]\n"
            "before = handlers()\n"
            "reactor = adopt_running_loop()\n"
            "await asyncio.sleep(0)\n"
            "print(handlers() == before)"
        )

        assert said == "True"

    def test_another_reactor(self) -> None:
        """Found, named, left alone."""
        said = in_a_loop(
            "try:\n    adopt_running_loop()\nexcept WrongReactor as wrong:\n    print(wrong.found)",
            "from twisted.internet import selectreactor; selectreactor.install()",
        )

        assert said == "SelectReactor"

    def test_another_loop(self) -> None:
        """Of a gateway that was started before in this process."""
        said = in_a_loop(
            "try:\n    adopt_running_loop()\nexcept WrongReactor as wrong:\n    print(wrong.found)",
            "async def former(): adopt_running_loop()\nasyncio.run(former())",
        )

        assert said == "AsyncioSelectorReactor on another event loop"
