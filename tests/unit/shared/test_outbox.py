from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes_twisted.shared import outbox as module
from hermes_twisted.shared.backlog import NO_BACKLOG, Backlog
from hermes_twisted.shared.outbox import ANSWER, DELTA, EVENT, NOTE, Item, Outbox
from tests.unit.shared.conftest import Waker

EVERYTHING = 2**40
NOTICE = b"<notice>"


def texts(items: list[Item]) -> list[bytes]:
    return [data for _kind, _tag, data in items]


def fill(outbox: Outbox, *frames: bytes, kind: int = EVENT) -> None:
    for frame in frames:
        assert outbox.put(frame, kind)


def test_order(wake: Waker) -> None:
    """Frames come out in the order of the puts, with the kind and tag they came with."""
    outbox = Outbox(wake)

    outbox.put(b"a")
    outbox.put(b"b", ANSWER, 7)
    outbox.put(b"c", DELTA)

    assert outbox.take(EVERYTHING) == [(EVENT, 0, b"a"), (ANSWER, 7, b"b"), (DELTA, 0, b"c")]


@pytest.mark.parametrize(
    ("budget", "expected"),
    [(0, []), (1, [b"aa"]), (2, [b"aa"]), (3, [b"aa", b"bb"]), (5, [b"aa", b"bb", b"cc"])],
)
def test_budget(wake: Waker, budget: int, expected: list[bytes]) -> None:
    """A take ends with the frame that reaches the budget, and that one may exceed it."""
    outbox = Outbox(wake)
    fill(outbox, b"aa", b"bb", b"cc", b"dd")

    assert texts(outbox.take(budget)) == expected
    assert outbox.size == 8 - 2 * len(expected)


def test_a_note_goes_with_its_frame(wake: Waker) -> None:
    """However little is asked for; it counts, and is in its place."""
    outbox = Outbox(wake)
    outbox.put(b"aa", note=b"n")
    outbox.put(b"bb")

    assert outbox.size == 5
    assert [(kind, text) for kind, _tag, text in outbox.take(1)] == [(EVENT, b"aa"), (NOTE, b"n")]
    assert [(kind, text) for kind, _tag, text in outbox.take(1)] == [(EVENT, b"bb")]
    assert outbox.size == 0


def test_take_of_nothing(wake: Waker) -> None:
    """An empty outbox gives an empty list."""
    assert Outbox(wake).take(EVERYTHING) == []


def test_one_wake_per_batch(wake: Waker) -> None:
    """The consumer is woken once, however many frames come before it takes."""
    outbox = Outbox(wake)

    fill(outbox, b"a", b"b", b"c")

    assert wake.count == 1


def test_no_wake_while_something_was_left(wake: Waker) -> None:
    """A consumer that left frames behind is awake still, and is not woken again."""
    outbox = Outbox(wake)
    fill(outbox, b"a", b"b")
    outbox.take(1)

    fill(outbox, b"c")

    assert wake.count == 1


def test_wake_after_emptying(wake: Waker) -> None:
    """A take that leaves nothing makes the consumer idle: the next frame wakes it."""
    outbox = Outbox(wake)
    fill(outbox, b"a")
    outbox.take(EVERYTHING)

    fill(outbox, b"b")

    assert wake.count == 2


def test_wake_is_called_without_the_lock() -> None:
    """The wake-up may use the outbox: it is called after the lock was released."""
    taken: list[Item] = []
    outbox = Outbox(lambda: taken.extend(outbox.take(EVERYTHING)))

    outbox.put(b"a")

    assert texts(taken) == [b"a"]


def test_one_huge_frame_passes(wake: Waker) -> None:
    """A frame above the hard limit passes when nothing much waits before it."""
    outbox = Outbox(wake, soft=5, hard=10)

    assert outbox.put(b"x" * 1000)
    assert texts(outbox.take(1)) == [b"x" * 1000]


def test_exactly_the_hard_limit_is_no_overflow(wake: Waker) -> None:
    """Overflow begins above the hard limit, not at it."""
    outbox = Outbox(wake, soft=10, hard=10)
    fill(outbox, b"x" * 10)

    assert outbox.put(b"y")
    assert not outbox.overflowed


def test_overflow(wake: Waker) -> None:
    """A frame that comes above the hard limit is refused, and what waited is dropped."""
    outbox = Outbox(wake, soft=10, hard=10)
    fill(outbox, b"x" * 11)

    assert not outbox.put(b"y")
    assert outbox.overflowed
    assert outbox.size == 0
    assert outbox.take(EVERYTHING) == []


