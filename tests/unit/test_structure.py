"""What may import what: the rules that a change breaks without noticing."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hermes_twisted

PACKAGE = Path(hermes_twisted.__file__).parent
ROOT = PACKAGE.parent

#: These run under Hermes' Python, where nothing of ours is installed.
UNDER_HERMES = (
    "boot",
    "worker",
    "host",
    "seat",
    "pump",
    "encode",
    "decode",
    "loading",
    "problem",
    "absent",
    "questions",
    "resuming",
    "recovery",
    "aliases",
    "turns",
    "cures",
    "results",
    "inspection",
)
#: What may be imported there when it is needed: Hermes itself, and what it may have.
LAZILY = {"tui_gateway", "hermes_cli", "tools", "yaml", "orjson", "pydantic_core"}


#: What an interpreter loads with `typing`, if nobody has yet; every `hermes` has.
COMES_WITH_TYPING = set(
    subprocess.run(
        [sys.executable, "-c", "import typing, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
)


def modules(folder: str) -> list[str]:
    """Dotted names of the modules in a folder of the package."""
    names = (path.stem for path in sorted((PACKAGE / folder).glob("*.py")))
    return [f"hermes_twisted.{folder}.{name}" for name in names if name != "__init__"]


def source(name: str) -> Path:
    path = ROOT.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def is_ours(name: str) -> bool:
    return source(name).is_file() if name.partition(".")[0] == "hermes_twisted" else False


def imports(name: str) -> Iterator[tuple[str, bool]]:
    """Each module that *name* imports, and whether the import is inside a function."""
    tree = ast.parse(source(name).read_text(encoding="utf-8"))
    package = name if source(name).name == "__init__.py" else name.rpartition(".")[0]

    def visit(node: ast.AST, lazy: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, lazy
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield (inner if is_ours(inner) else base), lazy
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) == "importlib.import_module"
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.args[0].value, lazy
        inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside)

    yield from visit(tree, False)


def closure(*names: str) -> set[str]:
    """These modules of ours and all of ours that they import, with the packages around them."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting += [imported for imported, _lazy in imports(name) if is_ours(imported)]
        if "." in name:
            waiting.append(name.rpartition(".")[0])
    return found


