from __future__ import annotations

from typing import Any

import pytest

from hermes_twisted.hermes.cures import resume_by_live_id
from hermes_twisted.hermes.cures.resume_by_live_id import StoredKeys
from tests.unit.hermes.cures.sessions import KEY, Hermes, resume


def test_live_id_of_a_stored_session() -> None:
    """A live id becomes the key under which Hermes finds the session; the rest stays."""
    found = StoredKeys(Hermes(**{KEY: ""}).server).translate(resume("live0001", cols=80))

    assert found == resume(KEY, cols=80)


@pytest.mark.parametrize("target", [KEY, "a title", "unknown1"])
def test_what_is_no_live_id_passes(target: str) -> None:
    """Stored keys, titles and what nobody knows go to Hermes as they are."""
    request = resume(target)

    assert StoredKeys(Hermes(**{KEY: "a title"}).server).translate(request) is request


def test_live_session_that_is_not_stored() -> None:
    """Before its first prompt a session is only live: it is activated."""
    found = StoredKeys(Hermes().server).translate(resume("live0001"))

    assert (found["method"], found["params"]) == ("session.activate", {"session_id": "live0001"})


def test_live_session_that_is_not_stored_nor_activated() -> None:
    """Where nothing helps the request stays."""
    hermes = Hermes()
    del hermes.server._methods["session.activate"]

    assert StoredKeys(hermes.server).translate(resume("live0001")) == resume("live0001")


def test_reaped_session() -> None:
    """A session that has ended is known by its live id as long as the worker lives."""
    hermes = Hermes(**{KEY: ""})
    keys = StoredKeys(hermes.server)
    keys.remember("live0001")
    hermes.server._sessions.clear()

    assert keys.translate(resume("live0001")) == resume(KEY)


def test_reaped_session_that_was_never_stored() -> None:
    """An empty talk is resumed as an empty talk."""
    hermes = Hermes()
    keys = StoredKeys(hermes.server)
    keys.remember("live0001")
    hermes.server._sessions.clear()

    found = keys.translate(resume("live0001", cols=90))

    assert (found["method"], found["params"]) == ("session.create", {"cols": 90})


def test_key_that_changes() -> None:
    """Compression gives a session another key: the last one counts."""
    hermes = Hermes(**{KEY: "", "later": ""})
    keys = StoredKeys(hermes.server)
    keys.remember("live0001")
    hermes.session["session_key"] = "later"
    keys.remember("live0001")
    hermes.server._sessions.clear()

    assert keys.translate(resume("live0001")) == resume("later")


@pytest.mark.parametrize("key", [None, 5, [], ""])
def test_odd_keys(key: Any) -> None:
    """What is no stored key is not remembered, nor is an id that is no session's."""
    hermes = Hermes()
    hermes.session["session_key"] = key
    keys = StoredKeys(hermes.server)

    keys.remember("live0001")
    keys.remember("unknown")

    assert not keys._keys


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many sessions the oldest are forgotten."""
    monkeypatch.setattr(resume_by_live_id, "REMEMBERED", 2)
    hermes = Hermes(**{KEY: ""})
    keys = StoredKeys(hermes.server)
    for sid in ("a", "b", "c"):
        hermes.server._sessions[sid] = {"session_key": KEY}
        keys.remember(sid)
    hermes.server._sessions.clear()

    assert keys.translate(resume("a")) == resume("a")
    assert keys.translate(resume("c")) == resume(KEY)


def test_database_that_cannot_be_asked() -> None:
    """Where we cannot tell what is stored, Hermes shall."""
    hermes = Hermes()
    del hermes.server._get_db

    assert StoredKeys(hermes.server).translate(resume("live0001")) == resume(KEY)
