# Generated from tests/_async/test_flights.py. Do not edit.
"""Who asks the same at the same time gets one answer."""

from __future__ import annotations

import gc
import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from llmkit import (
    Stream,
    BudgetExceeded,
    Caller,
    Finish,
    Kit,
    OutputInvalid,
    ProviderError,
    RateLimited,
    Response,
    StreamClosed,
    StreamTruncated,
)
from llmkit.testing import Behaviour, Emulator
from support.kits import WIRES, make_kit
from support.rows import database, rows
from support.waits import call, together, wait_for

SAID = Behaviour(tokens=40, delay=0)
HELD = Behaviour(tokens=40, delay=0, hold_at=3)
ALL: dict[str, Any] = {"cache": {"scope": "all"}}


def kit_of(emulator: Emulator, folder: Path, **more: Any) -> Kit:
    """Make a kit with a cache."""
    return make_kit(emulator, **{"ledger": {"database": database(folder)}, **ALL, **more})


class Meeting:
    """Lets the provider go on when so many have heard something of it."""

    def __init__(self, emulator: Emulator, count: int) -> None:
        self._emulator = emulator
        self._missing = count
        self._lock = threading.Lock()

    def met(self) -> None:
        """Take note that one has."""
        with self._lock:
            self._missing -= 1
            if self._missing == 0:
                self._emulator.release(None)


def ask(kit: Kit, meeting: Meeting, leaves: int = 0, **options: Any) -> Response:
    """Ask, and read the answer; or leave after so many reads."""
    with kit.client.stream("Say it", **{"temperature": 0, **options}) as stream:
        count = 0
        while (events := stream.read()) is not None:
            if count == 0 and events:
                meeting.met()
            count += 1
            if leaves and count >= leaves:
                break
    return stream.response


def told(reply: Response | Exception) -> Response:
    """Return an answer that has to be one."""
    assert isinstance(reply, Response), reply
    return reply


@pytest.mark.parametrize("wire", WIRES)
def test_a_hundred_ask_once(tmp_path: Path, wire: str) -> None:
    """One request, one cost, a hundred equal answers and a row each; and then the answer is kept."""
    with Emulator(behaviour=HELD) as emulator:
        kit = kit_of(emulator, tmp_path, wire=wire)
        meeting = Meeting(emulator, 100)
        replies = [
            told(reply) for reply in together([partial(ask, kit, meeting)] * 100)
        ]
        again = kit.client.complete("Say it", temperature=0)
        assert len(kit.runtime.flights) == 0
        assert kit.limit.running == 0
        kit.close()
        assert len(emulator.requests) == 1
    (text,) = {reply.text for reply in replies}
    assert len(text.split()) == 40
    assert (again.text, again.cached) == (text, True)
    (leader,) = [reply for reply in replies if not reply.shared]
    assert leader.cost
    assert {(reply.cost, reply.usage, reply.model) for reply in replies if reply.shared} == {
        (Decimal(0), leader.usage, leader.model)
    }
    found = rows(tmp_path)
    assert Counter((row["status"], row["attempt"]) for row in found) == {
        ("finished", 1): 1,
        ("shared", 0): 99,
        ("cached", 0): 1,
    }
    shared = [row for row in found if row["status"] == "shared"]
    assert {Decimal(row["saved_usd"]) for row in shared} == {leader.cost}
    assert {row["provider"] for row in shared} == {wire}
    for row in shared:
        assert row["started_at"] <= row["first_content_at"] <= row["finished_at"]
        assert (Decimal(row["cost_usd"]), row["input_tokens"], row["output_tokens"]) == (0, 0, 0)


def test_who_leaves_hurts_nobody(tmp_path: Path) -> None:
    """Thirty of a hundred leave in the midst of it, among them maybe the one that all others follow."""
    with Emulator(behaviour=HELD) as emulator:
        kit = kit_of(emulator, tmp_path)
        meeting = Meeting(emulator, 100)
        works = [partial(ask, kit, meeting, leaves=1 if at % 10 < 3 else 0) for at in range(100)]
        replies = together(works)
        kit.close()
        assert len(emulator.requests) == 1
    whole = [told(reply) for at, reply in enumerate(replies) if at % 10 >= 3]
    assert {len(reply.text.split()) for reply in whole} == {40}
    assert len({reply.text for reply in whole}) == 1
    left = [told(reply) for at, reply in enumerate(replies) if at % 10 < 3]
    assert {reply.stop_reason for reply in left} == {None}
    found = rows(tmp_path)
    assert len(found) == 100
    assert [row["status"] for row in found if row["attempt"]] == ["finished"]
    assert {row["status"] for row in found if not row["attempt"]} == {"shared", "cancelled"}
    assert {Decimal(row["cost_usd"]) for row in found if not row["attempt"]} == {0}


