"""Checks the server's keys, and who can reach their files."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from ..access.keyring import ServerKeys, no_key
from ..access.store import store_path
from ..shared.problem import Problem
from .findings import Finding, ok, problem, warning

CHECK = "key"


def check(key_file: Path | None, environ: Mapping[str, str], home: Path) -> list[Finding]:
    """Check that the server would find a key, and that others cannot change its files."""
    keys = ServerKeys(home, environ, key_file=key_file)
    try:
        keys.load()
    except Problem as bad:
        return [
            problem(CHECK, bad.what, "The server does not start like this.", bad.advice or _ADVICE)
        ]
    folder = store_path(home).parent
    if not keys.admits:
        absent = no_key(home, environ)
        return [
            problem(
                CHECK,
                absent.what,
                "The first start in a terminal makes one; a daemon, which cannot show it, refuses.",
                absent.advice,
            )
        ]
    return [ok(CHECK, f"{keys.count} that admit"), *check_folder(folder)]


_ADVICE = "Correct that, then run this again."


def check_folder(folder: Path) -> list[Finding]:
    """Check that others cannot replace files in the folder."""
    try:
        status = os.stat(folder)
    except OSError:
        return []  # Without it there are no files either, and that was reported.
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return [
            problem(
                CHECK,
                f"Others than its owner can write to {folder}.",
                "A user who can replace the file with the keys can run commands as you.",
                f"Run: chmod 700 {folder}. Then make new keys, if others use this machine.",
            )
        ]
    if status.st_uid not in (os.geteuid(), 0):
        return [
            warning(
                CHECK,
                f"{folder} belongs to another user (id {status.st_uid}).",
                "The server runs as one user, and its keys should be that user's.",
                "Run the doctor as the user that the server runs as, or correct the owner.",
            )
        ]
    return []
