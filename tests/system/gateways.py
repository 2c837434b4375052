"""Real gateways: `hermes gateway run` with this project's plugin, and a probe inside."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

from tests.conftest import hermes_python
from tests.fake_model import FakeModel
from tests.system.conftest import PATIENCE, Server, World, wait_until

#: The newest release, and the oldest in whose gateway terminals are served.
NEWEST, OLDEST = "0.19.0", "0.16.0"
VERSIONS = [OLDEST, NEWEST]
PROBE = Path(__file__).parent / "probe"

_PLUGINS = "\nplugins:\n  enabled: [{enabled}]\n"


class Gateway:
    """One gateway process; `server` is its attach server, as the other tests know one."""

    def __init__(self, world: World, server: Server) -> None:
        self.server = server
        self._world = world

    @property
    def log(self) -> str:
        """All that Hermes has logged."""
        logs = (self._world.home / "logs").glob("*.log")
        return "".join(path.read_text(errors="replace") for path in logs)

    @property
    def platforms(self) -> dict[str, dict[str, Any]]:
        """What `hermes gateway status` knows of them."""
        try:
            state = json.loads((self._world.home / "gateway_state.json").read_text())
        except (OSError, ValueError):
            return {}
        found: dict[str, dict[str, Any]] = state["platforms"]
        return found

    def wait_for(self, platform: str, state: str) -> dict[str, Any]:
        """Wait until a platform is in this state; all that is known of it."""

        def reached() -> dict[str, Any] | None:
            assert self.server.process.poll() is None, self.server.output + self.log
            found = self.platforms.get(platform, {})
            return found if found.get("state") == state else None

        found: dict[str, Any] = wait_until(reached, f"{platform} to be {state}", 2 * PATIENCE)
        return found

    def do(self, body: str) -> Any:
        """Run the body of a coroutine function on the gateway's loop; see the probe."""
        port = int((self._world.home / "probe-port").read_text())
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            stream = connection.makefile("rw")
            stream.write(json.dumps(body) + "\n")
            stream.flush()
            answer = json.loads(stream.readline())
        assert "error" not in answer, answer["error"]
        return answer["result"]


def environment(world: World, version: str) -> tuple[Path, dict[str, str]]:
    """The `bin` of a release with the plugin, and what its commands get to see."""
    python = hermes_python(f"gateway-{version}")
    chosen = {
        **world.environment,
        "PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin",
        "GATEWAY_ALLOW_ALL_USERS": "true",
    }
    # It names the worker's Hermes, and here there is no worker.
    del chosen["HERMES_ATTACH_HERMES_PYTHON"]
    return python.parent, chosen


def configure(world: World, version: str, model: FakeModel, *plugins: str, more: str = "") -> None:
    """Hermes' home: a model, the plugins, and *more* of `config.yaml`."""
    world.configure_hermes(model, hermes_python(f"gateway-{version}"))
    with (world.home / "config.yaml").open("a") as config:
        config.write(_PLUGINS.format(enabled=", ".join(plugins)) + more)
    if "probe" in plugins:
        shutil.copytree(PROBE, world.home / "plugins" / "probe", dirs_exist_ok=True)


def start(world: World, version: str, port: int, **variables: str) -> Gateway:
    """`hermes gateway run`; the caller says what to wait for."""
    folder, chosen = environment(world, version)
    chosen |= {"HERMES_ATTACH_PORT": str(port), **variables}
    server = world.start([str(folder / "hermes"), "gateway", "run"], port, env=chosen)
    # The one that gets everything; looked through for the key at the end.
    server.log_path = world.home / "logs" / "agent.log"
    return Gateway(world, server)


def run_gateway(world: World, version: str, port: int, model: FakeModel, **more: str) -> Gateway:
    """A gateway with the plugin and the probe, once both are connected."""
    configure(world, version, model, "attach", "probe")
    gateway = start(world, version, port, **more)
    gateway.wait_for("probe", "connected")
    gateway.wait_for("attach", "connected")
    return gateway


def hermes(world: World, version: str, *command: str, **variables: str) -> Any:
    """Run one command of Hermes to its end."""
    folder, chosen = environment(world, version)
    return world.run(str(folder / "hermes"), *command, env={**chosen, **variables})