def test_the_last_one_stops_it(tmp_path: Path) -> None:
    """The first leaves, and the call goes on for the second; when that leaves, the provider is told to stop, and what it said is paid for."""
    with Emulator(behaviour=HELD) as emulator:
        kit = kit_of(emulator, tmp_path)
        first = kit.client.stream("Say it", temperature=0).open()
        second = kit.client.stream("Say it", temperature=0).open()
        assert first.read()
        first.close()
        assert [row["status"] for row in rows(tmp_path)] == ["started"]
        assert second.read()
        second.close()
        call(lambda: emulator.wait_until_gone(0))
        paid, shared = rows(tmp_path)
        assert (paid["attempt"], paid["status"]) == (1, "cancelled")
        assert Decimal(paid["cost_usd"]) > 0
        assert (shared["attempt"], shared["status"]) == (0, "cancelled")
        assert shared["saved_usd"] is None
        assert len(kit.runtime.flights) == 0
        emulator.script(SAID)
        third = kit.client.complete("Say it", temperature=0)
        assert (third.shared, third.cached) == (False, False)
        kit.close()


def test_one_that_comes_late(tmp_path: Path) -> None:
    """It hears all from the beginning."""
    with Emulator(behaviour=HELD) as emulator:
        kit = kit_of(emulator, tmp_path)
        with kit.client.stream("Say it", temperature=0) as first:
            assert first.read()
            with kit.client.stream("Say it", temperature=0) as late:
                emulator.release(None)
                while late.read() is not None:
                    pass
            # The slow one has not held the other up.
            while first.read() is not None:
                pass
        kit.close()
        assert len(emulator.requests) == 1
    assert first.response.text == late.response.text
    assert (first.response.shared, late.response.shared) == (False, True)


@pytest.mark.parametrize(
    ("behaviour", "error", "status"),
    [
        (Behaviour(status=429, head_delay=0.3), RateLimited, "failed"),
        (Behaviour(tokens=40, delay=0, hold_at=3, terminal=False), StreamTruncated, "truncated"),
    ],
    ids=["failed", "truncated"],
)
def test_a_failure_is_everybodys(
    tmp_path: Path, behaviour: Behaviour, error: type[ProviderError], status: str
) -> None:
    """Each gets an error of its own, with what it has heard, and a row; nothing is kept."""
    with Emulator(behaviour=SAID) as emulator:
        emulator.script(behaviour)
        kit = kit_of(emulator, tmp_path, retry={"attempts": 1})
        meeting = Meeting(emulator, 5)
        failed = together([partial(ask, kit, meeting)] * 5)
        assert len(emulator.requests) == 1
        reply = kit.client.complete("Say it", temperature=0)
        kit.close()
    assert [type(failure) for failure in failed] == [error] * 5
    assert len({id(failure) for failure in failed}) == 5
    for failure in failed:
        assert isinstance(failure, ProviderError)
        assert failure.provider == "anthropic"
        if status == "truncated":
            assert failure.response is not None
            assert len(failure.response.text.split()) == 40
    assert len({failure.response.call_id for failure in failed if failure.response}) in (0, 5)  # type: ignore[union-attr]
    assert not reply.cached
    found = rows(tmp_path)
    assert [(row["status"], row["error_type"]) for row in found[:-1]] == [(status, error.type)] * 5
    assert Counter(row["attempt"] for row in found) == {1: 2, 0: 4}


def test_a_budget_is_its_own(tmp_path: Path) -> None:
    """Who may not ask is refused; who waits with them asks instead."""
    joined = threading.Event()

    def limit(caller: Caller) -> int | None:
        joined.wait(30)
        return 0 if caller.user == "poor" else None

    with Emulator(behaviour=SAID) as emulator:
        budget = {"scope": "user", "per": "day", "requests": limit}
        kit = kit_of(emulator, tmp_path, budgets=[budget])

        def poor() -> Response:
            return kit.client.complete("Say it", temperature=0, user="poor")

        def rich() -> Response:
            call(lambda: wait_for(lambda: len(kit.runtime.flights), 1))
            (flight,) = kit.runtime.flights._flights.values()
            follow = partial(follow_then, lambda: len(flight.followers), 2, joined.set)
            threading.Thread(target=follow, daemon=True).start()
            return kit.client.complete("Say it", temperature=0, user="rich")

        refused, told = together([poor, rich])
        kit.close()
        assert len(emulator.requests) == 1
    assert isinstance(refused, BudgetExceeded)
    assert isinstance(told, Response)
    assert not told.shared
    assert Counter((row["user_key"], row["status"]) for row in rows(tmp_path)) == {
        ("poor", "refused"): 1,
        ("rich", "finished"): 1,
    }


