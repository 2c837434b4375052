"""The architecture, as rules about folders: which package may import which."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import hermes_twisted

PACKAGE = Path(hermes_twisted.__file__).parent
ROOT = PACKAGE.parent
NAME = "hermes_twisted"

#: The modules in the root that are words for all packages, and `config/`, which is one, too.
WORDS = "words"
#: From the bottom upwards, in the order of a client's path: a package may import from its
#: own and from those in the rows above it.
LAYERS = (
    {"shared"},
    {"hermes"},
    {WORDS},
    {"listen"},
    {"access"},
    {"seats"},
    {"backends", "websocket"},
    {"http"},
    {"operate"},
    {"server"},
    {"tap", "gateway", "doctor"},
    {"cli"},
    {"testing"},
)
#: Front doors, which are modules in the root and no words.
DOORS = {"tap", "__main__"}
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
#: Who may import from these packages; of the others, everybody above.
USERS = {"hermes": {"backends"}, "testing": set[str]()}
#: These decide without IO, and know neither a reactor nor a WebSocket.
WITHOUT_IO = ("shared", "access", "seats", "rpc", "limits", "meter", "quota", "config")
#: What a reactor is, and what needs one.
OF_A_REACTOR = ("twisted.internet.reactor", "twisted.internet.asyncioreactor", "autobahn", "txaio")
#: What may be imported under Hermes' Python once it is needed: Hermes, and what it may have.
LAZILY = {"tui_gateway", "hermes_cli", "tools", "yaml", "orjson", "pydantic_core"}


def modules() -> list[str]:
    """The dotted names of all modules of the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def source(name: str) -> Path:
    path = ROOT.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def is_ours(name: str) -> bool:
    return name.partition(".")[0] == NAME and source(name).is_file()


def place(name: str) -> str | None:
    """The package that a module belongs to, or `WORDS`; None for the root itself."""
    parts = name.split(".")
    if len(parts) == 1:
        return None
    top = parts[1]
    is_word = top == "config" or (top not in DOORS and not (PACKAGE / top).is_dir())
    return WORDS if is_word else top


def imports(name: str) -> Iterator[tuple[str, bool]]:
    """Each module that *name* imports, and whether the import is inside a function.

    What is imported for type checkers counts as well: it is knowledge, too.
    """
    tree = ast.parse(source(name).read_text(encoding="utf-8"))
    package = name if source(name).name == "__init__.py" else name.rpartition(".")[0]

    def visit(node: ast.AST, lazy: bool) -> Iterator[tuple[str, bool]]:
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


MODULES = modules()


def test_every_package_has_its_place() -> None:
    """A new package is given its layer here."""
    places = {place(name) for name in MODULES} - {None, "__main__"}

    assert places <= LEVEL.keys()


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_one_way(name: str) -> None:
    """A package imports from itself and from packages below it; some are not for everybody."""
    own = place(name)
    if own is None or own in DOORS:
        return
    for imported, _lazy in imports(name):
        used = place(imported) if is_ours(imported) else None
        if used is None or used == own:
            continue
        assert LEVEL[used] < LEVEL[own], f"{name} imports {imported}"
        assert own in USERS.get(used, {own}), f"{name} imports {imported}"


