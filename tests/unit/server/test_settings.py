from __future__ import annotations

import dataclasses
import json
import pwd
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from hermes_twisted.backends.scripted import ScriptedOptions
from hermes_twisted.backends.worker_spec import WorkerOptions
from hermes_twisted.config.environment import default_home, read_environment
from hermes_twisted.config.option import Option
from hermes_twisted.limits import Limits
from hermes_twisted.listen.endpoints import Listener, TLSChoice
from hermes_twisted.listen.peers import TrustedProxies
from hermes_twisted.server.settings import Settings, options
from hermes_twisted.shared.problem import Problem

HOME = {"HERMES_HOME": "/srv/hermes"}
MIB = 1024 * 1024


def gather(given: dict[str, Any] | None = None, environ: dict[str, str] | None = None) -> Settings:
    return Settings.gather(given or {}, {**HOME, **(environ or {})})


def complaint(given: dict[str, Any] | None = None, environ: dict[str, str] | None = None) -> str:
    """What the operator is told of a setting that cannot be used."""
    with pytest.raises(Problem) as caught:
        gather(given, environ)
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "attach.toml"


def from_file(file: Path, content: str, **environ: str) -> Settings:
    file.write_text(content, encoding="utf-8")
    return gather({"config": str(file)}, environ)


def complaint_about_file(file: Path, content: str) -> str:
    file.write_text(content, encoding="utf-8")
    return complaint({"config": str(file)})


def test_defaults() -> None:
    """Without any setting: loopback only, the worker, the documented limits."""
    settings = gather()

    assert settings == Settings(
        port=8643,
        hermes_home=Path("/srv/hermes"),
        audit_file=Path("/srv/hermes/attach/audit.jsonl"),
        audit_max_bytes=10 * MIB,
        audit_keep=5,
        control=Path("/srv/hermes/attach/control.sock"),
        limits=Limits(),
        backend_options=WorkerOptions(hermes_python=None, session_grace=300.0),
    )
    assert settings.listeners == (Listener("tcp:8643:interface=127.0.0.1:backlog=1024"),)
    assert settings.home == Path("/srv/hermes")


