from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hermes_twisted.access import plaintext
from hermes_twisted.access import store as keystore
from hermes_twisted.access.keys import Scope
from hermes_twisted.doctor import hermes, keys, listening, node, service
from hermes_twisted.doctor.findings import Level
from hermes_twisted.doctor.identity import Identity, Peer
from hermes_twisted.doctor.network import Address, RealNetwork
from hermes_twisted.listen.endpoints import Listener
from hermes_twisted.shared.problem import Problem
from hermes_twisted.shared.schema import Findings, Inspection

NOW = datetime(2030, 6, 1, tzinfo=UTC)
KEY = "hat_AAAAbbbbCCCCddddEEEE"


# Hermes.


GOOD = Inspection(
    config=None,
    problem=None,
    hermes=Findings("0.19.0", methods=133, python="3.11.7"),
    provider=True,
)


def report(**changes: Any) -> Inspection:
    return replace(GOOD, **changes)


@pytest.mark.parametrize(
    ("answer", "levels"),
    [
        (report(), {"hermes": "ok", "config": "ok", "provider": "ok"}),
        (report(provider=False), {"hermes": "ok", "config": "ok", "provider": "problem"}),
        (report(provider=None), {"hermes": "ok", "config": "ok"}),
        (
            report(config=Problem("bad YAML", "fix")),
            {"hermes": "ok", "config": "problem", "provider": "ok"},
        ),
        (
            report(hermes=None, problem=Problem("lacks x", "update"), provider=None),
            {"hermes": "problem", "config": "ok"},
        ),
        ("exit status 1", {"hermes": "problem"}),
    ],
)
def test_hermes(answer: Any, levels: dict[str, str], tmp_path: Path) -> None:
    """What the interpreter tells of Hermes becomes one finding each."""
    (tmp_path / "config.yaml").touch()

    findings = hermes.check(Path(sys.executable), {}, tmp_path, lambda python: answer)

    assert {found.check: found.level for found in findings} == levels


def test_no_config(tmp_path: Path) -> None:
    """A home without a configuration may be the wrong home."""
    findings = hermes.check(Path(sys.executable), {}, tmp_path, lambda python: report())

    assert {found.check: found.level for found in findings}["config"] is Level.WARNING


def test_no_interpreter(tmp_path: Path) -> None:
    """An interpreter that is not there is named, and not asked."""

    def inspect(python: Path) -> str:
        raise AssertionError("asked")

    (found,) = hermes.check(tmp_path / "nothing", {}, tmp_path, inspect)

    assert str(tmp_path / "nothing") in found.what


def test_the_stub_is_inspected(stub_python: Path, tmp_path: Path) -> None:
    """The inspection runs under another interpreter, by its path, and answers."""
    answer = hermes.inspector({"PATH": os.defpath}, tmp_path)(stub_python)

    assert isinstance(answer, Inspection)
    assert answer.problem is None
    assert answer.hermes is not None
    assert answer.hermes.methods > 0


@pytest.mark.parametrize(
    ("script", "word"),
    [("exit 3", "exit status 3"), ("echo no such module >&2; exit 1", "no such module")],
)
def test_an_interpreter_that_fails(script: str, word: str, tmp_path: Path) -> None:
    """What it said last is the reason."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)

    assert hermes.inspector({"PATH": os.defpath}, tmp_path)(python) == word


# Keys.


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A key store with one key."""
    with keystore.changing(tmp_path, time.time) as store:
        made, _record, _secret = store.keys.make("laptop", Scope.FULL)
        store.write(made)
    return keystore.store_path(tmp_path)


def test_key(key: Path, tmp_path: Path) -> None:
    """A key that only its owner can read is fine, and is not shown."""
    (found,) = keys.check(None, {}, tmp_path)

    assert found.level is Level.OK
    assert found.what == "1 that admit"


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_key_that_others_read(mode: int, key: Path, tmp_path: Path) -> None:
    """The server refuses such a file, so the doctor does."""
    key.chmod(mode)

    (found,) = keys.check(None, {}, tmp_path)

    assert found.level is Level.PROBLEM
    assert "users other than its owner" in found.what
    assert "chmod 600" in found.next


