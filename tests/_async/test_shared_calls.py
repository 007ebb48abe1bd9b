"""Calls that processes share over Redis; here each process is a kit of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from llmkit import (
    AsyncStream,
    BudgetExceeded,
    Caller,
    Kit,
    QueueFull,
    RateLimited,
    Reset,
    Response,
    StreamClosed,
    StreamTruncated,
)
from llmkit.testing import Behaviour, Emulator
from support.kits import WIRES, make_kit
from support.rows import database, rows
from support.waits import async_call, async_together, wait_for

redis = pytest.importorskip("redis", minversion="6")

SAID = Behaviour(tokens=40, delay=0)
HELD = Behaviour(tokens=40, delay=0, hold_at=3)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody take a busy machine for a Redis that is away."""
    from support.redis_server import wait_long

    wait_long(monkeypatch)


@pytest.fixture
def kits(tmp_path: Path, emulator: Emulator) -> Iterator[Callable[..., Kit]]:
    """Make kits that share a Redis, each with a ledger of its own."""
    from support.redis_server import any_redis_url

    made: list[Kit] = []

    def make(name: str, **more: Any) -> Kit:
        folder = tmp_path / name
        folder.mkdir()
        more = {"redis": any_redis_url(), "namespace": tmp_path.name, **more}
        ledger = {"database": database(folder)}
        made.append(make_kit(emulator, ledger=ledger, cache={"scope": "all"}, **more))
        return made[-1]

    yield make
    wait_for(lambda: [len(kit.runtime.flights) for kit in made], [0] * len(made))
    wait_for(lambda: [each.name for each in threading.enumerate() if "flights" in each.name], [])


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Start a provider."""
    with Emulator(behaviour=HELD) as emulator:
        yield emulator


async def opened(kit: Kit, **options: Any) -> AsyncStream:
    """Open a stream whose first word is there."""
    return await kit.async_client.stream("Say it", **{"temperature": 0, **options}).open()


async def rest(stream: AsyncStream) -> Response:
    """Read it to its end."""
    async with stream:
        while await stream.read() is not None:
            pass
    return stream.response


@pytest.mark.anyio
async def test_one_call_for_all(
    kits: Callable[..., Kit], emulator: Emulator, tmp_path: Path
) -> None:
    """Of several processes, with several in each; the rest is as in one. Then the answer is kept."""
    every = [kits(name) for name in "abc"]
    first = await opened(every[0])
    others = [await opened(kit) for kit in (every * 3)[1:]]
    emulator.release(None)
    leader, *replies = [
        reply
        for reply in await async_together([partial(rest, each) for each in (first, *others)])
        if isinstance(reply, Response)
    ]
    again = await every[2].async_client.complete("Say it", temperature=0)
    for kit in every:
        await kit.aclose()
    assert len(emulator.requests) == 1
    assert len(replies) == 8
    assert len(leader.text.split()) == 40
    assert {reply.text for reply in replies} == {leader.text}
    assert (again.text, again.cached) == (leader.text, True)
    assert not leader.shared
    for reply in replies:
        assert (reply.shared, reply.cost, reply.usage) == (True, Decimal(0), leader.usage)
        assert (reply.provider, reply.model, reply.request_id) == (
            leader.provider,
            leader.model,
            leader.request_id,
        )
    statuses = [[row["status"] for row in rows(tmp_path / name)] for name in "abc"]
    assert statuses[0] == ["finished", "shared", "shared"]
    assert statuses[1:] == [["shared"] * 3, ["shared"] * 3 + ["cached"]]
    saved = {Decimal(row["saved_usd"]) for row in rows(tmp_path / "b")}
    assert saved == {leader.cost}


@pytest.mark.anyio
@pytest.mark.parametrize("wire", WIRES)
async def test_all_that_is_said(kits: Callable[..., Kit], emulator: Emulator, wire: str) -> None:
    """Thinking, text and calls of tools come as they came to the first."""

    def look(where: str, depth: int = 0) -> str:
        """Look."""
        return where * depth

    calls = [{"name": "look", "arguments": {"where": "\N{SNOWMAN}", "depth": 2}}] * 2
    emulator.script(
        Behaviour(text="Wait \N{SNOWMAN} a bit", thinking="Hm", calls=calls, delay=0, hold_at=2)
    )
    a, b = kits("a", wire=wire), kits("b", wire=wire)
    streams = [await opened(kit, tools=[look]) for kit in (a, b)]
    emulator.release(None)
    one, other = [await rest(stream) for stream in streams]
    assert one.parts == other.parts
    assert [call.arguments for call in other.tool_calls] == [call["arguments"] for call in calls]
    assert (one.stop_reason, one.raw_stop_reason) == (other.stop_reason, other.raw_stop_reason)
    assert other.shared
    await a.aclose()
    await b.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("is_open", [True, False])
async def test_a_failure_is_everybodys(
    kits: Callable[..., Kit], emulator: Emulator, tmp_path: Path, *, is_open: bool
) -> None:
    """Before the first word and after it, with all that is known of it."""
    failing = Behaviour(tokens=40, delay=0, hold_at=3, terminal=False)
    if not is_open:
        failing = Behaviour(status=429, head_delay=0.5, retry_after=7)
    emulator.script(failing)
    every = [kits(name, retry={"attempts": 1}) for name in "ab"]
    if is_open:
        streams = [await opened(kit) for kit in every]
        emulator.release(None)
        errors = await async_together([partial(rest, stream) for stream in streams])
    else:
        errors = await async_together([partial(opened, kit) for kit in every])
    for kit in every:
        await kit.aclose()
    assert len(emulator.requests) == 1
    kind = StreamTruncated if is_open else RateLimited
    one, other = errors
    assert isinstance(one, kind) and isinstance(other, kind)
    assert str(one) == str(other)
    names = ("provider", "model", "status_code", "code", "request_id", "retry_after", "hint")
    assert [getattr(one, name) for name in names] == [getattr(other, name) for name in names]
    if is_open:
        assert other.response is not None
        assert len(other.response.text.split()) == 40
    found = [rows(tmp_path / name)[0] for name in "ab"]
    assert {row["status"] for row in found} == {"truncated" if is_open else "failed"}
    assert sorted(row["attempt"] for row in found) == [0, 1]


@pytest.mark.anyio
async def test_the_first_leaves(
    kits: Callable[..., Kit], emulator: Emulator, tmp_path: Path
) -> None:
    """The call goes on for who listens in another process; it is stopped when that has left, too."""
    a, b = kits("a"), kits("b")
    for is_left in (False, True):
        first = await opened(a)
        second = await opened(b)
        await first.aclose()
        assert len(a.runtime.flights) == 1
        if is_left:
            await second.aclose()
            await async_call(partial(emulator.wait_until_gone, 1))
        else:
            emulator.release(None)
            reply = await rest(second)
            assert len(reply.text.split()) == 40
            assert reply.shared
        await async_call(partial(wait_for, lambda: len(a.runtime.flights), 0))
        assert len(emulator.requests) == 1 + is_left
        await forget(a)
    await a.aclose()
    await b.aclose()
    assert [row["status"] for row in rows(tmp_path / "a")] == ["finished", "cancelled"]
    assert [row["status"] for row in rows(tmp_path / "b")] == ["shared", "cancelled"]


async def forget(kit: Kit) -> None:
    """Keep nothing any longer."""
    cache = kit.runtime.cache
    assert cache is not None
    await async_call(cache.store.clear)


def keys(tmp_path: Path, what: str) -> list[str]:
    """Return the keys of a kind that there are."""
    from support.redis_server import any_redis_url

    with redis.Redis.from_url(any_redis_url(), decode_responses=True) as client:
        return sorted(client.scan_iter(match=f"*{tmp_path.name}:cache:*{what}*", count=1000))


def delete(*names: str) -> None:
    """Delete keys. One that has run out by itself, on a machine that stood still, is gone as well."""
    from support.redis_server import any_redis_url

    with redis.Redis.from_url(any_redis_url()) as client:
        for name in names:
            client.delete(name)


@pytest.mark.anyio
async def test_another_one_takes_over(
    kits: Callable[..., Kit], emulator: Emulator, tmp_path: Path
) -> None:
    """Who had the call and lost it, as after standing still, writes nothing any more, and its own lose nothing; the others begin anew."""
    a, b = kits("a"), kits("b")
    first, second = await opened(a), await opened(b)
    heard = await second.read()
    (lost,) = await async_call(partial(keys, tmp_path, ":call"))
    emulator.script(Behaviour(text="An other answer", delay=0, hold_at=3))
    await async_call(partial(delete, lost))
    await async_call(partial(emulator.wait_for_requests, 2))
    while not any(isinstance(event, Reset) for event in heard or []):
        heard = await second.read()
    late = await opened(b)
    emulator.release(None, index=1)
    answers = [await rest(stream) for stream in (second, late)]
    assert {answer.text for answer in answers} == {"An other answer"}
    assert not answers[0].shared
    assert answers[1].shared
    emulator.release(None, index=0)
    assert len((await rest(first)).text.split()) == 40
    again = await a.async_client.complete("Say it", temperature=0)
    assert (again.text, again.cached) == ("An other answer", True)
    await a.aclose()
    await b.aclose()
    assert [row["status"] for row in rows(tmp_path / "a")] == ["finished", "cached"]
    assert sorted(row["status"] for row in rows(tmp_path / "b")) == ["finished", "shared"]


@pytest.mark.anyio
async def test_redis_forgets_all(
    kits: Callable[..., Kit], emulator: Emulator, tmp_path: Path
) -> None:
    """In the midst of it: each process has its own answer."""
    a, b = kits("a"), kits("b")
    first, second = await opened(a), await opened(b)
    await async_call(lambda: delete(*keys(tmp_path, "")))
    await async_call(partial(emulator.wait_for_requests, 2))
    emulator.release(None)
    replies = [await rest(stream) for stream in (first, second)]
    assert [len(reply.text.split()) for reply in replies] == [40, 40]
    assert not any(reply.shared for reply in replies)
    await a.aclose()
    await b.aclose()


@pytest.mark.anyio
async def test_what_is_torn(kits: Callable[..., Kit], emulator: Emulator, tmp_path: Path) -> None:
    """Who cannot read what another process says asks for itself."""
    from support.redis_server import any_redis_url

    a, b = kits("a"), kits("b")
    first, second = await opened(a), await opened(b)

    def tear() -> None:
        with redis.Redis.from_url(any_redis_url()) as client:
            client.rpush(keys(tmp_path, ":said:")[0], b"\xff\x00")

    await async_call(tear)
    await async_call(partial(emulator.wait_for_requests, 2))
    emulator.release(None)
    replies = [await rest(stream) for stream in (first, second)]
    assert [len(reply.text.split()) for reply in replies] == [40, 40]
    await a.aclose()
    await b.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("is_open", [True, False])
async def test_a_budget_is_its_own(
    kits: Callable[..., Kit], emulator: Emulator, tmp_path: Path, *, is_open: bool
) -> None:
    """Also where a call is taken over: who may not ask is refused, and nobody else hears of it."""

    def limit(caller: Caller) -> int | None:
        return 0 if caller.user == "poor" else None

    budgets = [{"scope": "user", "per": "day", "requests": limit}]
    a, b = kits("a"), kits("b", budgets=budgets)
    if not is_open:
        emulator.behaviour = Behaviour(tokens=40, delay=0, head_delay=60)
    first = a.async_client.stream("Say it", temperature=0)
    names = ["poor", "rich", "poor", "rich", "poor"]
    asked = [partial(whole, emulator, b, user=name, met=threading.Event()) for name in names]

    async def lead() -> Response:
        return await rest(await first.open())

    async def break_off() -> None:
        await async_call(lambda: wait_for(lambda: len(emulator.requests), 1))
        if is_open:
            for each in asked:
                await async_call(lambda each=each: each.keywords["met"].wait(60))
        else:
            await async_call(lambda: wait_for(lambda: len(followers(b)), 5))
        emulator.script(SAID)
        await async_call(lambda: delete(*keys(tmp_path, ":call")))
        await async_call(lambda: wait_for(lambda: len(emulator.requests), 2))
        first.abort()

    left, _, *told = await async_together([lead, break_off, *asked])
    assert isinstance(left, StreamClosed)
    for name, reply in zip(names, told, strict=True):
        if name == "rich":
            assert isinstance(reply, Response), reply
            assert len(reply.text.split()) == 40
        else:
            assert isinstance(reply, Response | BudgetExceeded)
    await a.aclose()
    await b.aclose()
    assert len(emulator.requests) == 2
    assert len(rows(tmp_path / "b")) == 5


async def whole(emulator: Emulator, kit: Kit, *, user: str, met: threading.Event) -> Response:
    """Ask when another one has, and say when something was heard."""
    await async_call(lambda: wait_for(lambda: len(emulator.requests), 1))
    async with kit.async_client.stream("Say it", temperature=0, user=user) as stream:
        while (events := await stream.read()) is not None:
            if events:
                met.set()
    return stream.response


def followers(kit: Kit) -> set[Any]:
    """Return who follows a call in a process."""
    return set().union(*(flight.followers for flight in kit.runtime.flights._flights.values()))


@pytest.mark.anyio
async def test_a_call_that_is_taken_over_and_refused(
    kits: Callable[..., Kit], emulator: Emulator, tmp_path: Path
) -> None:
    """By the places of a process: each has its error and its row."""
    a = kits("a")
    b = kits("b", concurrency={"per_process": 1, "queue": 0})
    first = await opened(a)
    others = [await opened(b) for _ in range(2)]
    place = await opened(b, cache=False)
    await async_call(lambda: delete(*keys(tmp_path, ":call")))
    errors = await async_together([partial(rest, stream) for stream in others])
    assert [type(error) for error in errors] == [QueueFull] * 2
    for stream in (first, place):
        await stream.aclose()
    await a.aclose()
    await b.aclose()
    found = rows(tmp_path / "b")
    assert sorted(row["status"] for row in found) == ["cancelled", "failed", "failed"]
    assert [row["error_type"] for row in found if row["status"] == "failed"] == ["queue_full"] * 2


@pytest.mark.anyio
async def test_what_was_said_is_lost(
    kits: Callable[..., Kit], emulator: Emulator, tmp_path: Path
) -> None:
    """Who makes the call goes on for its own; the others ask for themselves, and no text has a hole."""
    a, b = kits("a"), kits("b")
    first, second = await opened(a), await opened(b)
    await async_call(lambda: delete(*keys(tmp_path, ":said:")))
    emulator.release(10, index=0)
    await async_call(partial(emulator.wait_for_requests, 2))
    emulator.release(None)
    replies = [await rest(stream) for stream in (first, second)]
    assert len({reply.text for reply in replies}) == 1
    assert [len(reply.text.split()) for reply in replies] == [40, 40]
    await a.aclose()
    await b.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["torn", "too old"])
async def test_what_is_kept_and_cannot_be_given(
    kits: Callable[..., Kit], emulator: Emulator, tmp_path: Path, how: str
) -> None:
    """The model is asked, and its answer is kept in place of it."""
    from support.redis_server import any_redis_url

    emulator.behaviour = SAID
    now = datetime(2026, 5, 1, tzinfo=UTC)
    a = kits("a", now=lambda: now)
    ask = partial(a.async_client.complete, "Say it", temperature=0)
    assert not (await ask()).cached

    def tear() -> None:
        with redis.Redis.from_url(any_redis_url()) as client:
            (entry,) = (name for name in keys(tmp_path, "") if "{" not in name)
            client.setrange(entry, 30, b"\xff\xff")

    if how == "torn":
        await async_call(tear)
        options = {}
    else:
        now += timedelta(seconds=30)
        options = {"cache": {"ttl": 20}}
        assert (await ask()).cached
    assert [(await ask(**options)).cached for _ in range(2)] == [False, True]
    await a.aclose()


@pytest.mark.anyio
async def test_no_prompt_is_in_redis(
    kits: Callable[..., Kit], emulator: Emulator, tmp_path: Path
) -> None:
    """Neither in a key nor in a value."""
    from support.redis_server import any_redis_url

    a, b = kits("a"), kits("b")
    asked = {"system": "CANARY-system", "user": "CANARY-user"}
    stream, listener = await opened(a, **asked), await opened(b, **asked)

    def look() -> list[bytes]:
        with redis.Redis.from_url(any_redis_url()) as client:
            names = keys(tmp_path, "")
            assert {name.rpartition(":")[2][:4] for name in names} >= {"call"}
            values = [
                *(repr(client.hgetall(name)).encode() for name in names if name.endswith("call")),
                *(repr(client.lrange(name, 0, -1)).encode() for name in names if "said" in name),
            ]
            return [*(name.encode() for name in names), *values]

    await async_call(lambda: wait_for(lambda: len(look()) >= 4, wanted=True))
    assert not any(b"CANARY" in each or b"Say it" in each for each in look())
    for each in (stream, listener):
        await each.aclose()
    await a.aclose()
    await b.aclose()