def test_everything_can_be_given() -> None:
    """Every option reaches the setting that it names."""
    settings = gather(
        {
            "listen": ["tcp:1:interface=127.0.0.1", "unix:/run/a.sock:mode=600"],
            "allow-plaintext": 1,
            "tls-cert": "/etc/a.crt",
            "tls-key": "/etc/a.key",
            "tls-client-ca": "/etc/clients.pem",
            "allow-host": ["Attach.Example", "b"],
            "allow-origin": ["https://mine.example"],
            "trust-forwarded-from": ["127.0.0.1", "2001:db8::/32", "unix"],
            "key-file": "/etc/key",
            "accept-api-server-key": 1,
            "backend": "worker",
            "hermes-home": "/home/h",
            "hermes-python": "/venv/bin/python",
            "drain": "20",
            "ping-interval": "5s",
            "session-grace": "21",
            "dead-after": "30m",
            "max-connections": "5",
            "max-pending": "6",
            "max-message": "7k",
            "max-depth": "20",
            "max-containers": "21",
            "max-unread": "22k",
            "max-queued-total": "23m",
            "max-waiting-requests": "8",
            "max-waiting-bytes": "9M",
            "max-queued-soft": "10 MiB",
            "max-queued-hard": "11MB",
            "max-threads": "12",
            "handshake-timeout": "13s",
            "log-format": "json",
            "log-level": "warn",
            "audit-file": "/var/log/audit.jsonl",
            "audit-max-bytes": "14k",
            "audit-keep": "15",
            "metrics-need-key": 1,
            "control": "/run/control.sock",
            "max-unfinished": "14m",
            "max-fragments": "15",
            "compress": 1,
            "max-header": "16k",
            "max-header-lines": "17",
            "max-body": "18k",
            "close-timeout": "19s",
        }
    )

    assert settings == Settings(
        listen=("tcp:1:interface=127.0.0.1", "unix:/run/a.sock:mode=600"),
        hermes_home=Path("/home/h"),
        allow_plaintext=True,
        tls_cert=Path("/etc/a.crt"),
        tls_key=Path("/etc/a.key"),
        tls_client_ca=Path("/etc/clients.pem"),
        allow_host=("attach.example", "b"),
        allow_origin=("https://mine.example",),
        trust_forwarded_from=("127.0.0.1", "2001:db8::/32", "unix"),
        key_file=Path("/etc/key"),
        accept_api_server_key=True,
        backend="worker",
        backend_options=WorkerOptions(
            hermes_python=Path("/venv/bin/python"),
            session_grace=21.0,
        ),
        drain=20.0,
        log_format="json",
        log_level="warn",
        audit_file=Path("/var/log/audit.jsonl"),
        audit_max_bytes=14 * 1024,
        audit_keep=15,
        metrics_need_key=True,
        control=Path("/run/control.sock"),
        limits=Limits(
            max_message=7 * 1024,
            max_depth=20,
            max_containers=21,
            max_unread=22 * 1024,
            max_queued_total=23 * MIB,
            max_waiting_requests=8,
            max_waiting_bytes=9 * MIB,
            max_queued_soft=10 * MIB,
            max_queued_hard=11 * MIB,
            max_threads=12,
            urgent_threads=3,
            max_connections=5,
            max_pending=6,
            handshake_timeout=13.0,
            ping_interval=5.0,
            dead_after=1800.0,
            max_unfinished=14 * MIB,
            max_fragments=15,
            compress=True,
            max_header=16 * 1024,
            max_header_lines=17,
            max_body=18 * 1024,
            close_timeout=19.0,
        ),
    )
    assert settings.listeners == (
        Listener("tcp:1:interface=127.0.0.1", tls=True),
        Listener("unix:/run/a.sock:mode=600"),
    )
    assert settings.tls_choice == TLSChoice(
        Path("/etc/a.crt"), Path("/etc/a.key"), client_ca=Path("/etc/clients.pem")
    )
    assert settings.hosts == {"attach.example", "b"}
    assert settings.origins == {b"https://mine.example"}
    assert settings.proxies == TrustedProxies(
        (ip_network("127.0.0.1/32"), ip_network("2001:db8::/32")), unix=True
    )


def test_the_recording_can_be_given() -> None:
    """The scripted backend has an option of its own."""
    settings = gather({"backend": "scripted", "script": "/tmp/talk.jsonl"})

    assert settings.backend == "scripted"
    assert settings.backend_options == ScriptedOptions(script=Path("/tmp/talk.jsonl"))


#: A value for each kind that is nobody's default.
SAMPLES = {
    "PORT": "7", "ENDPOINT": "tcp:7", "HOST": "a", "ORIGIN": "https://a", "PROXY": "10.0.0.7",
    "self": "self", "PATH": "/a/7", "NAME": "a.example", "BACKEND": "inprocess", "TIME": "7",
    "COUNT": "7", "SIZE": "7m", "FORMAT": "json", "LEVEL": "error", "": "yes",
}  # fmt: skip
#: What some options need beside them.
NEEDED = {
    "tls-key": {"tls-cert": "/a"},
    "tls-name": {"tls": "self"},
    "tls-client-ca": {"tls": "self"},
    "script": {"backend": "scripted"},
    "max-unfinished": {"max-message": "7m"},
    "max-queued-hard": {"max-queued-soft": "7m"},
    "max-queued-total": {"max-queued-soft": "7m", "max-queued-hard": "7m"},
}


@pytest.mark.parametrize("option", list(options()), ids=lambda option: option.name)
def test_each_option_reaches_its_field(option: Option, tmp_path: Path) -> None:
    """By its one name, on the command line, in the environment, and in the file."""
    sample = SAMPLES[option.kind.metavar]
    if option.name == "config":
        sample = str(tmp_path / "empty.toml")
        Path(sample).touch()
    needed = NEEDED.get(option.name, {})
    value: Any = [sample] if option.repeated else sample

    on_the_command_line = gather({option.name: value, **needed})
    in_the_environment = gather(needed, {option.variable: sample})

    holders = (on_the_command_line, on_the_command_line.limits, on_the_command_line.backend_options)
    (found,) = [getattr(it, option.field) for it in holders if hasattr(it, option.field)]
    meant = option.kind.parse(sample)
    if option.name not in ("no-audit", "no-control"):
        assert found == ((meant,) if option.repeated else meant)
        assert found != option.default
    assert in_the_environment == on_the_command_line
    if option.name != "config":
        file = tmp_path / "attach.toml"
        file.write_text(f"{option.name} = {json.dumps(value)}")
        settings = gather({"config": str(file), **needed})
        assert dataclasses.replace(settings, config=None) == on_the_command_line


