"""A call may be cancelled wherever it waits: no socket, task, place or open row is left, by a thousand points."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from llmkit import AsyncCallNext, AsyncStream, Call, Kit, LLMKitError, Outcome
from llmkit.relay.push import PushRelay
from llmkit.testing import Behaviour, Emulator
from support.browser import SILENCES
from support.kits import ALL_WIRES, ASYNC_TRANSPORTS, WIRES, make_kit
from support.left_over import no_more_sockets, sockets, threads
from support.rows import database, rows
from support.stepping import How, Steps
from support.tracebacks import shown

POINTS = 250  # over each wire and transport
ANSWER = Behaviour(tokens=6, delay=0.001)
# What the provider does first, by scenario; then it answers.
SCRIPTS: Mapping[str, tuple[Behaviour, ...]] = {
    "complete": (),
    "stream": (),
    "relay": (),
    "left early": (),
    "retry": (Behaviour(status=503), Behaviour(hang_up=True)),
    "cut": (Behaviour(tokens=6, delay=0, cut_at=1200),),
    "queue": (),
}
HOW: tuple[How, ...] = ("once", "twice", "again and again")


class Slow:
    """A user's middleware that waits before, behind and at the end."""

    async def handle_async(self, call: Call, call_next: AsyncCallNext) -> AsyncStream:
        await asyncio.sleep(0)
        stream = await call_next(call)
        await asyncio.sleep(0)
        stream.finalise(self.finish)
        return stream

    async def finish(self, outcome: Outcome) -> None:
        await asyncio.sleep(0)


class Browser:
    """Takes what the relay writes, a little later."""

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        await asyncio.sleep(0)

    async def send(self, data: bytes, *, more: bool) -> None:
        await asyncio.sleep(0)


async def complete(kit: Kit) -> None:
    await kit.async_client.complete("Say hi")


async def stream(kit: Kit, words: int = 1000) -> None:
    async with kit.async_client.stream("Say hi") as answer:
        async for _ in answer.text():
            words -= 1
            if not words:
                break


async def relay(kit: Kit) -> None:
    await PushRelay(kit.async_client.stream("Say hi"), Browser(), heartbeat=0.001).run()


WORK: Mapping[str, Callable[[Kit], Awaitable[None]]] = {
    "complete": complete,
    "stream": stream,
    "relay": relay,
    "left early": lambda kit: stream(kit, 2),
    "retry": stream,
    "cut": stream,
    "queue": complete,
}


async def cancelled_at(kit: Kit, scenario: str, at: int | None, how: How) -> int:
    """Run a scenario, cancelled at a point; return how many points there were."""
    steps = Steps(at, how)

    async def work() -> Any:
        return await WORK[scenario](kit)

    async def run() -> None:
        await steps.run(work())

    others = []
    if scenario == "queue":  # the only place is another's
        others = [asyncio.create_task(stream(kit))]
        await asyncio.sleep(0)
    task = asyncio.create_task(run())
    await asyncio.wait([task, *others])
    if not task.cancelled():
        error = task.exception()
        assert error is None or isinstance(error, LLMKitError)
    while kit.runtime.tasks:  # what runs to its end by itself
        await asyncio.wait(list(kit.runtime.tasks))
    return steps.count


async def all_closed(folder: Path, where: str) -> None:
    """Wait until no row is open: one that nobody waits for any more is closed by itself, soon."""
    for _ in range(2000):
        if "started" not in {row["status"] for row in rows(folder)}:
            return
        await asyncio.sleep(0.002)
    pytest.fail(where)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("wire", "transport"),
    [
        *((wire, transport) for wire in WIRES for transport in ASYNC_TRANSPORTS),
        *((wire, "native") for wire in ALL_WIRES if wire not in WIRES),
    ],
)
async def test_every_point(tmp_path: Path, wire: str, transport: str) -> None:
    """Each scenario at each of its points, in an order of chance, cancelled once, twice, or for good."""
    chance = random.Random(f"{wire} {transport}")
    before, tasks = sockets(), asyncio.all_tasks()
    points: dict[str, int] = {}
    reached = 0
    with Emulator(behaviour=ANSWER) as emulator:
        kit = make_kit(
            emulator,
            wire=wire,
            transport=transport,
            middleware=[Slow(), Slow()],
            ledger={"database": database(tmp_path)},
            concurrency={"per_process": 1},
        )
        while reached < POINTS:
            scenario, how = chance.choice(sorted(WORK)), chance.choice(HOW)
            at = chance.randint(1, points[scenario]) if scenario in points else None
            emulator.script(*SCRIPTS[scenario])
            count = await cancelled_at(kit, scenario, at, how)
            emulator.reset()
            where = f"{scenario}, cancelled {how} at point {at} of {points.get(scenario)}"
            assert kit.limit.running == kit.limit.waiting == 0, where
            assert not kit.runtime.open_attempts, where
            await all_closed(tmp_path, where)
            if at is None:
                points[scenario] = count
            elif count >= at:
                reached += 1
        await kit.aclose()
        await asyncio.to_thread(emulator.wait_for_connections, 0)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == tasks
    assert threads() == []
    await asyncio.to_thread(no_more_sockets, before)
    assert points.keys() == WORK.keys()


