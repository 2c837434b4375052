from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hermes_twisted.cli import main
from hermes_twisted.cli.units import UnitPlan, service_unit, socket_unit

PYTHON = f"--hermes-python={sys.executable}"


def lines(text: str) -> list[str]:
    return text.splitlines()


def test_the_users_own(tmp_path: Path) -> None:
    """Sockets and service, with what a stop may take and a watchdog."""
    plan = UnitPlan(Path("/opt/x/hermes-attach"), drain=600)

    assert "ListenStream=127.0.0.1:8643" in lines(socket_unit(plan))
    service = lines(service_unit(plan, "attach"))
    assert (
        "ExecStart=/opt/x/hermes-attach serve --listen=systemd:domain=INET:index=0 --drain=600"
        in service
    )
    assert "Requires=attach.socket" in service
    assert "TimeoutStopSec=615" in service
    assert "WantedBy=default.target" in service
    assert not [line for line in service if line.startswith(("User=", "ProtectSystem="))]


@pytest.mark.parametrize(
    ("address", "domain"),
    [("[::1]:8643", "INET6"), ("127.0.0.1:1", "INET"), ("/run/a.sock", "UNIX"), ("@a", "UNIX")],
)
def test_families(address: str, domain: str) -> None:
    """The endpoint is of the socket's own family."""
    assert f"systemd:domain={domain}:index=0" in service_unit(UnitPlan(Path("/x"), (address,)), "n")


def test_the_machines(tmp_path: Path) -> None:
    """Another user, a credential, more protection."""
    plan = UnitPlan(Path("/x"), user="hermes", key_file=Path("/etc/a b%"))
    service = lines(service_unit(plan, "attach"))

    assert "User=hermes" in service
    assert "LoadCredential=attach-key:/etc/a b%%" in service
    assert "CapabilityBoundingSet=" in service
    assert any(line.endswith("--key-file=%d/attach-key") for line in service)
    assert "SocketUser=hermes" in lines(socket_unit(plan))
    assert "CapabilityBoundingSet=" not in lines(
        service_unit(UnitPlan(Path("/x"), user="root"), "n")
    )


def test_quoting() -> None:
    """Words with spaces, quotes, specifiers and variables come through as they are."""
    plan = UnitPlan(Path("/a b/x"), options=('--config=/c "d"', "--allow-host=$h%i", "back\\slash"))
    [line] = [line for line in lines(service_unit(plan, "n")) if line.startswith("ExecStart")]

    assert line.startswith('ExecStart="/a b/x" serve ')
    assert line.endswith('"--config=/c \\"d\\"" --allow-host=$$h%%i "back\\\\slash"')


def test_no_control_characters() -> None:
    """Nothing can add a line to a unit."""
    with pytest.raises(ValueError, match="control"):
        service_unit(UnitPlan(Path("/x"), options=("--drain=1\nUser=root",)), "n")


class Failed(Exception):
    """The command has exited: its status, and what it wrote."""


Install = Callable[[Sequence[str]], str]


@pytest.fixture
def install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Install:
    """`hermes-attach install-service` with these arguments: what it writes."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")

    def install(arguments: Sequence[str]) -> str:
        try:
            main.main(["install-service", *arguments])
        except SystemExit as end:
            raise Failed(end.code, capsys.readouterr().err) from None
        return capsys.readouterr().out

    return install


def test_written(install: Install, tmp_path: Path) -> None:
    """Both files, and the commands that come next; a second time changes nothing."""
    folder = tmp_path / "config" / "systemd" / "user"

    said = install(["--", PYTHON])

    assert "systemctl --user enable --now hermes-attach.socket hermes-attach.service" in said
    assert sorted(path.name for path in folder.iterdir()) == [
        "hermes-attach.service",
        "hermes-attach.socket",
    ]
    assert PYTHON in (folder / "hermes-attach.service").read_text()
    install(["--", PYTHON])


def test_dry_run(install: Install, tmp_path: Path) -> None:
    """Shows, and writes nothing."""
    said = install(["--dry-run", "--name", "other", "--", PYTHON])

    assert f"# {tmp_path}/config/systemd/user/other.service" in said
    assert not (tmp_path / "config").exists()


def test_others_files_stay(install: Install, tmp_path: Path) -> None:
    """What somebody changed is not overwritten without --force."""
    install(["--", PYTHON])
    unit = tmp_path / "config" / "systemd" / "user" / "hermes-attach.service"
    unit.write_text("mine")

    with pytest.raises(Failed, match="--force"):
        install(["--", PYTHON])
    assert unit.read_text() == "mine"
    install(["--force", "--", PYTHON])
    assert unit.read_text() != "mine"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--user", "--system"],
        ["--name", "../x"],
        ["--listen", "8643"],
        ["--listen", "relative/path"],
        ["--drain", "soon"],
        ["--nonsense"],
        ["--", "--nonsense"],
        ["--", "--prot=1"],
        ["--", "--drain=soon"],
        ["--", "--port=1"],
        ["--", "--no-audit", "--audit-file=/a"],
        ["--", "surplus"],
    ],
)
def test_wrong_usage(install: Install, tmp_path: Path, arguments: list[str]) -> None:
    """Is said, and nothing is written."""
    with pytest.raises(Failed) as failed:
        install([*arguments, "--", PYTHON])

    status, text = failed.value.args
    assert status == 2
    assert text.startswith("hermes-attach install-service")
    assert text.count("\n") == 1
    assert not (tmp_path / "config").exists()


def test_hermes_has_to_be_found(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit that could not start is not written."""
    with pytest.raises(Failed, match="--hermes-python=PATH"):
        install([])


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--listen", "[::1]:8643", "--drain", "10m"],
        ["--system", "--run-as", "root", "--listen", "/run/attach.sock", "--key-file", "/etc/a b%"],
    ],
)
def test_systemd_understands(
    install: Install, tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a complaint."""
    monkeypatch.setattr("hermes_twisted.cli.install_service.SYSTEM_UNITS", tmp_path / "system")
    install([*arguments, "--", PYTHON])
    [unit] = tmp_path.rglob("hermes-attach.service")

    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        env={"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (checked.returncode, checked.stderr) == (0, "")
