from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from hermes_twisted.hermes.loading import (
    OPTIONAL_HOOKS,
    REQUIRED_HOOKS,
    check_config,
    import_server,
    look,
    replay_epoch,
)
from hermes_twisted.shared.problem import Problem
from hermes_twisted.shared.schema import Findings, decode, encode

MakeServer = Callable[..., ModuleType]

pytestmark = pytest.mark.usefixtures("no_hermes")


def problem(call: Callable[[], Any]) -> Problem:
    with pytest.raises(Problem) as caught:
        call()
    assert caught.value.advice
    return caught.value


# config.yaml


class BadYaml(Exception):
    """As PyYAML's: with the place where it went wrong."""

    problem_mark: Any = SimpleNamespace(line=4)


class FakeYaml(ModuleType):
    """PyYAML, as far as JSON is YAML."""

    def safe_load(self, text: str) -> Any:
        if text == "unmarked":
            raise RecursionError
        try:
            return json.loads(text) if text else None
        except ValueError:
            raise BadYaml("could not find: secret") from None


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Hermes' configuration is, under a Python that has PyYAML."""
    monkeypatch.setitem(sys.modules, "yaml", FakeYaml("yaml"))
    return tmp_path / "config.yaml"


@pytest.mark.parametrize("text", [None, "", "{}", '{"model": "x"}'])
def test_good_config(config: Path, text: str | None) -> None:
    """A configuration that is absent, empty or a mapping is fine."""
    if text is not None:
        config.write_text(text)

    check_config()


def test_config_that_is_not_yaml(config: Path) -> None:
    """A broken configuration is refused with its place, and not quoted."""
    config.write_text("model: [secret")

    refused = problem(check_config)

    assert f"{config} is not valid YAML, line 5." in refused.what
    assert "secret" not in str(refused)


def test_config_that_breaks_the_parser(config: Path) -> None:
    """Whatever the parser raises is a broken configuration."""
    config.write_text("unmarked")

    assert f"{config} is not valid YAML." in problem(check_config).what


@pytest.mark.parametrize("text", ["[]", '"x"', "5", "false"])
def test_config_that_is_no_mapping(config: Path, text: str) -> None:
    """A configuration that Hermes would take for an empty one is refused."""
    config.write_text(text)

    assert f"{config} is not a mapping" in problem(check_config).what


def test_config_that_cannot_be_read(config: Path) -> None:
    """A configuration that cannot be read is refused with the kind of failure."""
    config.mkdir()

    refused = problem(check_config)

    assert f"{config} cannot be read (IsADirectoryError)" in refused.what
    assert "--hermes-home" in refused.advice


def test_config_that_is_not_utf8(config: Path) -> None:
    """A configuration in another encoding is refused."""
    config.write_bytes(b"\xff")

    assert "cannot be read (UnicodeDecodeError)" in problem(check_config).what


