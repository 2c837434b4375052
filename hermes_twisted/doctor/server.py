"""The checks on the server's machine: everything that `hermes-attach serve` depends on."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..backends import registry
from ..server.settings import Settings
from . import hermes, keys, listening, node, service, trust
from .findings import Finding, Report
from .network import Network


@dataclass(frozen=True)
class ServerTools:
    """Access to the network, programs, the environment and the clock, for the checks."""

    network: Network
    run_node: node.RunNode
    inspect: hermes.Inspect
    run: service.Run
    environ: Mapping[str, str]
    find_owner: listening.FindOwner = listening.owner_of_port
    utc_now: Callable[[], datetime] = trust.utc_now


def examine(settings: Settings, pid_file: Path, tools: ServerTools, report: Report) -> None:
    """Run all checks; none depends on the results of others."""
    report.add(*check_backend(settings, tools))
    report.add(*keys.check(settings.key_file, tools.environ, settings.home))
    if (tls := settings.tls_choice) is not None and tls.certificate is not None:
        key = tls.key or tls.certificate
        report.add(*listening.check_files(tls.certificate, key, tools.utc_now()))
    for listener in settings.listeners:
        report.add(*listening.check_tls(listener, tools.utc_now()))
        report.add(*listening.check(listener, tools.network, tools.find_owner))
    report.add(service.check_plugin_cache(service.plugin_folders()))
    report.add(*service.check_pid_file(pid_file))
    report.add(*service.check_unit(tools.run))
    report.add(node.check_version(tools.run_node))


def check_backend(settings: Settings, tools: ServerTools) -> list[Finding]:
    """Return the findings of the backend's own check; none if it has no check."""
    check = registry.find(settings.backend).check
    if not check:
        return []
    return list(pkgutil.resolve_name(check)(settings.backend_options, settings, tools))