def test_no_audit() -> None:
    """The audit log can be switched off."""
    assert gather({"no-audit": 1}).audit_file is None
    assert gather(environ={"HERMES_ATTACH_NO_AUDIT": "yes"}).audit_file is None


def test_no_control() -> None:
    """The control socket can be left out."""
    assert gather({"no-control": 1}).control is None
    assert gather(environ={"HERMES_ATTACH_NO_CONTROL": "yes"}).control is None


def test_a_control_socket_needs_a_short_path() -> None:
    """A path that no socket can have is refused by its option's name; the default one is not."""
    assert gather({"control": "/" + "x" * 106}).control == Path("/" + "x" * 106)
    assert "--control /" in complaint({"control": "/" + "x" * 107})
    assert gather({"hermes-home": "/" + "x" * 107}).control is not None


def test_the_audit_log_is_in_hermes_home() -> None:
    """Wherever that is."""
    assert gather({"hermes-home": "/home/h"}).audit_file == Path("/home/h/attach/audit.jsonl")


def test_port() -> None:
    """A port alone means this port on loopback."""
    [listener] = gather({"port": "9000"}).listeners

    assert listener.description == "tcp:9000:interface=127.0.0.1:backlog=1024"


def test_tls_of_our_own() -> None:
    """`--tls self`, on the default port too, with every name that is given."""
    settings = gather({"tls": "self", "tls-name": ["Attach.Example.", "[::1]", "10.0.0.1"]})

    assert settings.tls_choice == TLSChoice(names=("attach.example", "::1", "10.0.0.1"))
    assert [listener.encrypted for listener in settings.listeners] == [True]


def test_no_tls() -> None:
    """Unless it is asked for."""
    settings = gather()

    assert settings.tls_choice is None
    assert [listener.encrypted for listener in settings.listeners] == [False]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"tls": "yes"}, "--tls 'yes': must be self; a certificate of yours is given with"),
        ({"tls": "self", "tls-cert": "/a"}, "contradict"),
        ({"tls-key": "/a"}, "--tls-key needs --tls-cert"),
        ({"tls-client-ca": "/a"}, "--tls-client-ca needs TLS"),
        ({"tls": "self", "listen": ["unix:/a"]}, "--listen names none of them"),
        ({"tls": "self", "tls-name": ["a b"]}, "must be a DNS name"),
        ({"tls": "self", "tls-name": ["münchen.example"]}, "must be a DNS name"),
        ({"tls": "self", "tls-name": [f"{'a' * 64}.example"]}, "must be a DNS name"),
        ({"tls": "self", "tls-name": ["https://a"]}, "must be a DNS name"),
        ({"tls": "self", "tls-name": [""]}, "must be a DNS name"),
    ],
)
def test_bad_tls(given: dict[str, Any], text: str) -> None:
    """What cannot be is named."""
    assert text in complaint(given)


def test_contradiction_with_the_environment() -> None:
    """Wherever the two come from, one has to go."""
    assert "contradict" in complaint({"tls-cert": "/a"}, {"HERMES_ATTACH_TLS": "self"})


def test_wildcard_and_scope() -> None:
    """A certificate may be for all of a domain; an address has no zone there."""
    settings = gather({"tls": "self", "tls-name": ["*.Example", "fe80::1%eth0", "my_host"]})

    assert settings.tls_choice == TLSChoice(names=("*.example", "fe80::1", "my_host"))