def test_home_that_cannot_be_entered(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home directory that we may not enter is refused in words."""
    stat = os.stat

    def hidden(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
        if os.fspath(path) == str(config):
            raise PermissionError(13, "Permission denied", str(config))
        return stat(path, *args, **kwargs)

    config.write_text("{}")
    monkeypatch.setattr(os, "stat", hidden)
    monkeypatch.setattr(Path, "read_text", lambda *args, **kwargs: hidden(args[0]))

    assert str(config) in problem(check_config).what


def test_config_without_yaml(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyYAML is absent so is Hermes, and that is said elsewhere."""
    config.write_text("]")
    monkeypatch.setitem(sys.modules, "yaml", None)

    check_config()


def test_config_of_the_default_home(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without HERMES_HOME it is the configuration in ~/.hermes that counts."""
    monkeypatch.delenv("HERMES_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".hermes").mkdir()
    (tmp_path / ".hermes" / "config.yaml").write_text("]")

    assert str(tmp_path / ".hermes" / "config.yaml") in problem(check_config).what


# The import


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install a `tui_gateway.server` with this source."""

    def write(source: str) -> None:
        package = tmp_path / "site" / "tui_gateway"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "server.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path / "site"))

    return write


Install = Callable[[str], None]


def test_import(install: Install) -> None:
    """What is imported is `tui_gateway.server`."""
    install("x = 5\n")

    server = import_server()

    assert (server.__name__, server.x) == ("tui_gateway.server", 5)


@pytest.mark.parametrize("fails", [False, True])
def test_import_leaves_the_process_alone(install: Install, fails: bool) -> None:
    """Stdout and the exception hooks are as before, even when the import fails."""
    install(
        "import sys, threading\n"
        "sys.stdout = sys.stderr\n"
        "sys.excepthook = threading.excepthook = lambda *_: None\n"
        + ("raise RuntimeError('x')\n" if fails else "")
    )
    before = sys.stdout, sys.excepthook, threading.excepthook

    if fails:
        problem(import_server)
    else:
        import_server()

    assert (sys.stdout, sys.excepthook, threading.excepthook) == before


def test_no_hermes_here() -> None:
    """Without Hermes the refusal names the interpreter and the option."""
    refused = problem(import_server)

    assert refused.what.startswith("No Hermes with a terminal gateway")
    assert sys.executable in refused.what
    assert "--hermes-python" in refused.advice


def test_hermes_without_the_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of that name without a server is no Hermes that can be served."""
    (tmp_path / "site" / "tui_gateway").mkdir(parents=True)
    (tmp_path / "site" / "tui_gateway" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    assert problem(import_server).what.startswith("No Hermes with a terminal gateway")


def test_hermes_lacks_a_module(install: Install) -> None:
    """A Hermes that lacks a dependency is broken, and the module is named."""
    install("import a_module_that_is_absent\n")

    refused = problem(import_server)

    assert "is broken: it lacks the module a_module_that_is_absent" in refused.what


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("raise RuntimeError('a secret')", "RuntimeError"),
        ("from json import absent_name", "ImportError"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_hermes_cannot_be_imported(
    install: Install, caplog: pytest.LogCaptureFixture, source: str, kind: str
) -> None:
    """A Hermes that fails to import is broken; the log has the traceback, the text has not."""
    install(source)

    refused = problem(import_server)

    assert f"its import failed with {kind}." in refused.what
    assert "a secret" not in str(refused)
    assert kind in caplog.text


def test_hermes_that_exits(install: Install) -> None:
    """A Hermes that ends the process when it is imported is broken like any other."""
    install("raise SystemExit('no configuration')")

    assert "is broken" in problem(import_server).what


# The look at what is there


def test_look_at_the_least(make_server: MakeServer) -> None:
    """A Hermes with the required hooks only can be served; what it lacks is reported."""
    findings = look(make_server())

    assert findings.hooks == ()
    assert findings.left_out == OPTIONAL_HOOKS
    assert findings.methods == 2
    assert findings.python == sys.version.split()[0]
    assert findings.mcp_discovery is False


def test_look_at_all(make_server: MakeServer) -> None:
    """A Hermes with every hook lacks nothing."""
    findings = look(make_server(*OPTIONAL_HOOKS))

    assert findings.hooks == OPTIONAL_HOOKS
    assert findings.left_out == ()


def test_look_at_some(make_server: MakeServer) -> None:
    """Hooks are found one by one; one that cannot be called is none."""
    server = make_server("register_live_transport", "_shutdown_sessions")
    server._ensure_skin_watcher = None  # type: ignore[attr-defined]

    findings = look(server)

    assert findings.hooks == ("_shutdown_sessions", "register_live_transport")
    assert set(findings.hooks + findings.left_out) == set(OPTIONAL_HOOKS)


@pytest.mark.parametrize(
    ("name", "hook"),
    [
        ("_close_sessions_for_transport", lambda transport: None),
        ("_close_sessions_for_transport", lambda transport, *, reason: None),
        ("_shutdown_sessions", lambda deadline: None),
        ("register_live_transport", lambda: None),
        ("register_live_transport", lambda transport, profile: None),
    ],
)
def test_hook_that_has_changed(make_server: MakeServer, name: str, hook: Any) -> None:
    """A hook that does not take our call is left out, and it is said that it is there."""
    server = make_server(*OPTIONAL_HOOKS)
    setattr(server, name, hook)

    findings = look(server)

    assert name not in findings.hooks
    assert findings.left_out == findings.changed == (name,)


def test_hook_that_has_grown(make_server: MakeServer) -> None:
    """One that takes our call and more is called."""
    server = make_server()
    server._shutdown_sessions = lambda deadline=None: None  # type: ignore[attr-defined]

    assert look(server).hooks == ("_shutdown_sessions",)


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("resolve_skin", lambda profile: {}, "resolve_skin()"),
        ("resolve_skin", None, "resolve_skin()"),
        ("_sessions", [], "_sessions (a mapping)"),
        ("_methods", {"echo"}, "_methods (a mapping)"),
        ("dispatch", None, "dispatch(req, transport)"),
    ],
)
def test_required_hook_that_has_changed(
    make_server: MakeServer, name: str, value: Any, named: str
) -> None:
    """What we cannot do without has to be as we know it; the refusal says what is not."""
    server = make_server()
    setattr(server, name, value)

    assert f"has no {named}." in problem(lambda: look(server)).what


def test_methods_answered_in_its_place(make_server: MakeServer) -> None:
    """What newer UIs poll is answered here just where Hermes does not know it."""
    server = make_server()
    assert look(server).answered_here == ("pet.cells", "session.active_list")

    server._methods["session.active_list"] = None

    assert look(server).answered_here == ("pet.cells",)


@pytest.mark.parametrize(
    ("source", "promised"),
    [
        ("async def handle_ws(ws):\n    x = {'change_events': True, 'heartbeat': True}", 2),
        ("def ready():\n    return build(heartbeat=True)\n", 1),
        ("async def handle_ws(ws):\n    x = {'skin': 1}", 0),
        ("heartbeat = True", 0),
    ],
)
def test_promises_of_the_ready_frame(
    install: Install, make_server: MakeServer, tmp_path: Path, source: str, promised: int
) -> None:
    """We promise in `gateway.ready` what upstream's own handler does."""
    install("")
    (tmp_path / "site" / "tui_gateway" / "ws.py").write_text(source)

    promises = look(make_server()).promises

    assert len(promises) == promised
    assert set(promises) <= {"change_events", "heartbeat"}


@pytest.mark.parametrize(
    ("source", "epoch"),
    [
        ("def replay_epoch(): return 'abc'", "abc"),
        ("def replay_epoch(): return 5", None),
        ("def replay_epoch(sid): return 'abc'", None),
        ("", None),
        (None, None),
    ],
)
def test_replay_epoch(
    install: Install, make_server: MakeServer, tmp_path: Path, source: str | None, epoch: str | None
) -> None:
    """Where Hermes numbers its events, the numbering has a name."""
    install("")
    if source is not None:
        (tmp_path / "site" / "tui_gateway" / "event_replay.py").write_text(source)

    assert replay_epoch() == epoch
    assert look(make_server()).replays is (epoch is not None)


def test_findings_can_be_sent(make_server: MakeServer) -> None:
    """The findings are a message for the front."""
    findings = look(make_server("_shutdown_sessions"))

    assert decode(Findings, encode(findings)) == findings


@pytest.mark.parametrize("name", REQUIRED_HOOKS)
def test_required_hook_is_missing(make_server: MakeServer, name: str) -> None:
    """A Hermes that lacks what a terminal is served with is refused by the hook's name."""
    server = make_server(*OPTIONAL_HOOKS)
    delattr(server, name)

    refused = problem(lambda: look(server))

    assert f"has no {name}." in refused.what
    assert sys.executable in refused.what
    assert "0.14 or later" in refused.advice


def test_all_that_is_missing_is_named() -> None:
    """A refusal names everything that is missing."""
    text = problem(lambda: look(ModuleType("tui_gateway.server"))).what

    assert all(name in text for name in REQUIRED_HOOKS)


@pytest.mark.parametrize(
    ("dispatch", "good"),
    [
        (lambda req, transport=None: None, True),
        (lambda req, transport: None, True),
        (lambda req, t=None, *, extra=None: None, True),
        (lambda *args, **kwargs: None, True),
        (lambda req: None, False),
        (lambda req, *, transport=None: None, False),
        (lambda req, transport, something: None, False),
        (lambda: None, False),
    ],
)
def test_dispatch_takes_a_transport(
    make_server: MakeServer, dispatch: Callable[..., None], good: bool
) -> None:
    """A dispatcher that takes no transport (before 0.13) cannot serve a client."""
    server = make_server()
    server.dispatch = dispatch  # type: ignore[attr-defined]

    if good:
        look(server)
    else:
        assert "dispatch(req, transport)" in problem(lambda: look(server)).what


def test_version(make_server: MakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version is what the installed distribution says; without one it is unknown."""
    assert look(make_server()).version == "(version unknown)"
    info = tmp_path / "site" / "hermes_agent-0.19.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hermes-agent\nVersion: 0.19.0\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    assert look(make_server()).version == "0.19.0"


@pytest.mark.parametrize(
    ("handler", "startup", "wanted"),
    [
        ("from hermes_cli.mcp_startup import start_background_mcp_discovery as start", "def", True),
        ("import hermes_cli.mcp_startup as m; m.start_background_mcp_discovery()", "def", True),
        ("pass", "def", False),
        ("x = 'start_background_mcp_discovery'", "def", False),
        ("from hermes_cli.mcp_startup import start_background_mcp_discovery", "none", False),
        ("from hermes_cli.mcp_startup import start_background_mcp_discovery", "absent", False),
        (None, "def", False),
    ],
)
def test_who_starts_mcp(
    install: Install,
    make_server: MakeServer,
    tmp_path: Path,
    handler: str | None,
    startup: str,
    wanted: bool,
) -> None:
    """MCP discovery is ours to start just where upstream's socket handler starts it."""
    install("")
    site = tmp_path / "site"
    if handler is not None:
        (site / "tui_gateway" / "ws.py").write_text(f"async def handle_ws(ws):\n    {handler}\n")
    if startup != "absent":
        (site / "hermes_cli").mkdir()
        (site / "hermes_cli" / "__init__.py").touch()
        body = "def start_background_mcp_discovery(): pass\n" if startup == "def" else ""
        (site / "hermes_cli" / "mcp_startup.py").write_text(body)

    assert look(make_server()).mcp_discovery is wanted


def test_socket_handler_of_another_kind(install: Install, make_server: MakeServer) -> None:
    """A socket handler that is no plain function tells nothing, and breaks nothing."""
    install("")
    ws, startup = ModuleType("tui_gateway.ws"), ModuleType("hermes_cli.mcp_startup")
    ws.handle_ws = object()  # type: ignore[attr-defined]
    sys.modules.update({"tui_gateway.ws": ws, "hermes_cli.mcp_startup": startup})

    assert look(make_server()).mcp_discovery is False


def test_the_stub_is_a_hermes(stub: None) -> None:
    """The stub that other tests use has what 0.19 has, as far as we look."""
    findings = look(import_server())

    assert {"_close_sessions_for_transport", "_shutdown_sessions"} <= set(findings.hooks)


def test_problem_in_words() -> None:
    """A problem reads as one text: what is wrong, then what to do."""
    assert str(Problem("It is broken.", "Mend it.")) == "It is broken. Mend it."