def follow_then(what: Callable[[], int], wanted: int, then: Callable[[], None]) -> None:
    """Do something when it is so."""
    wait_for(what, wanted)
    then()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"user": "1"}, {"user": "2"}),
        ({"user": Caller(user="1", tenant="a")}, {"user": Caller(user="1", tenant="b")}),
        ({"user": "1"}, {}),
        ({"user": "1"}, {"user": "1", "cache": False}),
        ({"user": "1"}, {"user": "1", "cache": {"ttl": 5}}),
        ({"user": "1"}, {"user": "1", "system": "Be brief"}),
    ],
    ids=["users", "tenants", "nobody", "not cached", "ttl", "question"],
)
def test_who_shares_nothing(tmp_path: Path, one: Any, other: Any) -> None:
    """Another user, or another question."""
    with Emulator(behaviour=HELD) as emulator:
        kit = kit_of(emulator, tmp_path, cache={})
        meeting = Meeting(emulator, 2)
        replies = together(
            [partial(ask, kit, meeting, **one), partial(ask, kit, meeting, **other)]
        )
        kit.close()
        assert len(emulator.requests) == 2
    assert [told(reply).shared for reply in replies] == [False, False]
    assert {row["status"] for row in rows(tmp_path)} == {"finished"}


def test_one_is_stopped(tmp_path: Path) -> None:
    """From outside; the others go on."""
    with Emulator(behaviour=HELD) as emulator:
        kit = kit_of(emulator, tmp_path)
        meeting = Meeting(emulator, 3)
        opened: list[Stream] = []

        def stopped() -> Response:
            with kit.client.stream("Say it", temperature=0) as stream:
                opened.append(stream)
                meeting.met()
                while stream.read() is not None:
                    pass
            return stream.response

        def stops() -> Response:
            with kit.client.stream("Say it", temperature=0) as stream:
                call(lambda: wait_for(lambda: len(opened), 1))
                opened[0].abort()
                meeting.met()
                while stream.read() is not None:
                    pass
            return stream.response

        error, *replies = together([stopped, stops, partial(ask, kit, meeting)])
        kit.close()
    assert isinstance(error, StreamClosed)
    assert [told(reply).stop_reason for reply in replies] == ["end", "end"]


def test_one_that_is_whole_is_stopped(tmp_path: Path) -> None:
    """As a browser stops what it has read to its end: the answer is whole all the same."""
    with Emulator(behaviour=HELD) as emulator:
        kit = kit_of(emulator, tmp_path)
        first = kit.client.stream("Say it", temperature=0).open()
        second = kit.client.stream("Say it", temperature=0).open()
        emulator.release(None)
        for stream in (first, second):
            while True:
                events = stream.read()
                assert events is not None
                if events and isinstance(events[-1], Finish):
                    break
            stream.abort()
            assert stream.read() is None
            assert len(stream.response.text.split()) == 40
        kit.close()
    assert [row["status"] for row in rows(tmp_path)] == ["finished", "shared"]


class Point(BaseModel):
    """Where something is."""

    x: int


@pytest.mark.parametrize("text", ['{"x": 1}', '{"x": "?"}'])
def test_each_reads_what_it_asked_for(tmp_path: Path, text: str) -> None:
    """An answer of a type is read by each; one that is not of it is wrong for each."""
    with Emulator(behaviour=Behaviour(text=tuple(text), delay=0, hold_at=3)) as emulator:
        kit = kit_of(emulator, tmp_path)
        meeting = Meeting(emulator, 3)
        replies = together([partial(ask, kit, meeting, output_type=Point)] * 3)
        kit.close()
        assert len(emulator.requests) == 1
    for reply in replies:
        if "?" in text:
            assert isinstance(reply, OutputInvalid)
        else:
            assert told(reply).output == Point(x=1)
    statuses = Counter(row["status"] for row in rows(tmp_path))
    assert statuses == {"finished": 1, "shared": 2}


