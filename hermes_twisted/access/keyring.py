"""All keys of a running server: those of the store and those given in the clear."""

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

#: The key that the first start makes.
FIRST_NAME: Final = "default"
#: Within one tick of its file system's clock a file may change again unseen. So what was
#: changed this short a time before it was read, in ns, is read again.
_TICK: Final = 100_000_000


class KeyLoader:
    """Keys from certain files, which are read when these have changed.

    While they cannot be read, or not be trusted, no key of theirs admits: an error is
    logged, once for each reason. Links stay: nobody has said that they are to end.
    """

    _log = Logger()

    def __init__(self, what: str, paths: Sequence[Path], read: Callable[[], Keyring]) -> None:
        self._what = what
        self._paths = tuple(paths)
        self._read = read
        self._seen: tuple[Signature, ...] | None = None
        self._problem: str | None = None
        self.latest: Keyring | None = None
        """What was read last; None while that is not to be trusted."""

    def load(self) -> None:
        """Read. Raises `Problem`, and then has no keys."""
        seen = tuple(map(signature, self._paths))
        # Entry 6 is the time of the last change, where there is a file.
        newest = max((one[6] for one in seen if len(one) > 6), default=0)
        self._seen = None if 0 <= time.time_ns() - newest < _TICK else seen
        self.latest = None
        self.latest = self._read()

    def refresh(self, *, anew: bool = False) -> None:
        """Read again if the files have changed, or in any case if *anew*."""
        if not anew and self._seen == tuple(map(signature, self._paths)):
            return
        before = self.latest
        try:
            self.load()
        except Problem as bad:
            if str(bad) != self._problem:
                self._log.error(
                    "no key of {what} admits until this is corrected: {problem}",
                    what=self._what,
                    problem=str(bad),
                )
            self._problem = str(bad)
        else:
            self._problem = None
            if self.latest != before:
                self._log.info("{what} has changed and was read again", what=self._what)


class ServerKeys:
    """The keyring of a server: the union of its loaders, as they are now.

    Each look at them costs a few `stat` calls.
    """

    def __init__(
        self,
        home: Path,
        environ: Mapping[str, str],
        *,
        key_file: Path | None = None,
        accept_api_server_key: bool = False,
        now: Callable[[], float] = time.time,
        tell: Callable[[str], None] = lambda secret: None,
    ) -> None:
        """*tell* is told every secret that is read in the clear, for the log to hide it."""
        self._tell = tell
        self._home = home
        self._now = now
        # Not the environment itself: it will not have our secret for long.
        names = (plaintext.VARIABLE, api_server.VARIABLE, "CREDENTIALS_DIRECTORY")
        self._environ = {name: environ[name] for name in names if name in environ}
        self._given: Key | None = None
        self._secret: Secret | None = None
        self._is_wanted = True
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

    def _add(self, what: str, paths: Sequence[Path], read: Callable[[], Keyring]) -> None:
        self._loaders.append(KeyLoader(what, paths, read))

    def load(self) -> None:
        """Read all loaders. Raises `Problem` for the first that cannot be used."""
        for loader in self._loaders:
            loader.load()

    @property
    def is_first_start(self) -> bool:
        """Whether no key has ever been given or made."""
        stored = self._store.latest
        return len(self._loaders) == 1 and isinstance(stored, Keys) and not stored.records

    @property
    def admits(self) -> bool:
        """Whether there is a key that admits, now."""
        return self.count > 0

    @property
    def count(self) -> int:
        """How many keys admit, now."""
        return sum(
            len(loader.latest.active) if isinstance(loader.latest, Keys) else 1
            for loader in self._loaders
        )

    def make_first(self) -> Secret:
        """Make the key of the first start. Raises `Problem`."""
        try:
            with store.changing(self._home, self._now) as change:
                keys, _record, secret = change.keys.make(FIRST_NAME, Scope.FULL)
                change.write(keys)
        except Problem as problem:  # Somebody was quicker.
            raise Problem(f"The first key cannot be made: {problem}.") from None
        self._store.load()
        return Secret(secret, str(store.store_path(self._home)))

    def take_secret(self) -> Secret | None:
        """One that can be shown, if there is one, and forget it: those of the store are unknown."""
        secret, self._secret = self._secret, None
        self._is_wanted = False
        return secret

    def find(self, secret: bytes) -> Key | None:
        """As `Keyring`: every loader is asked, whichever knows the secret."""
        self.refresh()
        found = None
        for loader in self._loaders:
            key = loader.latest.find(secret) if loader.latest is not None else None
            found = found or key
        return found

    def ended(self) -> Mapping[str, str]:
        """As `Keyring`."""
        return self._store.latest.ended() if self._store.latest is not None else {}

    def refresh(self, *, anew: bool = False) -> None:
        """As `Keyring`."""
        for loader in self._loaders:
            loader.refresh(anew=anew)

    def _from_file(self, path: Path) -> Keyring:
        return self._known(plaintext.read_key_file(path, self._environ)).key(FROM_FILE)

    def _from_environment(self) -> Keyring:
        secret = plaintext.from_environment(self._environ)
        if secret is not None:
            self._given = self._known(secret).key(FROM_ENVIRONMENT)
            del self._environ[plaintext.VARIABLE]
        assert self._given is not None
        return self._given

    def _from_api_server(self) -> Keyring:
        return api_server.key_of(self._known(api_server.read(self._home, self._environ)))

    def _known(self, secret: Secret) -> Secret:
        """Keep the first to show it, until it is taken."""
        self._tell(secret.text)
        if self._is_wanted and self._secret is None:
            self._secret = secret
        return secret


def no_key(home: Path, environ: Mapping[str, str]) -> str:
    """That no key admits, and what to do."""
    path = store.store_path(home)
    what = f"Every key in {path} is revoked or expired."
    if not os.path.lexists(path):
        what = f"There is no key yet, in {path}."
    option = "" if home == default_home(environ) else f" --hermes-home {shlex.quote(str(home))}"
    return (
        f"{what} Make one in a terminal, with: hermes-attach key new NAME{option}; or give one "
        f"with --key-file.{former_key(home)}"
    )


def former_key(home: Path) -> str:
    """A sentence on the key file of earlier versions, if there is one."""
    former = store.former_path(home)
    if not os.path.lexists(former) or os.path.lexists(store.store_path(home)):
        return ""
    return (
        f" The key in {former} is no longer read by itself: --key-file {former} takes it as it is."
    )