def test_listen_replaces_the_port() -> None:
    """An endpoint stands instead of the default port, not beside it."""
    assert gather({"listen": ["tcp:1"]}).listeners == (Listener("tcp:1"),)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("1024", 1024),
        ("1k", 1024),
        ("1K", 1024),
        ("1kB", 1024),
        ("1KiB", 1024),
        (" 2m ", 2 * MIB),
        ("2 MiB", 2 * MIB),
        ("3g", 3 * 1024 * MIB),
        ("5b", 5),
    ],
)
def test_sizes(text: str, size: int) -> None:
    """Sizes may have a unit; k, m and g are powers of 1024."""
    assert gather({"max-body": text}).limits.max_body == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("30", 30.0), ("0.5", 0.5), ("90s", 90.0), ("15m", 900.0), ("1.5H", 5400.0)],
)
def test_times(text: str, seconds: float) -> None:
    """Times are seconds, or have a unit."""
    assert gather({"drain": text}).drain == seconds


@pytest.mark.parametrize(
    ("threads", "urgent"), [("2", 1), ("3", 1), ("8", 2), ("64", 16), ("1000", 16)]
)
def test_urgent_threads(threads: str, urgent: int) -> None:
    """A quarter of the threads, at least one and at most the default, are kept in reserve."""
    assert gather({"max-threads": threads}).limits.urgent_threads == urgent


def test_precedence(file: Path) -> None:
    """The command line wins over the environment, that over the file, that over the default."""
    file.write_text('port = 1\ndrain = "1"\nmax-pending = 1\n')
    settings = Settings.gather(
        {"config": str(file), "port": "3"},
        {**HOME, "HERMES_ATTACH_PORT": "2", "HERMES_ATTACH_DRAIN": "2"},
    )

    assert settings.listeners[0].description.startswith("tcp:3:")
    assert settings.drain == 2.0
    assert settings.limits.max_pending == 1
    assert settings.limits.max_connections == Limits().max_connections


def test_file_named_in_the_environment(file: Path) -> None:
    """The file may be named by HERMES_ATTACH_CONFIG as well."""
    file.write_text("drain = 3\n")

    assert gather(environ={"HERMES_ATTACH_CONFIG": str(file)}).drain == 3.0


def test_file_types(file: Path) -> None:
    """In the file numbers, booleans, texts and lists may be written as such."""
    settings = from_file(
        file,
        'port = 9\nallow-plaintext = true\ndrain = 1.5\nmax-message = "1k"\n'
        'allow-host = ["a", "b"]\n',
    )

    assert settings.listeners[0].description.startswith("tcp:9:")
    assert settings.allow_plaintext
    assert settings.drain == 1.5
    assert settings.limits.max_message == 1024
    assert settings.hosts == {"a", "b"}


def test_environment_lists() -> None:
    """In the environment a repeated option's values stand apart by white space."""
    settings = gather(environ={"HERMES_ATTACH_LISTEN": "tcp:1  tcp:2"})

    assert [listener.description for listener in settings.listeners] == ["tcp:1", "tcp:2"]


@pytest.mark.parametrize("text", ["1", "true", "YES"])
def test_flag_in_the_environment(text: str) -> None:
    """A flag of the environment may be said in several ways."""
    assert gather(environ={"HERMES_ATTACH_ALLOW_PLAINTEXT": text}).allow_plaintext


@pytest.mark.parametrize("text", ["0", "False", "no", ""])
def test_flag_can_be_off(text: str) -> None:
    """Set does not mean on; empty counts as not set."""
    assert not gather(environ={"HERMES_ATTACH_ALLOW_PLAINTEXT": text}).allow_plaintext


def test_empty_options_are_not_given() -> None:
    """What the command line leaves out does not hide what the environment says."""
    settings = gather(
        {"drain": None, "listen": []},
        {"HERMES_ATTACH_DRAIN": "4", "HERMES_ATTACH_LISTEN": "tcp:1"},
    )

    assert settings.drain == 4.0
    assert settings.listeners == (Listener("tcp:1"),)


def test_paths_are_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A daemon changes its directory: relative paths and ~ are resolved before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")

    assert gather({"key-file": "key"}).key_file == tmp_path / "key"
    assert gather({"key-file": "~/key"}).key_file == Path("/home/me/key")