@pytest.mark.anyio
@pytest.mark.parametrize("scenario", ["complete", "retry"])
async def test_every_point_of_a_call_with_budgets_in_redis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scenario: str
) -> None:
    """Nothing stays held, though whoever is cancelled while Redis is asked does not know whether it is; what is in the books is charged."""
    pytest.importorskip("redis")
    from support.redis_outages import used
    from support.redis_server import any_redis_url, wait_long

    wait_long(monkeypatch)
    with Emulator(behaviour=ANSWER) as emulator:
        kit = make_kit(
            emulator,
            ledger={"database": database(tmp_path)},
            budgets=[{"scope": "all", "per": "ever", "requests": 10**6, "tokens": 10**9}],
            redis=any_redis_url(),
            namespace=tmp_path.name,
        )
        await complete(kit)  # which has connected

        async def run_until(at: int | None, how: How) -> int:
            emulator.script(*SCRIPTS[scenario])
            count = await cancelled_at(kit, scenario, at, how)
            emulator.reset()
            await asyncio.to_thread(kit.runtime.flush, 30)
            assert [left.held for left in await kit.budgets.aleft(None)] == [0, 0], at
            return count

        for at in range(await run_until(None, "once")):
            await run_until(at + 1, HOW[at % 3])
        await all_closed(tmp_path, scenario)
        # A call that was cancelled while Redis was asked has a row that is no attempt's.
        calls = {row["call_id"] for row in rows(tmp_path) if row["attempt"]}
        assert await asyncio.to_thread(used, kit) == len(calls) > 2
        await kit.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("silent", ["before the head", "later"])
@pytest.mark.parametrize("library", ["aiohttp", "httpx", "httpx2", "native"])
async def test_a_cancelled_call_shows_nothing(library: str, silent: str) -> None:
    """An error tracker may look at the cancellation itself: it came through the HTTP library, and no frame holds key or prompt."""
    found: list[list[str]] = []
    begun = asyncio.Event()

    async def ask(kit: Kit) -> None:
        try:
            async with kit.async_client.stream("Say hi") as stream:
                async for _ in stream:
                    begun.set()
        except asyncio.CancelledError as error:
            found.append(shown(error))
            raise

    async with contextlib.AsyncExitStack() as stack:
        emulator = stack.enter_context(Emulator(behaviour=SILENCES[silent]))
        own: dict[str, Any] = {"transport": library}
        if library == "httpx2":
            client = pytest.importorskip(library).AsyncClient()
            own = {"async_http_client": await stack.enter_async_context(client)}
        kit = make_kit(emulator, **own)
        task = asyncio.create_task(ask(kit))
        await asyncio.to_thread(emulator.wait_for_requests, 1)
        if silent == "later":
            await begun.wait()
        task.cancel()
        await asyncio.wait([task])
        await kit.aclose()
    assert task.cancelled()
    assert found == [[]]


@pytest.mark.anyio
@pytest.mark.parametrize("role", ["leads", "follows"])
async def test_every_point_of_a_shared_call(tmp_path: Path, role: str) -> None:
    """Whoever is cancelled, who asks for the same gets the whole answer, and what nobody wants any more is let go."""
    with Emulator(behaviour=ANSWER) as emulator:
        kit = make_kit(emulator, ledger={"database": database(tmp_path)}, cache={"scope": "all"})

        async def ask(at: int | None, how: How) -> str | None:
            reply = await kit.async_client.complete(f"Say hi, {at} {how}", temperature=0)
            return reply.text

        async def run_until(at: int | None, how: How) -> int:
            steps = Steps(at, how)

            async def run() -> str | None:
                await steps.run(ask(at, how))
                return None

            asked = [run(), ask(at, how)]
            tasks = [asyncio.create_task(each) for each in asked[:: 1 if role == "leads" else -1]]
            await asyncio.wait(tasks)
            whole = tasks[1 if role == "leads" else 0].result()
            assert whole is not None and len(whole.split()) == 6
            while kit.runtime.tasks:
                await asyncio.wait(list(kit.runtime.tasks))
            assert len(kit.runtime.flights) == kit.limit.running == 0
            assert not kit.runtime.open_attempts
            return steps.count

        count = await run_until(None, "once")
        assert count > 2
        for at in range(count):
            for how in HOW:
                await run_until(at + 1, how)
        await all_closed(tmp_path, role)
        # One that leaves a call which goes on for others has paid for it all the same.
        left = {"shared"} if role == "leads" else {"shared", "cancelled"}
        assert {row["status"] for row in rows(tmp_path)} == {"finished", *left}
        await kit.aclose()