def test_overflow_wakes_even_an_awake_consumer(wake: Waker) -> None:
    """The consumer hears of an overflow although it waits for the client."""
    outbox = Outbox(wake, soft=10, hard=10)
    fill(outbox, b"x" * 11)

    outbox.put(b"y")

    assert wake.count == 2


def test_nothing_after_overflow(wake: Waker) -> None:
    """After an overflow every frame is refused, in silence."""
    outbox = Outbox(wake, soft=10, hard=10)
    fill(outbox, b"x" * 11)
    outbox.put(b"y")

    assert not outbox.put(b"z", ANSWER, 1)
    assert outbox.take(EVERYTHING) == []
    assert wake.count == 2


def test_overflow_on_demand(wake: Waker) -> None:
    """`overflow` drops everything and wakes the consumer, awake or not."""
    outbox = Outbox(wake)
    fill(outbox, b"a")

    outbox.overflow()

    assert outbox.overflowed
    assert outbox.size == 0
    assert wake.count == 2
    assert not outbox.put(b"b")


def test_exactly_the_soft_limit_sheds_nothing(wake: Waker) -> None:
    """Shedding begins above the soft limit, not at it."""
    outbox = Outbox(wake, soft=10, hard=100)

    fill(outbox, b"x" * 5, b"y" * 5, kind=DELTA)

    assert outbox.shed == 0
    assert outbox.size == 10


def test_shedding_drops_waiting_deltas_only(wake: Waker) -> None:
    """Above the soft limit waiting deltas go; events and answers keep their order."""
    outbox = Outbox(wake, soft=10, hard=100)
    outbox.put(b"event", EVENT)
    outbox.put(b"dd", DELTA)
    outbox.put(b"answer", ANSWER, 3)

    assert outbox.take(EVERYTHING) == [(EVENT, 0, b"event"), (ANSWER, 3, b"answer")]
    assert outbox.shed == 1


def test_shedding_leaves_new_deltas_out(wake: Waker) -> None:
    """While shedding a new delta is counted, not queued; an event is queued."""
    outbox = Outbox(wake, soft=10, hard=100)
    fill(outbox, b"x" * 11)

    assert outbox.put(b"delta", DELTA)
    assert outbox.put(b"event")

    assert texts(outbox.take(EVERYTHING)) == [b"x" * 11, b"event"]
    assert outbox.shed == 1


def test_shed_delta_is_no_overflow(wake: Waker) -> None:
    """A delta above the hard limit is left out and does not cost the client its link."""
    outbox = Outbox(wake, soft=10, hard=20)
    fill(outbox, b"x" * 21)

    assert outbox.put(b"delta", DELTA)
    assert not outbox.overflowed


def test_shedding_goes_on_above_half(wake: Waker) -> None:
    """Deltas stay out until no more than half of the soft limit waits."""
    outbox = Outbox(wake, soft=10, hard=100)
    fill(outbox, b"x" * 5, b"y" * 6)
    outbox.take(1)
    assert outbox.size == 6

    outbox.put(b"delta", DELTA)

    assert texts(outbox.take(EVERYTHING)) == [b"y" * 6]


def test_shedding_ends_at_half(wake: Waker) -> None:
    """With half of the soft limit drained, deltas pass again."""
    outbox = Outbox(wake, soft=10, hard=100)
    fill(outbox, b"x" * 6, b"y" * 5)
    outbox.take(1)
    assert outbox.size == 5

    outbox.put(b"delta", DELTA)

    assert texts(outbox.take(EVERYTHING)) == [b"y" * 5, b"delta"]
    assert outbox.shed == 0


def test_shedding_ends_at_once_when_deltas_were_all(wake: Waker) -> None:
    """When dropping the waiting deltas empties the queue, the next delta passes."""
    outbox = Outbox(wake, soft=10, hard=100)
    fill(outbox, b"d" * 6, b"e" * 6, kind=DELTA)
    assert outbox.size == 0
    assert outbox.shed == 2

    outbox.put(b"next", DELTA)

    assert texts(outbox.take(EVERYTHING)) == [b"next"]


def test_shedding_is_explained_once(wake: Waker) -> None:
    """One explanation stands where the first delta of an episode was left out."""
    outbox = Outbox(wake, soft=10, hard=100, explain=lambda: NOTICE)
    fill(outbox, b"x" * 11)
    for text in (b"d1", b"d2", b"d3"):
        outbox.put(text, DELTA)
    outbox.put(b"event")

    assert outbox.size == 11 + len(NOTICE) + len(b"event")
    assert outbox.take(EVERYTHING) == [
        (EVENT, 0, b"x" * 11),
        (EVENT, 0, NOTICE),
        (EVENT, 0, b"event"),
    ]