BAD = [
    # Each names the option, shows the value, and says what would do.
    ("port", "-1", "must be from 0"),
    ("port", "65536", "must be from 0"),
    ("drain", "-1", "must be a time such as"),
    ("drain", "nan", "must be a time such as"),
    ("drain", "inf", "must be a time such as"),
    ("drain", "1e999", "must be a time such as"),
    ("dead-after", "-5m", "must be a time such as"),
    ("handshake-timeout", "-0.1", "must be a time such as"),
    ("handshake-timeout", "0", "above 0"),
    ("dead-after", "0.0m", "above 0"),
    ("ping-interval", "0", "above 0"),
    ("max-message", "0", "must be 1 or more"),
    ("max-message", "-1k", "must be 1 or more"),
    ("max-connections", "0", "must be 1 or more"),
    ("max-pending", "-3", "must be 1 or more"),
    ("max-waiting-requests", "0", "must be 1 or more"),
    ("max-waiting-bytes", "0m", "must be 1 or more"),
    ("max-queued-soft", "0", "must be 1 or more"),
    ("max-queued-hard", "0", "must be 1 or more"),
    ("max-queued-total", "0", "must be 1 or more"),
    ("max-unread", "0", "must be 1 or more"),
    ("max-depth", "0", "must be 1 or more"),
    ("max-containers", "-1", "must be 1 or more"),
    ("max-threads", "0", "must be 1 or more"),
    ("log-format", "xml", "must be one of text, json"),
    ("log-level", "loud", "must be one of debug, info, warn, error"),
    ("backend", "docker", "must be one of worker, inprocess, scripted"),
    ("backend", "Worker", "must be one of worker, inprocess, scripted"),
    ("key-file", "", "must not be empty"),
    ("hermes-home", "", "must not be empty"),
    ("allow-plaintext", "perhaps", "must be true or false"),
]


@pytest.mark.parametrize(("name", "value", "advice"), BAD)
def test_bad_options(name: str, value: str, advice: str) -> None:
    """A bad value is refused with its option, itself, and what would do."""
    text = complaint({name: value})

    assert text.startswith(f"--{name} {value!r}: ")
    assert advice in text


@pytest.mark.parametrize(("name", "value", "advice"), [row for row in BAD if row[1]])
def test_bad_environment(name: str, value: str, advice: str) -> None:
    """A bad value from the environment is refused with its variable."""
    variable = "HERMES_ATTACH_" + name.upper().replace("-", "_")

    text = complaint(environ={variable: value})

    assert text.startswith(f"{variable} {value!r}: ")
    assert advice in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "http"),
        ("port", "80.5"),
        ("port", "0x50"),
        ("drain", "soon"),
        ("drain", "5 minutes"),
        ("drain", "s"),
        ("max-message", "much"),
        ("max-message", "1.5m"),
        ("max-message", "k"),
        ("max-message", "1t"),
        ("max-pending", "ten"),
        ("max-threads", "9" * 5000),
    ],
)
def test_not_a_number(name: str, value: str) -> None:
    """What is no number is refused with its option and itself."""
    assert complaint({name: value}).startswith(f"--{name} {value!r}: ")


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("port", "http", "must be from 0"),
        ("drain", "soon", "must be a time such as"),
        ("max-message", "much", "must be"),
        ("max-pending", "ten", "must be"),
    ],
)
def test_not_a_number_in_words(name: str, value: str, advice: str) -> None:
    """An operator is told what would do, not which function of Python failed."""
    text = complaint({name: value})

    assert advice in text
    assert "literal" not in text
    assert "convert" not in text


def test_unknown_home() -> None:
    """A path in the home directory of somebody unknown is a bad setting."""
    assert complaint({"key-file": "~nobody-of-this-name/key"}).startswith("--key-file ")


@pytest.mark.parametrize("text", ["8643", "tcp", "/run/a.sock", ":8643", "tcp:", " "])
def test_bad_listener(text: str) -> None:
    """What is no endpoint is refused with an example of one."""
    said = complaint({"listen": [text]})

    assert said.startswith(f"--listen {text}: ")
    assert "tcp:8643:interface=127.0.0.1" in said


def test_one_bad_listener_of_several() -> None:
    """Each of several endpoints is checked."""
    assert "nonsense" in complaint({"listen": ["tcp:1", "nonsense"]})


