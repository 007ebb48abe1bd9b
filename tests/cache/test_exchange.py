"""What processes tell each other over Redis, one question at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from uuid import uuid4

import pytest

from llmkit.cache.base import CacheUnavailable
from llmkit.cache.entry import Kept
from llmkit.cache.entry import written as sealed
from llmkit.cache.exchange import Exchange, Share
from llmkit.cache.found import Last
from llmkit.cache.key import Key
from llmkit.cache.told import Known, joined, written
from llmkit.concurrency.threads import Bell, Pulse
from llmkit.events import Event, Finish, Reset, TextDelta, ThinkingDelta
from llmkit.usage import Usage
from support.waits import wait_for

redis = pytest.importorskip("redis", minversion="6")
from llmkit.cache.shared import News, SharedCalls  # noqa: E402  # needs redis-py
from llmkit.redis.room import RedisRoom  # noqa: E402

KEY = Key("a" * 16, "b" * 16, "c" * 64)
KNOWN = Known(
    usage=Usage(output_tokens=3, output_source="reported"),
    cost=Decimal("0.5"),
    provider="p",
    model="m",
    request_id="r",
)
END = Finish("end", "end_turn", KNOWN.usage)


class Calls:
    """The calls, and a look at what is in Redis."""

    def __init__(self, room: RedisRoom, url: str) -> None:
        self.namespace = f"test-{uuid4()}"
        self.asked = SharedCalls(room, namespace=self.namespace)
        self.redis = redis.Redis.from_url(url)

    def name(self, what: str) -> str:
        """Return the name of a key."""
        (name,) = self.redis.scan_iter(match=f"*{self.namespace}*{what}*", count=1000)
        return str(name.decode())


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """Return calls that nobody else has."""
    from support.redis_server import any_redis_url, wait_long

    wait_long(monkeypatch)
    with closing(RedisRoom(any_redis_url())) as room:
        made = Calls(room, any_redis_url())
        yield made
        made.redis.close()


def texts(*said: str) -> list[bytes]:
    """Write pieces of text."""
    return written([TextDelta(text) for text in said])


def test_nothing_is_told_twice(calls: Calls) -> None:
    """Who does not know whether it was heard says it again."""
    assert calls.asked.look(KEY, "one").leads
    for at, said in ((0, texts("a", "b")), (0, texts("a", "b", "c")), (3, []), (2, texts("c"))):
        assert calls.asked.tell(KEY, "one", at, said)[0]
    assert calls.asked.hear(KEY, "one", 0, "two").told == texts("a", "b", "c")
    assert calls.asked.hear(KEY, "one", 2, "two").told == texts("c")
    assert calls.asked.end(KEY, "one", Last(1, texts("b", "c", "d")))
    assert calls.asked.hear(KEY, "one", 0, "two").told == texts("a", "b", "c", "d")


def test_what_is_gone_is_not_gone_on_with(calls: Calls) -> None:
    """A text with a hole would be another one."""
    calls.asked.look(KEY, "one")
    calls.asked.tell(KEY, "one", 0, texts("a", "b"))
    calls.redis.delete(calls.name(":said:"))
    assert calls.asked.tell(KEY, "one", 2, texts("c")) == (False, False)
    calls.asked.end(KEY, "one", Last(2, texts("c"), b"kept", 60))
    assert calls.asked.look(KEY, "three").kept is None


def test_who_listens_is_known(calls: Calls) -> None:
    """From the first question on."""
    calls.asked.look(KEY, "one")
    assert calls.asked.tell(KEY, "one", 0, []) == (True, False)
    assert calls.asked.look(KEY, "two") == (None, "one", False)
    assert calls.asked.tell(KEY, "one", 0, []) == (True, True)


def test_all_is_kept_while_the_call_is_made(calls: Calls) -> None:
    """However long it takes; and not for long after its end."""
    calls.asked.look(KEY, "one")
    for name in (":call", ":said:"):
        calls.asked.tell(KEY, "one", 0, texts("a"))
        calls.redis.pexpire(calls.name(name), 2000)
        calls.asked.tell(KEY, "one", 0, texts("a"))
        assert calls.redis.pttl(calls.name(name)) > 2000
    calls.asked.end(KEY, "one", Last(1, texts("b")))
    assert 0 < calls.redis.pttl(calls.name(":said:")) <= 10_000


def test_what_is_said_in_one(calls: Calls) -> None:
    """Only if nobody was told a part of it."""
    calls.asked.look(KEY, "one")
    assert calls.asked.end(KEY, "one", Last(0, texts("abc"), None, 0, in_one=True))
    calls.asked.look(KEY, "two")
    calls.asked.tell(KEY, "two", 0, texts("a"))
    assert not calls.asked.end(KEY, "two", Last(0, texts("abc"), None, 0, in_one=True))
    assert calls.asked.hear(KEY, "two", 0, "x").told == texts("a")
    events: list[Event] = [TextDelta("a"), TextDelta("b"), ThinkingDelta("c"), TextDelta("d"), END]
    assert joined(events) == [TextDelta("ab"), ThinkingDelta("c"), TextDelta("d"), END]


def test_who_comes_after_the_end(calls: Calls) -> None:
    """Is given what is kept; the call is theirs if nothing is."""
    calls.asked.look(KEY, "one")
    calls.asked.end(KEY, "one", Last(0, texts("a"), b"kept", 60))
    assert calls.asked.hear(KEY, "one", 1, "two") == News(
        token="", leads=False, told=[], kept=b"kept"
    )
    calls.redis.delete(f"{calls.namespace}:cache:{KEY}")
    assert calls.asked.hear(KEY, "one", 1, "two") == News("two", leads=True, told=[])


def test_a_key_of_another_type(calls: Calls) -> None:
    """Is a failure of the cache, and of nothing else."""
    calls.asked.look(KEY, "one")
    name = calls.name(":call")
    calls.redis.delete(name)
    calls.redis.set(name, "x")
    with pytest.raises(CacheUnavailable):
        calls.asked.look(KEY, "two")


class Heard:
    """A flight that takes note of what it hears."""

    def __init__(self) -> None:
        self.said: list[Event] = []
        self.is_over = False
        self.is_followed = True
        self.known: Known | None = None
        self.error: BaseException | None = None
        self.pulse = Pulse()
        self.bell = Bell()
        self.begun = threading.Event()
        self.stopped = threading.Event()

    def hear(self, events: Sequence[Event], known: Known | None = None) -> None:
        """Take it in."""
        self.known = known
        self.said += events

    def reset(self) -> None:
        """Begin anew."""
        self.said.append(Reset())

    def begin_soon(self) -> None:
        """Make the call."""
        self.begun.set()

    def end(self, error: BaseException | None = None) -> None:
        """End."""
        self.error = error
        self.is_over = True

    def stop(self) -> None:
        """Stop."""
        self.stopped.set()
        self.end()


def exchange_of(calls: Calls) -> Exchange:
    """Make the thread of a process."""
    return Exchange(calls.asked, new_id=lambda: str(uuid4()))


@pytest.mark.parametrize("count", [1, 998, 999, 1000, 2500])
def test_a_long_answer(calls: Calls, count: int) -> None:
    """The end comes together with what is known of the whole, wherever a question stops."""
    calls.asked.look(KEY, "one")
    words = [TextDelta(f"{at} ") for at in range(count)]
    calls.asked.end(KEY, "one", Last(0, written([*words, END, KNOWN])))
    flight = Heard()
    exchange_of(calls).add(Share(flight, KEY, "one", leads=False))
    wait_for(lambda: flight.is_over, wanted=True)
    assert flight.said == [*words, END]
    assert (flight.known, flight.error) == (KNOWN, None)


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_kept_answer_in_place_of_a_call(calls: Calls, *, is_whole: bool) -> None:
    """What was said before is taken back; one that is torn is none."""
    kept = Kept(
        said=(("text", "whole", None),),
        stop_reason="end",
        raw_stop_reason="end_turn",
        usage=KNOWN.usage,
        cost=KNOWN.cost,
        provider="p",
        model="m",
        request_id="r",
        at=1.0,
    )
    data = sealed(str(KEY), kept) if is_whole else b"torn"
    calls.asked.look(KEY, "one")
    calls.asked.tell(KEY, "one", 0, texts("half"))
    flight = Heard()
    exchange_of(calls).add(Share(flight, KEY, "one", leads=False))
    wait_for(lambda: len(flight.said), 1)
    calls.asked.end(KEY, "one", Last(1, [], data, 60))
    if not is_whole:
        assert flight.begun.wait(60)
        flight.end()
        return
    wait_for(lambda: flight.is_over, wanted=True)
    assert flight.said[1:] == [Reset(), TextDelta("whole"), END]
    assert flight.known == KNOWN


def test_who_is_left_and_lost(calls: Calls) -> None:
    """A call that another process makes now is stopped when nobody here wants it."""
    calls.asked.look(KEY, "one")
    flight = Heard()
    exchange_of(calls).add(share := Share(flight, KEY, "one", leads=True))
    calls.redis.hset(calls.name(":call"), "token", "another")
    flight.is_followed = False
    assert flight.stopped.wait(60)
    assert share.is_lost


def test_who_stands_still(calls: Calls) -> None:
    """Is taken over from, though its process lives."""
    calls.asked.lease = 0.5
    calls.asked.look(KEY, "one")

    class Still(Pulse):
        def beats(self) -> bool:
            return False

    leader, follower = Heard(), Heard()
    leader.pulse = Still()
    exchange = exchange_of(calls)
    exchange.add(share := Share(leader, KEY, "one", leads=True))
    exchange.add(Share(follower, KEY, "one", leads=False))
    assert follower.begun.wait(60)
    leader.pulse = Pulse()
    wait_for(lambda: share.is_lost, wanted=True)
    leader.end()
    follower.end()


def test_a_thread_that_cannot_start(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is an error of this call, and the next one has another."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    exchange, flight = exchange_of(calls), Heard()
    calls.asked.look(KEY, "one")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            exchange.add(Share(Heard(), KEY, "one", leads=False))
    calls.asked.tell(KEY, "one", 0, texts("a"))
    exchange.add(Share(flight, KEY, "one", leads=False))
    wait_for(lambda: len(flight.said), 1)
    flight.end()


def test_many_calls(calls: Calls) -> None:
    """Have as many threads as they need, so that all are told of in time; none is left."""
    exchange = exchange_of(calls)
    flights = [Heard() for _ in range(120)]
    for at, flight in enumerate(flights):
        key = Key("a" * 16, "b" * 16, f"{at:064}")
        calls.asked.look(key, "one")
        exchange.add(Share(flight, key, "one", leads=True))
    wait_for(lambda: len(names()), 3)  # those of other tests end soon
    for flight in flights:
        flight.end()
    exchange.close()
    wait_for(names, [])


def names() -> list[str]:
    """Name the threads."""
    return [each.name for each in threading.enumerate() if each.name == "llmkit-flights"]
