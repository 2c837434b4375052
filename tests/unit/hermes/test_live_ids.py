from __future__ import annotations

from typing import Any

import pytest

from hermes_twisted.hermes.live_ids import LiveIds

OLD, NEW = "0000000a", "0000000b"


@pytest.fixture
def live_ids() -> LiveIds:
    live_ids = LiveIds()
    live_ids.add(OLD, NEW)
    return live_ids


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ({"session_id": OLD, "text": "hi"}, {"session_id": NEW, "text": "hi"}),
        ({"current_session_id": OLD}, {"current_session_id": NEW}),
        ({"session_id": "other"}, {"session_id": "other"}),
        ({"text": OLD}, {"text": OLD}),
        ({"session_id": [OLD]}, {"session_id": [OLD]}),
        ([OLD], [OLD]),
        (None, None),
    ],
)
def test_inward(live_ids: LiveIds, said: Any, heard: Any) -> None:
    """Requests name sessions in their params; no other text is touched."""
    request = {"id": 1, "method": "m", "params": said}

    assert live_ids.inward(request) == {"id": 1, "method": "m", "params": heard}


@pytest.mark.parametrize("request_", [None, [], "x", {"id": 1, "method": "m"}])
def test_what_is_no_request(live_ids: LiveIds, request_: Any) -> None:
    """Passes as it is; Hermes has the words for it."""
    assert live_ids.inward(request_) == request_


def test_events_outward(live_ids: LiveIds) -> None:
    """Events come from the session that the client knows; Hermes' own object stays."""
    payload = {"text": NEW}
    event = {"method": "event", "params": {"type": "t", "session_id": NEW, "payload": payload}}

    seen = live_ids.outward(event)

    assert seen["params"] == {"type": "t", "session_id": OLD, "payload": payload}
    assert event["params"]["session_id"] == NEW


def test_results_outward(live_ids: LiveIds) -> None:
    """So do results, and lists of live sessions."""
    listed = [{"id": NEW, "title": NEW}, {"id": "other"}, "odd"]
    answer = {"id": 1, "result": {"session_id": NEW, "sessions": listed}}

    result = live_ids.outward(answer)["result"]

    assert result["session_id"] == OLD
    assert result["sessions"] == [{"id": OLD, "title": NEW}, {"id": "other"}, "odd"]


@pytest.mark.parametrize(
    "frame", [{"id": 1, "result": {"text": NEW}}, {"id": 1, "error": {}}, {"params": [NEW]}]
)
def test_all_else_outward(live_ids: LiveIds, frame: dict[str, Any]) -> None:
    """Passes, and is the same object."""
    assert live_ids.outward(frame) is frame


def test_twice_restarted(live_ids: LiveIds) -> None:
    """The client's name stays the same over several restarts."""
    live_ids.add(OLD, "0000000c")

    assert live_ids.inward({"params": {"session_id": OLD}})["params"]["session_id"] == "0000000c"
    assert live_ids.of_client("0000000c") == OLD
    assert live_ids.of_client("unheard of") == "unheard of"


def test_none(live_ids: LiveIds) -> None:
    """Without any there is nothing to translate."""
    assert not LiveIds().translates
    assert live_ids.translates