def test_one_is_dropped(tmp_path: Path) -> None:
    """Nobody closes it: it has left all the same, and its row says so."""
    with Emulator(behaviour=HELD) as emulator:
        kit = kit_of(emulator, tmp_path)
        for _ in range(2):
            stream = kit.client.stream("Say it", temperature=0).open()
            other = kit.client.stream("Say it", temperature=0).open()
            with pytest.warns(ResourceWarning, match="was dropped without being closed"):
                del stream
                gc.collect()
            with pytest.warns(ResourceWarning, match="was dropped without being closed"):
                del other
                gc.collect()
        call(lambda: emulator.wait_until_gone(0))
        call(lambda: emulator.wait_until_gone(1))
        call(lambda: wait_for(lambda: len(rows(tmp_path)), 4))
        statuses = ["cancelled"] * 4
        call(
            lambda: wait_for(lambda: [row["status"] for row in rows(tmp_path)], statuses)
        )
        assert len(kit.runtime.flights) == 0
        kit.close()
        assert len(emulator.requests) == 2


def test_a_stream_and_a_whole_answer(tmp_path: Path) -> None:
    """Share nothing: they have other time limits."""
    with Emulator(behaviour=SAID) as emulator:
        emulator.script(HELD)
        kit = kit_of(emulator, tmp_path)
        stream = kit.client.stream("Say it", temperature=0).open()
        reply = kit.client.complete("Say it", temperature=0)
        assert (reply.shared, len(emulator.requests)) == (False, 2)
        stream.close()
        kit.close()


def test_what_is_known_of_an_answer(tmp_path: Path) -> None:
    """All that its provider has said of it, for whoever pays and for whoever shares; and what was asked and said, in each row."""
    headers = {"anthropic-ratelimit-requests-remaining": "7", "request-id": "req-1"}
    with Emulator(behaviour=replace(HELD, headers=headers)) as emulator:
        ledger = {"database": database(tmp_path), "store_content": True}
        kit = kit_of(emulator, tmp_path, ledger=ledger)
        meeting = Meeting(emulator, 2)
        replies = [told(reply) for reply in together([partial(ask, kit, meeting)] * 2)]
        replies.append(kit.client.complete("Say it", temperature=0))
        kit.close()
    assert replies[2].cached
    assert {reply.request_id for reply in replies} == {"req-1"}
    assert {reply.model for reply in replies} == {"claude-sonnet-4-5"}
    for reply in replies[:2]:
        assert reply.rate_limits["anthropic-ratelimit-requests-remaining"] == "7"
    contents = [json.loads(row["content"]) for row in rows(tmp_path)]
    assert len(contents) == 3
    assert {content["answer"]["text"] for content in contents} == {replies[0].text}
    assert {content["messages"][0]["content"] for content in contents} == {"Say it"}


def test_a_kept_answer_that_no_longer_fits(tmp_path: Path) -> None:
    """As after a new version of the app with stricter validators: the model is asked again."""
    strict = threading.Event()

    class Even(BaseModel):
        x: int

        @field_validator("x")
        @classmethod
        def check(cls, x: int) -> int:
            if strict.is_set() and x % 2:
                raise ValueError("odd")
            return x

    with Emulator(behaviour=Behaviour(text='{"x": 2}', delay=0)) as emulator:
        emulator.script(Behaviour(text='{"x": 1}', delay=0))
        kit = kit_of(emulator, tmp_path)
        asked = partial(kit.client.complete, "Say it", temperature=0, output_type=Even)
        assert [(asked()).output.x for _ in range(2)] == [1, 1]
        strict.set()
        replies = [asked() for _ in range(2)]
        assert [(reply.output.x, reply.cached) for reply in replies] == [(2, False), (2, True)]
        kit.close()


def test_an_answer_that_is_nobodys(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Is not kept; where the call has asked for that, it is said, once."""
    with Emulator(behaviour=SAID) as emulator:
        kit = kit_of(emulator, tmp_path, cache={})
        for cache in (None, True, {"ttl": 60}):
            reply = kit.client.complete("Say it", temperature=0, cache=cache)
            assert not reply.cached
        kit.close()
    (said,) = [record.message for record in caplog.records if record.name == "llmkit.cache"]
    assert "keeps nothing, for it is nobody's: answers are kept for each user" in said