def run(code: str, *options: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


HERMES_SIDE = sorted(closure(*(f"hermes_twisted.hermes.{name}" for name in UNDER_HERMES)))


def test_hermes_side_is_small() -> None:
    """Of core, only the modules that are made for it run under Hermes' Python."""
    core = {name for name in HERMES_SIDE if name.startswith("hermes_twisted.core.")}

    assert core == {
        f"hermes_twisted.core.{name}"
        for name in ("backlog", "batches", "lanes", "outbox", "packets", "tuning")
    }
    assert {name.split(".")[1] for name in HERMES_SIDE if "." in name} == {"core", "hermes"}


@pytest.mark.parametrize("name", HERMES_SIDE)
def test_hermes_side_needs_nothing(name: str) -> None:
    """Under Hermes' Python there is the standard library, and Hermes only once it is looked for."""
    for imported, lazy in imports(name):
        top = imported.partition(".")[0]
        allowed = top in sys.stdlib_module_names or is_ours(imported) or (lazy and top in LAZILY)
        assert allowed, imported


def test_hermes_side_loads_without_an_installation() -> None:
    """A bare interpreter loads the worker by its path, and `sys.path` stays as it was."""
    boot = PACKAGE / "hermes" / "boot.py"
    loaded = run(
        "import importlib.util, json, sys\n"
        "path = list(sys.path)\n"
        f"spec = importlib.util.spec_from_file_location('boot', {str(boot)!r})\n"
        "boot = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(boot)\n"
        "boot.load_package()\n"
        "import hermes_twisted.hermes.worker\n"
        "assert sys.path == path\n"
        "print(json.dumps(sorted(name for name in sys.modules)))\n",
        "-I",
        "-S",
    )

    tops = {name.partition(".")[0] for name in json.loads(loaded)} - {"boot", "__main__"}
    assert tops - set(sys.stdlib_module_names) == {"hermes_twisted"}


@pytest.mark.parametrize("name", modules("core"))
def test_core_does_no_io(name: str) -> None:
    """Core decides without IO: no Twisted, no Autobahn, no Hermes, nothing of the shells."""
    for imported, _lazy in imports(name):
        top = imported.partition(".")[0]
        assert top in {*sys.stdlib_module_names, "hermes_twisted", "automat", "msgspec"}, imported
        assert top not in {"socket", "asyncio", "selectors", "ssl", "subprocess", "http"}, imported
        if top == "hermes_twisted":
            assert imported.startswith("hermes_twisted.core"), imported


def test_core_loads_alone() -> None:
    """Importing all of core loads neither Twisted nor Autobahn nor Hermes by a detour."""
    names = ", ".join(modules("core"))

    loaded = run(f"import {names}, sys; print(*sys.modules)").split()

    tops = {name.partition(".")[0] for name in loaded}
    assert "hermes_twisted" in tops
    assert not tops & {"twisted", "autobahn", "txaio", "tui_gateway", "hermes_cli"}


def test_locate_does_not_import_hermes() -> None:
    """Looking for Hermes, in the front, imports nothing of it."""
    tops = {imported.partition(".")[0] for imported, _ in imports("hermes_twisted.backends.locate")}

    assert not tops & LAZILY


def test_only_the_backends_and_the_builder_know_the_hermes_side() -> None:
    """`hermes/` is used by the backends, by what puts the pieces together, and by the doctor."""
    users = set()
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if name.startswith("hermes_twisted.hermes.") or path.name == "__init__.py":
            continue
        if any(imported.startswith("hermes_twisted.hermes") for imported, _ in imports(name)):
            users.add(name)

    assert all(
        name in ("hermes_twisted.server.assemble", "hermes_twisted.doctor.hermes")
        or name.startswith("hermes_twisted.backends.")
        for name in users
    ), users


def test_only_the_plugin_knows_the_gateway() -> None:
    """The service and all below it do not know which home they are in."""
    plugin = (
        "hermes_twisted.gateway.plugin",
        "hermes_twisted.gateway.hosted",
        "hermes_twisted.gateway.adapter",
    )
    users = set()
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for imported, _lazy in imports(name):
            if imported.split(".")[0] == "gateway" or imported.startswith(plugin):
                users.add(name)

    assert users == {"hermes_twisted.gateway.adapter", "hermes_twisted.gateway.plugin"}


def test_the_plugin_folders_are_no_packages() -> None:
    """An `__init__.py` in `twisted/` or `twisted/plugins/` would hide Twisted itself."""
    assert (ROOT / "twisted" / "plugins" / "hermes_attach.py").is_file()
    assert list((ROOT / "twisted").rglob("__init__.py")) == []


def test_the_package_imports_nothing() -> None:
    """`import hermes_twisted` loads that one module."""
    new = run(
        "import sys; before = set(sys.modules); import hermes_twisted;"
        "print(*sorted(set(sys.modules) - before))"
    )

    assert new.split() == ["hermes_twisted"]


@pytest.mark.parametrize("module", ["hermes_twisted.tap", "twisted.plugins.hermes_attach"])
def test_no_reactor_is_installed_by_an_import(module: str) -> None:
    """twistd reads plugins and options before a reactor is chosen: no import may choose one."""
    assert run(f"import sys, {module}; print('twisted.internet.reactor' in sys.modules)") == (
        "False\n"
    )


def test_the_plugin_of_hermes_costs_nothing() -> None:
    """Every `hermes` command imports it: it loads nothing but itself."""
    loaded = run(
        "import os, sys; before = set(sys.modules); import hermes_twisted.gateway.plugin;"
        "print(*sorted(set(sys.modules) - before))"
    ).split()

    assert set(loaded) - {"__future__", "typing"} - COMES_WITH_TYPING == {
        "hermes_twisted",
        "hermes_twisted.gateway.plugin",
    }


@pytest.mark.parametrize(
    "module", ["hermes_twisted.gateway.hosted", "hermes_twisted.server.assemble"]
)
def test_no_reactor_is_installed_off_the_loop(module: str) -> None:
    """A gateway imports these in a thread, before its loop is adopted."""
    assert run(f"import sys, {module}; print('twisted.internet.reactor' in sys.modules)") == (
        "False\n"
    )


def test_the_plugin_is_thin() -> None:
    """Reading the plugin, which every twistd does, loads nothing of ours."""
    loaded = run("import sys, twisted.plugins.hermes_attach; print(*sys.modules)").split()

    assert [name for name in loaded if name.startswith("hermes_twisted")] == []