def test_a_folder_that_others_write(key: Path, tmp_path: Path) -> None:
    """The file is private, but can be replaced."""
    key.parent.chmod(0o770)

    assert [found.level for found in keys.check(None, {}, tmp_path)] == [Level.PROBLEM]


@pytest.mark.parametrize(
    ("environ", "level"),
    [
        ({}, Level.PROBLEM),
        ({plaintext.VARIABLE: KEY}, Level.OK),
        ({plaintext.VARIABLE: "x"}, Level.PROBLEM),
    ],
)
def test_keys_from_elsewhere(environ: dict[str, str], level: str, tmp_path: Path) -> None:
    """None yet; one from the environment; a weak one."""
    (found,) = keys.check(None, environ, tmp_path)

    assert found.level == level


# Listening.


@pytest.mark.parametrize(
    ("description", "sockaddr", "encrypted"),
    [
        ("tcp:8643:interface=127.0.0.1:backlog=1024", ("127.0.0.1", 8643), False),
        ("tcp:8643", ("127.0.0.1", 8643), False),
        ("tcp:port=8643:interface=192.0.2.1", ("192.0.2.1", 8643), False),
        (r"tcp:8643:interface=\:\:1", ("::1", 8643), False),
        ("tcp6:8643", ("::1", 8643), False),
        ("ssl:8643:privateKey=k.pem", ("127.0.0.1", 8643), True),
        ("unix:/run/a.sock:mode=600", "/run/a.sock", False),
    ],
)
def test_places(description: str, sockaddr: Any, encrypted: bool) -> None:
    """Where an endpoint can be reached from this machine."""
    place = listening.place_of(Listener(description))

    assert place is not None
    assert (place.address.sockaddr, place.encrypted) == (sockaddr, encrypted)


@pytest.mark.parametrize(
    "description", ["tcp:0", "systemd:domain=INET:index=0", "tcp:x", "tcp:1:interface=lo"]
)
def test_places_that_cannot_be_seen(description: str) -> None:
    """What the description does not tell is not guessed."""
    assert listening.place_of(Listener(description)) is None


def test_a_port_in_use(free_port: int) -> None:
    """Another program at our port is named, by its process."""
    with socket.create_server(("127.0.0.1", free_port)) as other:
        other.settimeout(0)
        assert listening.owner_of_port(free_port) == f"{os.getpid()} ({comm()})"
        found = listening._in_use(
            listening.Place(Address(socket.AF_INET, ("127.0.0.1", free_port)), False, "port 1"),
            Identity(Peer.API_SERVER),
            None,
            listening.owner_of_port,
        )
    assert f"Hermes' API server, process {os.getpid()}" in found.what
    assert listening.owner_of_port(free_port) is None


def comm() -> str:
    return Path("/proc/self/comm").read_text().strip()


def test_a_free_port(free_port: int, tmp_path: Path) -> None:
    """Nobody there: the server does not run. For a Unix socket, too."""
    for description in (f"tcp:{free_port}:interface=127.0.0.1", f"unix:{tmp_path}/none.sock"):
        (found,) = listening.check(Listener(description), RealNetwork(), lambda port: None)
        assert (found.level, found.check) == (Level.WARNING, "port")
        assert "Nothing listens" in found.what


# TLS files.

MakeFiles = Callable[..., tuple[Path, Path]]


