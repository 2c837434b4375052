from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from hermes_twisted.access.admission import Admission
from hermes_twisted.access.handshake import Head
from hermes_twisted.access.keys import Key
from hermes_twisted.access.refusals import Refusal
from hermes_twisted.access.rules import AdmissionRules, Admitted, HostRule
from hermes_twisted.limits import Limits
from hermes_twisted.testing import Tally

SECRET = "hat_AAAAbbbbCCCCddddEEEE-ffff_gggg"
HERE, THERE = "192.0.2.1", "2001:db8::/64"


def head(secret: str) -> Head:
    return Head(
        b"GET",
        b"/api/ws?token=" + secret.encode(),
        b"HTTP/1.1",
        {
            b"host": [b"attach.example"],
            b"upgrade": [b"websocket"],
            b"connection": [b"Upgrade"],
            b"sec-websocket-key": [b"dGhlIHNhbXBsZSBub25jZQ=="],
            b"sec-websocket-version": [b"13"],
        },
    )


class World:
    """A gate, its clock and its meter."""

    def __init__(self, **limits: float) -> None:
        self.clock = Clock()
        self.tally = Tally()
        self.limits = Limits(**limits)  # type: ignore[arg-type]
        self.gate = Admission(self.limits, self.clock.seconds, self.tally)
        self.gate.open(
            AdmissionRules(
                Key.of("laptop", SECRET),
                HostRule(any_host=True),
                links=self.limits.max_connections,
                links_of_source=self.limits.max_connections_per_address,
            )
        )

    def ask(self, secret: str = SECRET, source: str = HERE) -> str:
        """What becomes of a handshake."""
        decision = self.gate.decide(head(secret), source)
        return decision.code if isinstance(decision, Refusal) else "admitted"


def test_nobody_before_it_opens() -> None:
    """Without rules there is no admission, and a closed gate has none."""
    world = World()
    fresh = Admission(Limits(), world.clock.seconds, world.tally)
    assert isinstance(fresh.decide(head(SECRET), HERE), Refusal)

    world.gate.close()

    assert world.ask() == "stopping"


def test_wrong_keys_add_up() -> None:
    """After ten wrong keys a source's next ones are refused with 429 and the time to wait."""
    world = World()
    assert [world.ask("wrong") for _ in range(10)] == ["key-wrong"] * 10
    world.clock.advance(20.5)

    refused = world.gate.decide(head("wrong"), HERE)

    assert isinstance(refused, Refusal)
    assert (refused.status, refused.code) == (429, "too-many-failures")
    assert dict(refused.headers)["Retry-After"] == "40"


def test_a_valid_key_always_gets_in() -> None:
    """Whatever others did from its address."""
    world = World()
    for _ in range(1000):
        world.ask("wrong")

    assert world.ask() == "admitted"
    assert world.ask("wrong") == "too-many-failures"


def test_others_are_not_concerned() -> None:
    """Failures count for their own source."""
    world = World()
    for _ in range(20):
        world.ask("wrong")

    assert world.ask("wrong", THERE) == "key-wrong"


def test_the_block_ends() -> None:
    """A minute after the first failure, and a long attack does not prolong it."""
    world = World()
    for _ in range(59):
        world.clock.advance(1.0)
        world.ask("wrong")
    assert world.ask("wrong") == "too-many-failures"

    world.clock.advance(2.0)

    assert world.ask("wrong") == "key-wrong"


@pytest.mark.parametrize("spoilt", ["", "&token=x"], ids=["no key at all", "two keys"])
def test_only_wrong_keys_count(spoilt: str) -> None:
    """Whoever shows no key, or two, has not guessed."""
    world = World()
    target = b"/api/ws" if not spoilt else b"/api/ws?token=a&token=b"
    for _ in range(30):
        shown = head("")
        world.gate.decide(Head(b"GET", target, b"HTTP/1.1", shown.headers), HERE)

    assert world.ask("wrong") == "key-wrong"


def test_links_in_all_and_per_source() -> None:
    """Beyond either limit a valid key waits; a link that ends makes room."""
    world = World(max_connections=3, max_connections_per_address=2)
    for _ in range(2):
        assert world.ask() == "admitted"
        world.gate.entered(HERE)

    assert world.ask() == "source-full"
    assert world.ask(source=THERE) == "admitted"
    world.gate.entered(THERE)
    assert world.ask(source=THERE) == "full"
    world.gate.left(HERE)

    assert world.ask() == "admitted"


def test_full_says_nothing_without_a_key() -> None:
    """How full the server is, is for holders of keys."""
    world = World(max_connections=1)
    world.gate.entered(THERE)

    assert world.ask("wrong") == "key-wrong"


def test_outcomes_are_counted() -> None:
    """By what became of them."""
    world = World()
    world.ask()
    world.ask("wrong")
    world.ask("wrong")

    assert world.tally.of("admission", "admitted") == 1
    assert world.tally.of("admission", "key-wrong") == 2


def test_the_key_is_handed_on() -> None:
    """The very key, with its scope."""
    decision = World().gate.decide(head(SECRET), HERE)

    assert decision == Admitted(Key.of("laptop", SECRET))