def test_no_import_runs_in_a_circle() -> None:
    """Nor may modules of one package import each other in a circle, whatever loads first."""
    graph = {
        name: {used for used, lazy in imports(name) if is_ours(used) and not lazy and used != name}
        for name in MODULES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as cycle:
        pytest.fail(" → ".join(cycle.args[1]))


@pytest.mark.parametrize(
    "name", [name for name in MODULES if f"{name}.".startswith(f"{NAME}.hermes.")]
)
def test_the_hermes_side_needs_nothing(name: str) -> None:
    """Under Hermes' Python there are `hermes`, `shared` and the standard library.

    Hermes itself is imported only once it is looked for.
    """
    for imported, lazy in imports(name):
        top = imported.partition(".")[0]
        if top == NAME:
            assert place(imported) in (None, "hermes", "shared"), imported
        else:
            assert top in sys.stdlib_module_names or (lazy and top in LAZILY), imported


@pytest.mark.parametrize(
    "name", [name for name in MODULES if f"{name}.".startswith(f"{NAME}.shared.")]
)
def test_shared_code_needs_nothing(name: str) -> None:
    """Both sides of the pipe run it: the standard library, and nothing else."""
    for imported, _lazy in imports(name):
        top = imported.partition(".")[0]
        assert top in sys.stdlib_module_names or place(imported) in (None, "shared"), imported


def test_the_hermes_side_loads_without_an_installation() -> None:
    """A bare interpreter loads the worker by its path, and `sys.path` stays as it was."""
    boot = PACKAGE / "hermes" / "boot.py"
    loaded = run(
        "import importlib.util, json, sys\n"
        "path = list(sys.path)\n"
        f"spec = importlib.util.spec_from_file_location('boot', {str(boot)!r})\n"
        "boot = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(boot)\n"
        "boot.load_package()\n"
        "import hermes_twisted.hermes.main, hermes_twisted.hermes.cures.gateway\n"
        "assert sys.path == path\n"
        "print(json.dumps(sorted(name for name in sys.modules)))\n",
        "-I",
        "-S",
    )

    tops = {name.partition(".")[0] for name in json.loads(loaded)} - {"boot", "__main__"}
    assert tops - set(sys.stdlib_module_names) == {NAME}


@pytest.mark.parametrize("folder", WITHOUT_IO)
def test_decisions_load_without_a_reactor(folder: str) -> None:
    """Importing all of them loads no reactor, no Autobahn and no Hermes by a detour."""
    names = [name for name in MODULES if f"{name}.".startswith(f"{NAME}.{folder}.")]
    assert names

    loaded = run(f"import {', '.join(names)}, sys; print(*sys.modules)").split()

    assert not {name for name in loaded if name.startswith((*OF_A_REACTOR, "tui_gateway"))}


def test_only_the_adapter_knows_the_gateway() -> None:
    """The service and all below it do not know which home they are in."""
    users = {
        name
        for name in MODULES
        for imported, _lazy in imports(name)
        if imported.split(".")[0] == "gateway"
    }

    assert users == {f"{NAME}.gateway.adapter"}


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

    assert new.split() == [NAME]


@pytest.mark.parametrize(
    "module",
    [f"{NAME}.tap", "twisted.plugins.hermes_attach", f"{NAME}.gateway.hosted"],
)
def test_no_reactor_is_installed_by_an_import(module: str) -> None:
    """twistd reads plugins and options before a reactor is chosen, a gateway imports in a thread:
    no import may choose one."""
    assert run(f"import sys, {module}; print('twisted.internet.reactor' in sys.modules)") == (
        "False\n"
    )


#: What an interpreter loads with `typing`, if nobody has yet; every `hermes` has.
COMES_WITH_TYPING = set(run("import typing, sys; print(*sys.modules)").split())


def test_the_plugin_of_hermes_costs_nothing() -> None:
    """Every `hermes` command imports it: it loads nothing but itself."""
    loaded = run(
        f"import os, sys; before = set(sys.modules); import {NAME}.gateway.plugin;"
        "print(*sorted(set(sys.modules) - before))"
    ).split()

    assert set(loaded) - {"__future__", "typing"} - COMES_WITH_TYPING == {
        NAME,
        f"{NAME}.gateway",
        f"{NAME}.gateway.plugin",
    }


def test_the_plugin_is_thin() -> None:
    """Reading the plugin, which every twistd does, loads nothing of ours."""
    loaded = run("import sys, twisted.plugins.hermes_attach; print(*sys.modules)").split()

    assert [name for name in loaded if name.startswith(NAME)] == []