def test_empty_items() -> None:
    """An empty name among several is refused."""
    assert complaint({"allow-host": ["a", ""]}).startswith("--allow-host ['a', '']: ")


@pytest.mark.parametrize("name", ["attach.example", "127.0.0.1", "[2001:db8::1]", "A_b-c.d"])
def test_hosts(name: str) -> None:
    """Names and addresses, in whatever case."""
    assert gather({"allow-host": [name]}).hosts == {name.lower()}


@pytest.mark.parametrize("name", ["a:80", "https://a", "a/b", "2001:db8::1", "a b", "*"])
def test_no_hosts(name: str) -> None:
    """Anything else would never match a header."""
    assert "attach.example" in complaint({"allow-host": [name]})


@pytest.mark.parametrize(
    "origin", ["https://app.example", "http://localhost:3000", "https://[2001:db8::1]:8443"]
)
def test_origins(origin: str) -> None:
    """As a browser writes them."""
    assert gather({"allow-origin": [origin]}).origins == {origin.encode()}


@pytest.mark.parametrize(
    "origin",
    ["null", "file://", "*", "app.example", "https://", "https://a/", "https://A.example",
     "ws://a", "https://a:b", "https://u@a"],
)  # fmt: skip
def test_no_origins(origin: str) -> None:
    """What is no origin, or that of any sandboxed page, may not be allowed."""
    assert "https://app.example" in complaint({"allow-origin": [origin]})


def test_scripted_needs_a_script() -> None:
    """The scripted backend is nothing without a recording."""
    text = complaint({"backend": "scripted"})

    assert "--backend scripted" in text
    assert "--script" in text


def test_soft_above_hard() -> None:
    """The soft limit comes before the hard one; the two may be one."""
    text = complaint({"max-queued-soft": "2m", "max-queued-hard": "1m"})

    assert "--max-queued-soft" in text
    assert "--max-queued-hard" in text
    assert gather({"max-queued-soft": "1m", "max-queued-hard": "1m"}).limits.max_queued_soft == MIB


def test_hard_above_total() -> None:
    """What one client may have waiting, all together may have; the two may be one."""
    text = complaint({"max-queued-hard": "300m"})

    assert "--max-queued-hard" in text
    assert "--max-queued-total" in text
    given = {"max-queued-soft": "1m", "max-queued-hard": "2m", "max-queued-total": "2m"}
    assert gather(given).limits.max_queued_total == 2 * MIB


def test_deeper_than_python() -> None:
    """A depth that no frame could have is refused, so that the limit that is set is the limit."""
    assert "--max-depth must be 500 or less" in complaint({"max-depth": "501"})
    assert gather({"max-depth": "500"}).limits.max_depth == 500


def test_soft_above_the_default_hard() -> None:
    """The two limits are compared after the defaults have been filled in."""
    assert "--max-queued-hard" in complaint({"max-queued-soft": "1g"})


def test_one_thread_is_too_few() -> None:
    """One thread for everything would leave none for an interrupt."""
    text = complaint({"max-threads": "1"})

    assert text.startswith("--max-threads ")
    assert "2 or more" in text


def test_absent_file(tmp_path: Path) -> None:
    """A configuration file that cannot be read is named, with the reason."""
    text = complaint({"config": str(tmp_path / "absent.toml")})

    assert text.startswith(
        f"--config {tmp_path}/absent.toml cannot be read: No such file or directory. "
    )


def test_directory_as_file(tmp_path: Path) -> None:
    """A directory is no configuration file."""
    assert "cannot be read" in complaint({"config": str(tmp_path)})


@pytest.mark.parametrize(
    "content", [b"port", b"port = \n", b'port = "', b"\xff\xfe", b"port=1\nport=2"]
)
def test_file_is_not_toml(file: Path, content: bytes) -> None:
    """A file that is not TOML, or not UTF-8, is named."""
    file.write_bytes(content)

    assert complaint({"config": str(file)}).startswith(f"--config {file} is not valid TOML: ")