def test_shedding_is_explained_again(wake: Waker) -> None:
    """Another episode of shedding has an explanation of its own."""
    outbox = Outbox(wake, soft=10, hard=100, explain=lambda: NOTICE)
    for _ in range(2):
        fill(outbox, b"x" * 11)
        outbox.put(b"delta", DELTA)
        assert texts(outbox.take(EVERYTHING)) == [b"x" * 11, NOTICE]


def test_dropped_deltas_are_explained(wake: Waker) -> None:
    """Deltas that were queued before shedding began are explained as well."""
    outbox = Outbox(wake, soft=10, hard=100, explain=lambda: NOTICE)
    fill(outbox, b"d" * 4, kind=DELTA)
    fill(outbox, b"x" * 8)

    assert texts(outbox.take(EVERYTHING)) == [b"x" * 8, NOTICE]


def test_nothing_left_out_nothing_explained(wake: Waker) -> None:
    """A queue above the soft limit that holds no deltas says nothing of them."""
    outbox = Outbox(wake, soft=10, hard=100, explain=lambda: NOTICE)

    fill(outbox, b"x" * 20)

    assert texts(outbox.take(EVERYTHING)) == [b"x" * 20]


def test_close(wake: Waker) -> None:
    """A closed outbox drops what waits and refuses what comes, without a wake-up."""
    outbox = Outbox(wake)
    fill(outbox, b"a")

    outbox.close()

    assert outbox.size == 0
    assert not outbox.put(b"b")
    assert outbox.take(EVERYTHING) == []
    assert wake.count == 1
    assert not outbox.overflowed


def test_many_threads() -> None:
    """With a thousand frames of each of eight threads none is lost and each thread's keep order."""
    threads, each = 8, 1000
    bell = threading.Event()
    outbox = Outbox(bell.set)
    start = threading.Barrier(threads)

    def write(number: int) -> None:
        start.wait()
        for count in range(each):
            assert outbox.put(b"%d %d" % (number, count))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(threads)]
    for writer in writers:
        writer.start()
    taken: list[bytes] = []
    while len(taken) < threads * each:
        # As the event loop does: sleep until woken, then take until nothing is left.
        assert bell.wait(60), "a wake-up was lost"
        bell.clear()
        while lot := outbox.take(64):
            taken += texts(lot)
    for writer in writers:
        writer.join()

    for number in range(threads):
        mine = [text for text in taken if text.startswith(b"%d " % number)]
        assert mine == [b"%d %d" % (number, count) for count in range(each)]
    assert outbox.size == 0


@dataclass
class Watcher:
    """Checks the wake-up rule: woken once when idle, never when awake, unless it overflows."""

    awake: bool = False
    overflows: bool = False
    calls: list[None] = field(default_factory=list)

    def __call__(self) -> None:
        self.calls.append(None)
        self.awake = True


puts = st.tuples(st.sampled_from([EVENT, DELTA, ANSWER]), st.integers(0, 40))
takes = st.integers(0, 60)


@settings(max_examples=200)
@given(steps=st.lists(st.one_of(puts, takes), max_size=60), explains=st.booleans())
def test_any_sequence(steps: list[tuple[int, int] | int], explains: bool) -> None:
    """Under any puts and takes: order, byte counts, wake-ups, and only deltas are ever missing."""
    watcher = Watcher()
    explain = (lambda: NOTICE) if explains else None
    outbox = Outbox(watcher, soft=50, hard=90, explain=explain)
    accepted: list[Item] = []
    taken: list[Item] = []
    for number, step in enumerate(steps):
        calls = len(watcher.calls)
        was_awake, was_over = watcher.awake, outbox.overflowed
        if isinstance(step, tuple):
            kind, length = step
            item = kind, number, b"%d" % number + b"." * length
            if outbox.put(item[2], item[0], item[1]):
                assert not was_over
                accepted.append(item)
            else:
                assert outbox.overflowed
        else:
            before = outbox.size
            lot = outbox.take(step)
            taken += lot
            assert before - outbox.size == sum(map(len, texts(lot)))
            # No frame is taken once the budget is reached.
            assert sum(map(len, texts(lot[:-1]))) < max(step, 1)
            if outbox.size == 0:
                watcher.awake = False
        new_overflow = outbox.overflowed and not was_over
        if was_awake and not new_overflow:
            assert len(watcher.calls) == calls
        assert outbox.size == 0 or watcher.awake
    overflowed = outbox.overflowed
    size = outbox.size
    rest = outbox.take(EVERYTHING)
    assert size == sum(map(len, texts(rest)))
    taken += rest

    said = [item for item in taken if item[2] != NOTICE]
    positions = {item: place for place, item in enumerate(accepted)}
    order = [positions[item] for item in said]
    assert order == sorted(set(order))
    if not overflowed:
        missing = set(accepted) - set(said)
        assert all(kind == DELTA for kind, _tag, _data in missing)
        assert len(missing) == outbox.shed
        # Whatever is missing is explained (the last explanation may not be taken: it is).
        assert bool(missing and explains) == (NOTICE in texts(taken))


