"""The keyring of a running server: the keys of the key store and those given in the clear."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from twisted.logger import Logger

from ..config.environment import default_home
from ..files import Signature, signature
from ..shared.problem import Problem
from . import api_server, plaintext, store
from .keys import FROM_ENVIRONMENT, FROM_FILE, Key, Keyring, Keys, Scope
from .plaintext import Secret

#: The name of the key that the first start makes.
FIRST_NAME: Final = "default"
#: In ns. A file that changed less than this before it was read is read again the next time: another
#: change within the same tick of the file system's clock would go unnoticed.
_TICK: Final = 100_000_000


class KeyLoader:
    """Reads keys from files, and reads them again when the files change.

    While the files cannot be read or trusted, none of their keys admits; each reason is logged
    once. Open links stay open, because no key was revoked. *label* names the files in the log.
    """

    _log = Logger()

    def __init__(self, label: str, paths: Sequence[Path], read: Callable[[], Keyring]) -> None:
        self._label = label
        self._paths = tuple(paths)
        self._read = read
        self._seen: tuple[Signature, ...] | None = None
        self._problem: str | None = None
        self.latest: Keyring | None = None
        """The keys that were read last; None before the first `load` and after a failure."""

    def load(self) -> None:
        """Read the keys. Raises `Problem`; then `latest` is None."""
        seen = tuple(map(signature, self._paths))
        newest = max((one.changed_ns for one in seen), default=0)
        self._seen = None if 0 <= time.time_ns() - newest < _TICK else seen
        self.latest = None
        self.latest = self._read()

    def refresh(self, *, anew: bool = False) -> None:
        """Read the keys again if the files have changed, or in any case if *anew*."""
        if not anew and self._seen == tuple(map(signature, self._paths)):
            return
        before = self.latest
        try:
            self.load()
        except Problem as bad:
            if str(bad) != self._problem:
                self._log.error(
                    "keys from {label} are disabled until this is fixed: {problem}",
                    label=self._label,
                    problem=str(bad),
                )
            self._problem = str(bad)
        else:
            self._problem = None
            if self.latest != before:
                self._log.info("{label} has changed and was read again", label=self._label)


class ServerKeys:
    """The keyring of a server: the keys of all its loaders.

    Every `find` first checks with a few `stat` calls whether files have changed.
    """

    def __init__(
        self,
        home: Path,
        environ: Mapping[str, str],
        *,
        key_file: Path | None = None,
        accept_api_server_key: bool = False,
        now: Callable[[], float] = time.time,
        on_secret: Callable[[str], None] = lambda secret: None,
    ) -> None:
        """*on_secret* is called with each plaintext secret, so that logs can redact it."""
        self._on_secret = on_secret
        self._home = home
        self._now = now
        # A copy, because the secret is removed from the process's environment after the start.
        names = (plaintext.VARIABLE, api_server.VARIABLE, "CREDENTIALS_DIRECTORY")
        self._environ = {name: environ[name] for name in names if name in environ}
        self._environment_key: Key | None = None
        self._secret: Secret | None = None
        self._keep_secret = True
        path = store.store_path(home)
        self._store = KeyLoader(
            f"the key store {path}", (path.parent, path), lambda: store.read(home, now)
        )
        self._loaders = [self._store]
        if key_file is not None:
            self._add(f"the key file {key_file}", (key_file,), lambda: self._from_file(key_file))
        if plaintext.VARIABLE in self._environ:
            self._add("the environment", (), self._from_environment)
        if accept_api_server_key:
            self._add("Hermes' API server", api_server.paths(home), self._from_api_server)

    def _add(self, label: str, paths: Sequence[Path], read: Callable[[], Keyring]) -> None:
        self._loaders.append(KeyLoader(label, paths, read))

    def load(self) -> None:
        """Read all keys. Raises `Problem` for the first loader whose files cannot be used."""
        for loader in self._loaders:
            loader.load()

    @property
    def is_first_start(self) -> bool:
        """Whether the key store is empty and no other keys are configured."""
        stored = self._store.latest
        return len(self._loaders) == 1 and isinstance(stored, Keys) and not stored.records

    @property
    def admits(self) -> bool:
        """Whether any key admits at the moment."""
        return self.count > 0

    @property
    def count(self) -> int:
        """How many keys admit at the moment."""
        return sum(
            len(loader.latest.active) if isinstance(loader.latest, Keys) else 1
            for loader in self._loaders
        )

    def make_first(self) -> Secret:
        """Make the key `FIRST_NAME` and return its secret. Raises `Problem`."""
        try:
            with store.changing(self._home, self._now) as change:
                keys, _record, secret = change.keys.make(FIRST_NAME, Scope.FULL)
                change.write(keys)
        except Problem as problem:
            raise Problem(f"The first key cannot be made. {problem.what}", problem.advice) from None
        self._store.load()
        return Secret(secret, str(store.store_path(self._home)))

    def take_secret(self) -> Secret | None:
        """Return the first plaintext secret once, if there is one, then forget it.

        Keys of the store have none: only their hashes are stored.
        """
        secret, self._secret = self._secret, None
        self._keep_secret = False
        return secret

    def find(self, secret: bytes) -> Key | None:
        """Return the key with this *secret*, else None. All are compared, for constant time."""
        self.refresh()
        found = None
        for loader in self._loaders:
            key = loader.latest.find(secret) if loader.latest is not None else None
            found = found or key
        return found

    def ended(self) -> Mapping[str, str]:
        """Return the ids of stored keys whose links must end, each with the reason."""
        return self._store.latest.ended() if self._store.latest is not None else {}

    def refresh(self, *, anew: bool = False) -> None:
        """Read again the keys whose files have changed; if *anew*, all of them."""
        for loader in self._loaders:
            loader.refresh(anew=anew)

    def _from_file(self, path: Path) -> Keyring:
        """Return the key in the key file. Raises `Problem`."""
        return self._register(plaintext.read_key_file(path, self._environ)).key(FROM_FILE)

    def _from_environment(self) -> Keyring:
        """Return the key from the environment; forget its plaintext after the first call."""
        secret = plaintext.from_environment(self._environ)
        if secret is not None:
            self._environment_key = self._register(secret).key(FROM_ENVIRONMENT)
            del self._environ[plaintext.VARIABLE]
        assert self._environment_key is not None
        return self._environment_key

    def _from_api_server(self) -> Keyring:
        return api_server.key_of(self._register(api_server.read(self._home, self._environ)))

    def _register(self, secret: Secret) -> Secret:
        """Report a secret for redaction, and keep the first one for `take_secret`."""
        self._on_secret(secret.text)
        if self._keep_secret and self._secret is None:
            self._secret = secret
        return secret


def no_key(home: Path, environ: Mapping[str, str]) -> Problem:
    """Return the problem of a server that no key admits to, with advice."""
    path = store.store_path(home)
    what = f"Every key in {path} is revoked or expired."
    if not os.path.lexists(path):
        what = f"There is no key yet: {path} does not exist."
    option = "" if home == default_home(environ) else f" --hermes-home {shlex.quote(str(home))}"
    return Problem(
        what,
        f"Make a key in a terminal, with: hermes-attach key new NAME{option}; or give one with "
        f"--key-file.{former_key(home)}",
    )


def former_key(home: Path) -> str:
    """Return a sentence about the key file of earlier versions, empty if there is none.

    The sentence begins with a space.
    """
    former = store.former_path(home)
    if not os.path.lexists(former) or os.path.lexists(store.store_path(home)):
        return ""
    return (
        f" The key in {former} is no longer read by itself: --key-file {former} takes it as it is."
    )