@pytest.mark.parametrize(
    "content", ["ports = 1\n", "max_message = 1\n", "[limits]\nx = 1\n", 'config = "other"\n']
)
def test_unknown_setting(file: Path, content: str) -> None:
    """A setting that is not known is refused by name, with where to look it up."""
    text = complaint_about_file(file, content)

    assert content.strip("[").split()[0].rstrip("]") in text
    assert "--help" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "[1]"),
        ("port", "{a = 1}"),
        ("drain", "1979-05-27"),
        ("listen", '"tcp:1"'),
        ("allow-host", "true"),
    ],
)
def test_wrong_type(file: Path, name: str, value: str) -> None:
    """A value of another type than the setting's is refused by name."""
    text = complaint_about_file(file, f"{name} = {value}\n")

    assert text.startswith(f"--config {file}: {name} has a value of the wrong type. Write a ")


def test_bad_value_in_the_file(file: Path) -> None:
    """A bad value in the file is refused with the file, its name and itself."""
    text = complaint_about_file(file, "port = 99999\n")

    assert text.startswith(f"--config {file}: port = 99999: ")
    assert "must be from 0" in text


@pytest.mark.parametrize("name", ["listen", "allow-host", "allow-origin", "trust-forwarded-from"])
def test_wrong_type_in_a_list(file: Path, name: str) -> None:
    """A list that holds other things than texts is refused by name."""
    assert name in complaint_about_file(file, f"{name} = [1]\n")


def test_default_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hermes' home is what Hermes itself takes for it."""
    monkeypatch.setenv("HOME", str(tmp_path))

    assert default_home({}) == tmp_path / ".hermes"
    assert default_home({"HERMES_HOME": ""}) == tmp_path / ".hermes"
    assert default_home({"HERMES_HOME": "~/h"}) == tmp_path / "h"


def test_no_drain() -> None:
    """A stop that waits for nothing may be asked for."""
    assert gather({"drain": "0"}).drain == 0
    assert gather({"session-grace": "0"}).backend_options == WorkerOptions(session_grace=0.0)


def test_unknown_default_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home directory is told how to name Hermes'."""

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)

    for environ in ({}, {"HERMES_HOME": "~nobody-of-this-name"}):
        with pytest.raises(Problem, match="--hermes-home"):
            Settings.gather({}, environ)


def test_environment_is_the_process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read is the environment as it is now."""
    monkeypatch.setenv("HERMES_ATTACH_TEST", "x")

    assert read_environment()["HERMES_ATTACH_TEST"] == "x"


def test_a_message_fits_among_the_unfinished() -> None:
    """Else the largest messages would always be refused."""
    told = complaint({"max-message": "100m"})

    assert "--max-unfinished" in told
    assert (
        gather({"max-message": "100m", "max-unfinished": "100m"}).limits.max_unfinished == 100 * MIB
    )


def test_help_text() -> None:
    """The help of an option ends in its default, as an operator would write it."""
    table = options()

    assert table["port"].help_text == (
        "TCP port on 127.0.0.1 to listen on; 0 for any free one (default: 8643)."
    )
    assert table["script"].help_text == "File with the recording that --backend scripted plays."
    assert table["max-message"].default_in_words == "16m"
    assert table["dead-after"].default_in_words == "15m"
    assert table["close-timeout"].default_in_words == "2s"
    assert table["hermes-home"].default_in_words == "$HERMES_HOME, or ~/.hermes"
    assert table["no-audit"].help_text == "Keep no audit log."
    assert table["allow-host"].help_text.endswith("refuses other names. May be repeated.")
    assert table["backend"].help_text == (
        "Where Hermes runs: worker (Hermes in a process of its own), inprocess (Hermes in the "
        "server's process) or scripted (a recording instead of Hermes) (default: worker)."
    )
    assert table["log-format"].help_text.endswith(": text or json (default: text).")


def test_no_option_takes_a_secret() -> None:
    """A key on a command line would be seen by every user of the machine."""
    assert not {"key", "token", "secret", "password"} & {option.name for option in options()}


@pytest.mark.parametrize("proxy", ["localhost", "10.0.0.1/8", "10.0.0.0/99"])
def test_bad_proxies(proxy: str) -> None:
    """What is no address and no network is refused, with an example."""
    assert "10.0.0.0/8, or unix" in complaint({"trust-forwarded-from": [proxy]})