def test_the_sum_is_kept(wake: Waker, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits counts against the budget, however it came and however it goes."""
    monkeypatch.setattr(module, "REPORT_STEP", 0)
    budget = Backlog(1000)
    outbox = Outbox(wake, soft=10, hard=20, explain=lambda: NOTICE, total=budget)
    other = Outbox(wake, total=budget)
    other.put(b"12345")

    outbox.put(b"1234567", DELTA)
    assert budget.used == 12
    outbox.put(b"12345")  # Sheds the delta, and says so.
    assert budget.used == 5 + outbox.size == 5 + 5 + len(NOTICE)
    outbox.take(1)
    assert budget.used == 5 + outbox.size
    outbox.put(b"x" * 30)
    outbox.put(b"x" * 30)
    assert outbox.overflowed
    assert budget.used == 5
    other.close()
    other.close()
    assert budget.used == 0


def test_the_sum_is_kept_roughly(wake: Waker) -> None:
    """Small changes are reported together; the sum is never off by more than a lot for each."""
    budget = Backlog()
    outbox = Outbox(wake, total=budget)
    for _ in range(500):
        outbox.put(b"x" * 100)
        assert 0 <= outbox.size - budget.used <= module.REPORT_STEP
    while outbox.take(1000):
        assert abs(outbox.size - budget.used) <= module.REPORT_STEP
    outbox.close()

    assert budget.used == 0


def test_the_one_with_the_backlog_goes(wake: Waker) -> None:
    """Over the common limit whoever adds to more than its share overflows; others go on."""
    limit = 4 * NO_BACKLOG
    budget = Backlog(limit)
    greedy, slow, quick = (Outbox(wake, total=budget) for _ in range(3))
    assert greedy.put(b"x" * (limit - 10))
    assert slow.put(b"x" * NO_BACKLOG)

    assert quick.put(b"x" * 100)
    assert quick.put(b"x" * 100)
    assert slow.put(b"x" * 10)
    assert not greedy.put(b"x")

    assert (greedy.overflowed, slow.overflowed, quick.overflowed) == (True, False, False)
    assert abs(budget.used - slow.size - quick.size) <= 2 * module.REPORT_STEP


def test_a_share_grows_when_others_leave(wake: Waker) -> None:
    """The share is a part of the limit: one of as many as there are outboxes."""
    limit = 8 * NO_BACKLOG
    budget = Backlog(limit)
    outbox, others = Outbox(wake, total=budget), [Outbox(wake, total=budget) for _ in range(3)]
    assert others[0].put(b"x" * (limit + 1))
    assert outbox.put(b"x" * (limit // 4 + 1))
    for other in others[1:]:
        other.close()

    assert outbox.put(b"x")
    assert not Outbox(wake, total=budget).overflowed
    assert outbox.put(b"x" * limit)
    assert not outbox.put(b"x")


def test_one_huge_frame_passes_the_common_limit(wake: Waker) -> None:
    """A frame that is larger than everything together still passes alone."""
    outbox = Outbox(wake, total=Backlog(10))

    assert outbox.put(b"x" * 10_000_000)


def test_answers_and_events_are_told_apart() -> None:
    """Whoever measures hears of each answer; events are counted, notes are neither."""
    answers: list[tuple[int, bytes]] = []
    outbox = Outbox(lambda: None, answered=lambda tag, text: answers.append((tag, text)))

    outbox.put(b"event")
    outbox.put(b"delta", DELTA)
    outbox.put(b"answer", ANSWER, 7)
    outbox.put(b"note", NOTE)

    assert answers == [(7, b"answer")]
    assert outbox.events == 2
    outbox.close()
    outbox.put(b"late")
    assert outbox.events == 2


def test_shed_elsewhere() -> None:
    """What was left out before it came here counts as left out."""
    outbox = Outbox(lambda: None)

    outbox.note_shed(3)
    outbox.note_shed(4)

    assert outbox.shed == 7
