"""What is published: the wheel, installed, is found by twistd."""

from __future__ import annotations

import os
import re
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT, skip
from tests.system.conftest import BIN, PATIENCE, World


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run *command* without our environment: its output."""
    ended = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), "LANG": "C.UTF-8", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=4 * PATIENCE,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is left in the working tree."""
    try:
        import build  # noqa: F401
        import hatchling  # noqa: F401
    except ImportError:
        skip("building the wheel needs build and hatchling")
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, source)
    for name in ("hermes_twisted", "twisted"):
        shutil.copytree(ROOT / name, source / name)
    # What lies there after any start of twistd.
    (source / "twisted" / "plugins" / "dropin.cache").write_bytes(b"stale")
    arguments = ["-m", "build", "--wheel", "--no-isolation", f"--outdir={directory}", source]
    run(sys.executable, *arguments, cwd=directory)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of an environment with the wheel, and else with what we run with."""
    prefix = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(prefix, with_pip=False, symlinks=True)
    (packages,) = prefix.glob("lib/python3.*/site-packages")
    # Links, because a .pth file would bring the editable installation, too.
    ours = Path(site.getsitepackages()[0])
    for entry in ours.iterdir():
        if "hermes_twisted" not in entry.name and entry.suffix != ".pth":
            (packages / entry.name).symlink_to(entry)
    # Twisted's own plugins stay where they are; ours go beside them, as in any installation.
    (packages / "twisted").unlink()
    shutil.copytree(ours / "twisted", packages / "twisted", symlinks=True)
    python = prefix / "bin" / "python"
    options = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    run(python, "-m", "pip", "install", *options, wheel, cwd=prefix)
    for name in ("twistd", "twist"):
        script = prefix / "bin" / name
        script.write_text(f"#!{python}\n" + (BIN / name).read_text().partition("\n")[2])
        script.chmod(0o755)
    return prefix / "bin"


def test_contents_of_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    assert "twisted/plugins/hermes_attach.py" in names
    assert "hermes_twisted/py.typed" in names
    assert "hermes_twisted/demo.jsonl" in names
    # These would break every other plugin, or Twisted itself.
    assert "twisted/__init__.py" not in names
    assert "twisted/plugins/__init__.py" not in names
    assert not [name for name in names if name.endswith(("dropin.cache", ".pyc"))]
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "hermes_twisted",
        "twisted",
    }


def test_every_module_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "hermes_twisted").rglob("*.py")}
    assert modules <= names


def test_twistd_of_this_environment_has_the_plugin(tmp_path: Path) -> None:
    """Installed as it is developed: editable."""
    assert "hermes-attach" in run(BIN / "twistd", "--help", cwd=tmp_path)


def test_help(tmp_path: Path) -> None:
    """All options, and not one that takes the key."""
    shown = run(BIN / "twistd", "hermes-attach", "--help", cwd=tmp_path)

    assert "--key-file PATH" in shown
    assert not re.search(r"--key\b(?!-)", shown)


@pytest.mark.parametrize("command", ["twistd", "twist"])
def test_installed_plugin(installed: Path, tmp_path: Path, command: str) -> None:
    shown = run(installed / command, "--help", cwd=tmp_path)

    assert "hermes-attach" in shown
    # The plugins of Twisted itself are still there.
    assert "web" in shown


def test_installed_script(installed: Path, tmp_path: Path) -> None:
    assert run(installed / "hermes-attach", "--version", cwd=tmp_path).startswith("hermes-twisted")
    location = "import hermes_twisted; print(hermes_twisted.__file__)"
    shown = run(installed / "python", "-c", location, cwd=tmp_path)
    assert shown.startswith(str(installed.parent))


def test_installed_plugin_of_hermes(installed: Path, tmp_path: Path) -> None:
    """Hermes finds it by its entry point."""
    look = (
        "from importlib.metadata import entry_points\n"
        "(found,) = entry_points(group='hermes_agent.plugins', name='attach')\n"
        "print(found.load().register.__module__)"
    )
    assert run(installed / "python", "-c", look, cwd=tmp_path) == "hermes_twisted.gateway.plugin\n"


@pytest.mark.parametrize("command", ["twistd", "hermes-attach"])
def test_installed_server(installed: Path, world: World, free_port: int, command: str) -> None:
    """The worker's code, which runs by its path, is in the wheel, too."""
    arguments = {
        "twistd": ["--nodaemon", "--pidfile=", "hermes-attach"],
        "hermes-attach": ["serve"],
    }[command]
    server = world.start([str(installed / command), *arguments, f"--port={free_port}"], free_port)

    assert server.wait_for_port().client().call("echo", n=1) == {"n": 1}


def test_installed_demo(installed: Path, world: World, free_port: int) -> None:
    """Its recording is in the wheel."""
    world.without_key()
    command = [str(installed / "hermes-attach"), "demo", f"--port={free_port}"]

    assert "Traceback" not in world.start(command, free_port).wait_for_port().output
