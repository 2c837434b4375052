from __future__ import annotations

import getpass
import shlex
import socket
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress

from hermes_twisted.access.plaintext import Secret
from hermes_twisted.listen.endpoints import Listener
from hermes_twisted.server import attach_lines

SECRET = Secret("hat_AAAAbbbbCCCCddddEEEE", "a file")
TCP = Listener("tcp:8643")
LOOPBACK = IPv4Address("TCP", "127.0.0.1", 8643)


@pytest.fixture(autouse=True)
def name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "server.example")


@pytest.mark.parametrize(
    ("listener", "address", "origin"),
    [
        (TCP, LOOPBACK, "ws://127.0.0.1:8643"),
        (TCP, IPv6Address("TCP", "::1", 9), "ws://[::1]:9"),
        (TCP, IPv4Address("TCP", "0.0.0.0", 9), "ws://server.example:9"),
        (TCP, IPv6Address("TCP", "::", 9), "ws://server.example:9"),
        (TCP, IPv4Address("TCP", "", 9), "ws://server.example:9"),
        (Listener("tcp:9", tls=True), LOOPBACK, "wss://127.0.0.1:8643"),
        (Listener("ssl:443"), IPv4Address("TCP", "192.0.2.1", 443), "wss://192.0.2.1:443"),
    ],
)
def test_attach_lines(listener: Listener, address: IAddress, origin: str) -> None:
    """The lines hold the address that was bound, the right scheme, the key and the command."""
    lines = attach_lines.attach_lines(listener, address, SECRET).splitlines()

    url = f"{origin}/api/ws?token={SECRET.text}"
    assert f"  export HERMES_TUI_GATEWAY_URL='{url}'" in lines
    assert "  hermes --tui" in lines


def test_unix_socket() -> None:
    """A Unix socket is reached through a tunnel, whose port is the reader's to fill in."""
    lines = attach_lines.attach_lines(Listener("unix:/a"), UNIXAddress("/a"), SECRET)

    assert f"'ws://127.0.0.1:PORT/api/ws?token={SECRET.text}'" in lines
    assert "tunnel" in lines


def test_export_line_is_one_word() -> None:
    """A shell takes the URL as it is, with its question mark and ampersand."""
    assert shlex.split(attach_lines.export_line("ws://h/?a=1&b=$x")) == [
        "export",
        "HERMES_TUI_GATEWAY_URL=ws://h/?a=1&b=$x",
    ]


def test_authority_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """How to copy the authority's certificate and name it to Node, each line one to paste."""
    monkeypatch.setattr(getpass, "getuser", lambda: "ann")

    text = attach_lines.authority_lines(Path("/home/ann/my hermes/ca.pem"), "sha256//abc=")

    lines = [line.strip() for line in text.splitlines()]
    assert "scp ann@server.example:'/home/ann/my hermes/ca.pem' ~/hermes-attach-ca.pem" in lines
    assert "export NODE_EXTRA_CA_CERTS=~/hermes-attach-ca.pem" in lines
    assert "The server's public key: sha256//abc=" in lines


def test_authority_lines_of_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container a user may be but a number."""

    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nobody)

    assert "scp server.example:/ca.pem " in attach_lines.authority_lines(
        Path("/ca.pem"), "sha256//"
    )


def test_shown_on_the_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The key is written to the controlling terminal, and not to what may be a log."""
    tty, opened = tmp_path / "tty", []

    def open_tty(path: str, mode: str) -> Any:
        opened.append(path)
        return tty.open(mode)

    monkeypatch.setattr(attach_lines, "open", open_tty, raising=False)

    attach_lines.show_attach_lines(TCP, LOOPBACK, SECRET)

    assert opened == ["/dev/tty"]
    assert attach_lines.attach_lines(TCP, LOOPBACK, SECRET) in tty.read_text()
    captured = capfd.readouterr()
    assert SECRET.text not in captured.out + captured.err


def test_no_terminal(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """A daemon shows nothing, anywhere, and starts all the same."""

    def open_tty(path: str, mode: str) -> Any:
        raise OSError(6, "No such device or address")

    monkeypatch.setattr(attach_lines, "open", open_tty, raising=False)

    attach_lines.show_attach_lines(TCP, LOOPBACK, SECRET)

    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_without_a_secret() -> None:
    """Where only hashes are known, KEY stands for the key, and how to get one is said."""
    text = attach_lines.attach_lines(TCP, LOOPBACK, None)

    assert "'ws://127.0.0.1:8643/api/ws?token=KEY'" in text
    assert "hermes-attach key rotate" in text


def test_first_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A key that was just made is shown with the lines of every shell."""
    tty = tmp_path / "tty"
    monkeypatch.setattr(attach_lines, "open_terminal", lambda: tty.open("w"))

    attach_lines.show_attach_lines(TCP, LOOPBACK, SECRET, first="Shown once.\n\n")

    text = tty.read_text()
    assert text.startswith("\nShown once.")
    assert text.count(SECRET.text) == 4
    assert "set -gx" in text and "$env:" in text and 'set "' in text


@pytest.mark.parametrize(
    ("secret", "token"),
    [
        ("a-b_c~d.e", "a-b_c~d.e"),
        ("a b'c&d%e+f/g", "a%20b%27c%26d%25e%2Bf%2Fg"),
        ("schlüssel", "schl%C3%BCssel"),
    ],
)
def test_secrets_of_any_characters(secret: str, token: str) -> None:
    """In the URL a key is percent-encoded, as admission decodes it."""
    assert attach_lines.attach_url("h", 1, Secret(secret, "")).endswith(f"?token={token}")


def test_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There is a terminal if it can be opened."""
    monkeypatch.setattr(attach_lines, "open_terminal", lambda: (tmp_path / "tty").open("w"))
    assert attach_lines.has_terminal()

    monkeypatch.setattr(attach_lines, "open_terminal", lambda: (tmp_path / "no" / "tty").open("w"))
    assert not attach_lines.has_terminal()
