from __future__ import annotations

from tests.unit.hermes.clients import Client, answer, event


def test_close_is_not_the_end(client: Client) -> None:
    """Hermes may close its transport; the client is served on."""
    client.seat.transport.close()

    assert client.write(event("x")) is True
    assert client.seat.transport._closed is False


def test_write_after_an_overflow(client: Client) -> None:
    """A client that was given up gets nothing, and Hermes is told that it is gone."""
    client.outbox.overflow()

    assert client.write(event("x")) is False
    assert client.write(answer(1)) is False


def test_questions_are_kept_when_the_client_is_gone(client: Client) -> None:
    """What Hermes still writes reaches nobody, and a question among it waits for the next."""
    client.end()
    question = event("clarify.request", request_id="r")

    assert client.write(question) is False
    assert client.write(event("message.delta")) is False

    assert list(client.questions._asked) == ["s"]
