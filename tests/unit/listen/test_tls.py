"""Which credentials are current, on a clock that the test turns."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from OpenSSL import SSL
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher

from hermes_twisted.listen.authority import LEAF_LIFE, LEAF_MARGIN, Authority
from hermes_twisted.listen.endpoints import TLSChoice
from hermes_twisted.listen.pem import read_certificates
from hermes_twisted.listen.tls import (
    EXPIRY_WARNING,
    RENEWAL_CHECK,
    TLS,
    FileCredentials,
    OwnCredentials,
    build_loader,
)
from hermes_twisted.shared.problem import Problem
from tests.certs import DAY, issue

HOUR = timedelta(hours=1)


class World:
    """A clock for timers, and the time of day that goes with it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self._began = datetime.now(UTC)
        self.events: list[dict] = []  # type: ignore[type-arg]

    def now(self) -> datetime:
        return self._began + timedelta(seconds=self.clock.seconds())

    def pass_time(self, time: timedelta) -> None:
        """Day by day, and the rest hour by hour."""
        for step in [DAY] * (time // DAY) + [HOUR] * (time % DAY // HOUR):
            self.clock.advance(step.total_seconds())

    def logged(self, level: LogLevel) -> list[str]:
        return [
            event["log_format"].format(**event)
            for event in self.events
            if event["log_level"] is level
        ]


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    globalLogPublisher.addObserver(made.events.append)
    yield made
    globalLogPublisher.removeObserver(made.events.append)


def shown(tls: TLS) -> x509.Certificate:
    """What a connection that begins now is shown."""
    connection = tls.serverConnectionForTLS(None)  # type: ignore[arg-type]
    client = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
    client.set_connect_state()
    connection.set_accept_state()
    for _ in range(4):
        for here, there in ((client, connection), (connection, client)):
            with suppress(SSL.WantReadError):
                here.do_handshake()
            with suppress(SSL.WantReadError):
                there.bio_write(here.bio_read(1 << 16))
    certificate = client.get_peer_certificate()
    assert certificate is not None
    return certificate.to_cryptography()


def names_of(certificate: x509.Certificate) -> set[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


@pytest.fixture
def own(world: World, tmp_path: Path) -> Iterator[TLS]:
    tls = TLS(world.clock, OwnCredentials(Authority(tmp_path / "tls")), None, world.now)
    yield tls
    tls.stop()


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return issue("first").write(tmp_path)


@pytest.fixture
def files(world: World, pair: tuple[Path, Path]) -> Iterator[TLS]:
    tls = TLS(world.clock, FileCredentials(*pair), None, world.now)
    yield tls
    tls.stop()


def test_sources(tmp_path: Path) -> None:
    """The operator's choice, and where our own authority lives."""
    choice = TLSChoice(tmp_path / "a.crt", tmp_path / "a.key")
    assert build_loader(choice, tmp_path) == FileCredentials(tmp_path / "a.crt", tmp_path / "a.key")

    loader = build_loader(TLSChoice(names=("a",)), tmp_path)
    assert isinstance(loader, OwnCredentials) and loader.names == ("a",)
    assert loader.authority.directory == tmp_path / "attach" / "tls"


def test_nothing_is_written_before_the_start(own: TLS, tmp_path: Path) -> None:
    """A check of the options, before the fork and before privileges are dropped, leaves nothing."""
    own.check()

    assert not (tmp_path / "tls").exists()


def test_names_of_a_loopback_listener(own: TLS) -> None:
    own.start(["127.0.0.1"])

    assert names_of(shown(own)) == {"localhost", "127.0.0.1", "::1"}


def test_names_of_one_address(own: TLS) -> None:
    own.start(["192.0.2.7", "fe80::1%eth0"])

    assert names_of(shown(own)) == {"localhost", "127.0.0.1", "::1", "192.0.2.7", "fe80::1"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_names_of_every_address(own: TLS, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's name, in a form that a certificate can hold, if it has one."""
    monkeypatch.setattr(socket, "gethostname", lambda: "Server-1")

    own.start([host])

    assert names_of(shown(own)) >= {"localhost", "127.0.0.1", "::1", "server-1"}


@pytest.mark.parametrize("name", ["", "bad name", "-"])
def test_machine_without_a_proper_name(
    own: TLS, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: name)

    own.start(["0.0.0.0"])

    assert names_of(shown(own)) >= {"localhost"}
    assert name not in names_of(shown(own))


def test_more_names(world: World, tmp_path: Path) -> None:
    tls = TLS(
        world.clock,
        OwnCredentials(Authority(tmp_path / "tls"), ["attach.example"]),
        None,
        world.now,
    )
    tls.start(["127.0.0.1"])

    assert "attach.example" in names_of(shown(tls))
    tls.stop()


def test_running_server_renews_its_own(own: TLS, world: World, tmp_path: Path) -> None:
    """In time, and once; the authority stays, and so does the pin."""
    own.start(["127.0.0.1"])
    first, first_pin = shown(own), own.pin
    authority = read_certificates(tmp_path / "tls" / "ca.pem", "authority")

    world.pass_time(LEAF_LIFE - LEAF_MARGIN - HOUR)
    assert shown(own) == first

    world.pass_time(3 * HOUR)
    second = shown(own)
    assert second != first
    world.pass_time(2 * HOUR)
    assert shown(own) == second

    assert own.pin == first_pin
    assert read_certificates(tmp_path / "tls" / "ca.pem", "authority") == authority
    assert second.not_valid_after_utc > world.now() + LEAF_MARGIN
    assert len([line for line in world.logged(LogLevel.info) if "TLS certificate" in line]) == 2


def test_stopped_server_renews_nothing(own: TLS, world: World) -> None:
    own.start(["127.0.0.1"])
    own.stop()
    own.stop()

    assert not world.clock.getDelayedCalls()


def test_renewal_that_fails_is_tried_again(own: TLS, world: World, tmp_path: Path) -> None:
    """The old certificate is good for another month: time to mend the disk."""
    own.start(["127.0.0.1"])
    first = shown(own)
    (tmp_path / "tls").chmod(0o755)

    world.pass_time(LEAF_LIFE - LEAF_MARGIN + 2 * HOUR)
    assert shown(own) == first
    assert "chmod 700" in world.logged(LogLevel.error)[0]

    (tmp_path / "tls").chmod(0o700)
    world.pass_time(HOUR)
    assert shown(own) != first


def test_bug_does_not_end_the_looking_after(
    own: TLS, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.start(["127.0.0.1"])
    first = shown(own)
    with monkeypatch.context() as broken:
        broken.setattr(Authority, "credentials", lambda *_: 1 / 0)
        world.pass_time(2 * HOUR)
    assert len(world.logged(LogLevel.critical)) == 2

    world.pass_time(LEAF_LIFE - LEAF_MARGIN + HOUR)
    assert shown(own) != first


def test_log_names_what_is_shown(files: TLS, world: World) -> None:
    """Names, end and pin, once for each certificate."""
    files.start(["127.0.0.1"])
    files.reload()

    [line] = world.logged(LogLevel.info)
    end = f"{world.now() + 90 * DAY:%Y-%m-%d}"
    assert line.startswith(f"TLS certificate for first, 127.0.0.1, ::1, valid until {end}")
    assert line.endswith(f"SPKI {files.pin}")


def test_reload(files: TLS, pair: tuple[Path, Path], tmp_path: Path) -> None:
    """New connections get the new certificate."""
    files.start(["127.0.0.1"])
    second = issue("second")
    second.write(tmp_path)
    assert names_of(shown(files)) == {"first", "127.0.0.1", "::1"}

    files.reload()

    assert shown(files) == second.certificate


@pytest.mark.parametrize("mistake", ["missing", "other key", "expired", "rubbish"])
def test_bad_reload(
    files: TLS, world: World, pair: tuple[Path, Path], tmp_path: Path, mistake: str
) -> None:
    """The old certificate stays, and the log says why."""
    files.start(["127.0.0.1"])
    first = shown(files)
    if mistake == "missing":
        pair[1].unlink()
    elif mistake == "other key":
        pair[0].write_bytes(issue().pem)
    elif mistake == "expired":
        issue("first", last=world.now()).write(tmp_path)
    else:
        pair[0].write_bytes(b"rubbish")

    files.reload()

    assert shown(files) == first
    [line] = world.logged(LogLevel.error)
    assert "the current one stays in use" in line and str(tmp_path) in line


def test_end_of_the_operators_certificate_is_announced(files: TLS, world: World) -> None:
    """Two weeks before, and every day from there on; not every hour."""
    files.start(["127.0.0.1"])

    world.pass_time(90 * DAY - EXPIRY_WARNING - HOUR)
    assert not world.logged(LogLevel.warn)

    for _ in range(72):
        world.pass_time(HOUR)
    warned = world.logged(LogLevel.warn)
    assert "renew it, then send SIGHUP" in warned[0]
    assert len(warned) == 3


def test_check_names_mistakes(world: World, tmp_path: Path) -> None:
    """Before the start, where the operator still looks."""
    with pytest.raises(Problem, match="cannot be read"):
        TLS(world.clock, FileCredentials(tmp_path / "absent", None), None, world.now).check()
    with pytest.raises(Problem, match=r"client authority file .* cannot be read"):
        TLS(
            world.clock, OwnCredentials(Authority(tmp_path / "tls")), tmp_path / "absent", world.now
        ).check()


def test_key_that_openssl_refuses(world: World, tmp_path: Path) -> None:
    """It has a rule of its own for short keys."""
    tls = TLS(world.clock, FileCredentials(*issue(bits=1024).write(tmp_path)), None, world.now)

    with pytest.raises(Problem, match=r"OpenSSL refuses the certificate or its key: .*small"):
        tls.check()


def test_checks_are_hourly() -> None:
    assert HOUR.total_seconds() == RENEWAL_CHECK