@pytest.fixture
def make_files(tmp_path: Path) -> MakeFiles:
    def make(days: int = 100, name: str = "a") -> tuple[Path, Path]:
        private = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "attach.example")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(private.public_key())
            .serial_number(1)
            .not_valid_before(NOW - timedelta(days=300))
            .not_valid_after(NOW + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("attach.example")]), False)
            .sign(private, hashes.SHA256())
        )
        cert, key = tmp_path / f"{name}.crt", tmp_path / f"{name}.key"
        cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key.touch(0o600)
        key.write_bytes(
            private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return cert, key

    return make


@pytest.mark.parametrize(
    ("days", "level"), [(100, Level.OK), (5, Level.WARNING), (-1, Level.PROBLEM)]
)
def test_tls_files(days: int, level: Level, make_files: MakeFiles) -> None:
    """Valid, about to end, expired; with the names that it is for."""
    cert, key = make_files(days)
    endpoint = Listener(f"ssl:8643:privateKey={key}:certKey={cert}")

    (found,) = listening.check_tls(endpoint, NOW)

    assert found.level is level
    assert "attach.example" in found.what


def test_tls_files_that_are_wrong(make_files: MakeFiles, tmp_path: Path) -> None:
    """A key of another certificate, a missing file, no PEM: none can be used."""
    cert, key = make_files()
    _other, other_key = make_files(name="b")
    nonsense = tmp_path / "nonsense"
    nonsense.touch(0o600)

    for pair in ((cert, other_key), (cert, tmp_path / "none"), (nonsense, nonsense)):
        (found,) = listening.check_files(*pair, NOW)
        assert found.level is Level.PROBLEM
    key.chmod(0o644)
    assert [found.level for found in listening.check_files(cert, key, NOW)] == ["problem", "ok"]


def test_no_tls_no_files() -> None:
    """Only `ssl:` endpoints name files."""
    assert listening.check_tls(Listener("tcp:8643"), NOW) == []


# How the server is run.


def plugin_folder(tmp_path: Path, cache: bytes | None, *, old: bool = False) -> Path:
    (tmp_path / service.PLUGIN).touch()
    if cache is not None:
        path = tmp_path / "dropin.cache"
        path.write_bytes(cache)
        if old:
            os.utime(path, (1, 1))
    return tmp_path


@pytest.mark.parametrize(
    ("cache", "old", "writable", "level"),
    [
        (b"..hermes_attach..", False, False, Level.OK),
        (b"..hermes_attach..", True, True, Level.OK),
        (b"..hermes_attach..", True, False, Level.WARNING),
        (b"..others..", False, False, Level.WARNING),
        (None, False, False, Level.WARNING),
        (None, False, True, Level.OK),
    ],
)
def test_plugin_cache(
    cache: bytes | None, old: bool, writable: bool, level: Level, tmp_path: Path
) -> None:
    """A cache that is stale, and stays so, is worth a warning; twistd renews the others."""
    folder = plugin_folder(tmp_path, cache, old=old)

    found = service.check_plugin_cache([Path("/nowhere"), folder], lambda path: writable)

    assert found.level is level


def test_no_plugin(tmp_path: Path) -> None:
    """Where twistd does not find us, that is said; and where it does, that it does."""
    assert service.check_plugin_cache([tmp_path]).level is Level.PROBLEM
    assert service.check_plugin_cache(service.plugin_folders()).level is not Level.PROBLEM


@pytest.mark.parametrize(
    ("content", "command", "level"),
    [
        ("12\n", b"twistd\0hermes-attach\0", Level.OK),
        ("12", b"vi\0notes\0", Level.PROBLEM),
        ("12", None, Level.WARNING),
        ("", None, Level.PROBLEM),
        ("x", None, Level.PROBLEM),
    ],
)
def test_pid_file(content: str, command: bytes | None, level: Level, tmp_path: Path) -> None:
    """Alive, somebody else, dead, or no number at all."""
    pid_file, proc = tmp_path / "twistd.pid", tmp_path / "proc"
    pid_file.write_text(content)
    if command is not None:
        (proc / "12").mkdir(parents=True)
        (proc / "12" / "cmdline").write_bytes(command)

    (found,) = service.check_pid_file(pid_file, proc)

    assert found.level is level


def test_no_pid_file(tmp_path: Path) -> None:
    """Who does not use one is not asked for it."""
    assert service.check_pid_file(tmp_path / "none") == []


def unit(state: str) -> service.Run:
    return lambda command: state if "--user" in command else "LoadState=not-found\n"


@pytest.mark.parametrize(
    ("state", "levels"),
    [
        ("LoadState=loaded\nActiveState=active\nSubState=running\n", [Level.OK]),
        ("LoadState=loaded\nActiveState=inactive\n", [Level.WARNING]),
        ("LoadState=loaded\nActiveState=failed\nResult=exit-code\n", [Level.PROBLEM]),
        ("LoadState=not-found\n", []),
        ("", []),
    ],
)
def test_unit(state: str, levels: list[Level]) -> None:
    """What systemd says of an installed unit; nothing where none is installed."""
    findings = service.check_unit(unit(state), booted=True)

    assert [found.level for found in findings] == levels
    assert all("--user" in found.next or not found.next for found in findings)


def test_no_systemd() -> None:
    """A machine without systemd is not asked."""

    def run(command: list[str]) -> str:
        raise AssertionError("asked")

    assert service.check_unit(run, booted=False) == []


def test_commands_that_cannot_run(tmp_path: Path) -> None:
    """A missing program is no answer, not an error."""
    run = service.runner({"PATH": str(tmp_path)})

    assert run(["systemctl", "show"]) is None
    assert service.runner({"PATH": "/usr/bin:/bin"})(["echo", "hi"]) == "hi\n"


# Node.


@pytest.mark.parametrize(
    ("version", "level"), [("22.1.0", Level.OK), ("18.19.0", Level.WARNING), (None, Level.OK)]
)
def test_node_version(version: str | None, level: Level) -> None:
    """Too old is a warning; absent is fine on a server."""
    assert node.check_version(lambda script: version).level is level


@pytest.mark.parametrize(
    ("outcome", "ours", "level"),
    [
        ("limited", False, Level.PROBLEM),
        ("limited", True, Level.OK),
        ("fine", False, Level.OK),
        ("bundled", False, Level.OK),
        (None, False, Level.WARNING),
    ],
)
def test_deflate(outcome: str | None, ours: bool, level: Level) -> None:
    """The trap snaps only where the server compresses large frames and this Node has the limit."""
    assert node.check_deflate(lambda script: outcome, ours=ours).level is level


def test_node_runs_our_scripts() -> None:
    """The scripts are valid, and end by themselves."""
    run = node.node_runner(dict(os.environ))
    if run("0") is None:
        pytest.skip("there is no Node.js here")

    assert run(node._DEFLATE) in ("bundled", "none", "fine", "limited")
    assert "BEGIN CERTIFICATE" in (node.root_certificates(run) or "")
    major = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    assert run(node._VERSION) == major.stdout.strip().removeprefix("v")


def test_no_node(tmp_path: Path) -> None:
    """Without Node nothing is run."""
    assert node.node_runner({"PATH": str(tmp_path)})("0") is None


def test_hooks_are_told(tmp_path: Path) -> None:
    """What was found of Hermes, and what is not as it was."""
    (tmp_path / "config.yaml").touch()
    assert GOOD.hermes is not None
    facts = {
        "hooks": ("a",),
        "left_out": ("b",),
        "changed": ("b",),
        "answered_here": ("pet.cells",),
    }
    answer = report(hermes=replace(GOOD.hermes, **facts))

    first, second, *_rest = hermes.check(Path(sys.executable), {}, tmp_path, lambda python: answer)

    assert first.what.endswith(
        "133 methods; hooks found: a; hooks left out: b; of these changed: b; "
        "answered in its place: pet.cells"
    )
    assert (second.level, second.what) == (
        Level.WARNING,
        "Hooks of this Hermes have changed: b.",
    )
