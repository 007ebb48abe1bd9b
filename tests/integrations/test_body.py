"""The relay as a body for async hosts that iterate."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmkit import Kit
from llmkit.relay.body import QUEUE_BYTES, BodyRelay
from llmkit.testing import Behaviour, Emulator
from support.browser import SILENCES
from support.kits import ASYNC_TRANSPORTS, make_kit
from support.rows import database, rows

pytestmark = pytest.mark.anyio


def body_of(kit: Kit, **options: Any) -> BodyRelay:
    """Make the body of a call, not opened yet."""
    manager = kit.async_client.stream("Say hi", user="7")
    return BodyRelay(manager, tasks=kit.runtime.tasks, **{"heartbeat": 15, **options})


@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
async def test_the_answer_comes_as_it_comes(tmp_path: Path, transport: str) -> None:
    """The emulator withholds each next token until the one before was taken."""
    with Emulator(behaviour=Behaviour(tokens=4, delay=0, hold_at=2)) as emulator:
        kit = make_kit(emulator, transport=transport, ledger={"database": database(tmp_path)})
        body = await body_of(kit).open()
        assert (body.status, body.headers["content-type"]) == (
            200,
            "text/event-stream; charset=utf-8",
        )
        parts = []
        async for part in body:
            parts.append(part)
            emulator.release()
        assert len(parts) >= 4
        assert b"[DONE]" in parts[-1]
        await kit.aclose()
    assert [row["status"] for row in rows(tmp_path)] == ["finished"]


async def test_a_failure_before_the_first_text_is_a_status() -> None:
    """The status waits for the first content; the body is then the whole answer."""
    with Emulator(behaviour=Behaviour(status=500)) as emulator:
        kit = make_kit(emulator, retry={"attempts": 1})
        body = await body_of(kit).open()
        said = b"".join([part async for part in body])
        assert body.status == 502
        assert body.headers["content-length"] == str(len(said))
        await kit.aclose()


async def test_a_failure_after_it_is_an_event() -> None:
    """Then the answer ends with the error's event."""
    with Emulator(behaviour=Behaviour(tokens=9, delay=0, terminal=False)) as emulator:
        kit = make_kit(emulator)
        body = await body_of(kit).open()
        said = b"".join([part async for part in body])
        assert b"event: error" in said
        assert b"[DONE]" not in said
        await kit.aclose()


async def test_heartbeats() -> None:
    """The clock lets the status go, with a comment; the text follows."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0, hold_at=1)) as emulator:
        kit = make_kit(emulator)
        body = await body_of(kit, heartbeat=0.02).open()
        assert body.status == 200
        assert (await anext(body)).replace(
            b": \n\n", b""
        ) == b""  # one, or what a slow machine gathers
        await asyncio.to_thread(emulator.wait_for_requests, 1, 30)
        emulator.release(10)
        assert b"[DONE]" in b"".join([part async for part in body])
        await kit.aclose()


@pytest.mark.parametrize("silent", sorted(SILENCES))
@pytest.mark.parametrize("how", ["cancelled", "closed", "closed in a thread", "dropped"])
async def test_whoever_leaves_stops_the_model(tmp_path: Path, silent: str, how: str) -> None:
    """Whatever the host does with the body, also without the collector's help: the provider is left and the row says so."""
    with Emulator(behaviour=SILENCES[silent]) as emulator:
        kit = make_kit(emulator, ledger={"database": database(tmp_path)})
        held: list[BodyRelay] = []

        async def read() -> None:
            held.append(body_of(kit, heartbeat=0.02))
            async for _ in await held[0].open():
                pass

        gc.disable()
        try:
            task = asyncio.get_running_loop().create_task(read())
            await asyncio.to_thread(emulator.wait_for_requests, 1)
            if how == "closed":
                held[0].close()
            elif how == "closed in a thread":
                await asyncio.to_thread(held[0].close)
            else:
                task.cancel()
            if how == "dropped":
                held.clear()
            await asyncio.wait([task])
            del task
            await asyncio.to_thread(emulator.wait_until_gone, 0)
        finally:
            gc.enable()
        await kit.aclose()
    assert [row["status"] for row in rows(tmp_path)] == ["cancelled"]


async def _open_and_end(body: BodyRelay) -> None:
    await body.open()


async def _open_and_be_cancelled(body: BodyRelay) -> None:
    await body.open()
    await _be_cancelled()


async def _be_cancelled() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("opener", "unread"), [(_open_and_end, 0.05), (_open_and_be_cancelled, 3600)]
)
async def test_a_body_that_nobody_reads(
    tmp_path: Path,
    opener: Callable[[BodyRelay], Any],
    unread: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The task that opened it has ended, somebody still holds it and nobody iterates: it closes itself, at once after a cancellation."""
    monkeypatch.setattr("llmkit.relay.body.UNREAD", unread)
    with Emulator(behaviour=Behaviour(tokens=9, delay=0, hold_at=2)) as emulator:
        kit = make_kit(emulator, ledger={"database": database(tmp_path)})
        body = body_of(kit)
        task = asyncio.get_running_loop().create_task(opener(body))
        await asyncio.wait([task])
        await asyncio.to_thread(emulator.wait_until_gone, 0)
        await kit.aclose()
        del body
    assert [row["status"] for row in rows(tmp_path)] == ["cancelled"]


async def test_a_body_that_is_read_by_another_task() -> None:
    """The task that opened it may end, as under a sync middleware, while another iterates."""
    with Emulator(behaviour=Behaviour(tokens=4, delay=0, hold_at=2)) as emulator:
        kit = make_kit(emulator)
        body = body_of(kit)
        await asyncio.wait([asyncio.get_running_loop().create_task(_open_and_end(body))])
        said = await anext(body)
        emulator.release(10)
        assert b"[DONE]" in said + b"".join([part async for part in body])
        await kit.aclose()


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_a_body_whose_opener_ends_while_another_reads(
    is_cancelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the task that opened it ends, and however long ago: it is the reader's, and is not closed under him."""
    monkeypatch.setattr("llmkit.relay.body.UNREAD", 0.01)
    with Emulator(behaviour=Behaviour(tokens=4, delay=0, hold_at=2)) as emulator:
        kit = make_kit(emulator)
        body = body_of(kit)
        opened, may_end = asyncio.Event(), asyncio.Event()

        async def open_and_wait() -> None:
            await body.open()
            opened.set()
            await may_end.wait()
            if is_cancelled:
                await _be_cancelled()

        task = asyncio.create_task(open_and_wait())
        await opened.wait()
        said = await anext(body)
        may_end.set()
        await asyncio.wait([task])
        await asyncio.sleep(0.02)  # the body's timer was due before this one
        emulator.release(10)
        assert b"[DONE]" in said + b"".join([part async for part in body])
        await kit.aclose()


async def test_a_body_that_was_cancelled_before_its_status_is_empty() -> None:
    """Who holds it may iterate all the same, once the call is over: there is an end, and no error of ours."""
    with Emulator(behaviour=Behaviour(head_delay=60)) as emulator:
        kit = make_kit(emulator)
        body = body_of(kit)
        task = asyncio.create_task(_open_and_end(body))
        await asyncio.to_thread(emulator.wait_for_requests, 1)
        (call,) = kit.runtime.tasks
        task.cancel()
        await asyncio.wait([task, call])
        assert call.exception() is None
        assert [part async for part in body] == []
        await kit.aclose()


@pytest.mark.parametrize("end", ["whole", "failed", "closed", "cancelled"])
async def test_the_loop_is_told_of_nothing(end: str) -> None:
    """However a call ends, no callback of ours fails in the host's loop, which would write a traceback into its log."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    behaviours = {"failed": Behaviour(status=400), "cancelled": Behaviour(head_delay=60)}
    with Emulator(behaviour=behaviours.get(end, Behaviour(tokens=3, delay=0))) as emulator:
        kit = make_kit(emulator)
        body = body_of(kit)
        task = asyncio.create_task(_open_and_end(body))
        await asyncio.to_thread(emulator.wait_for_requests, 1)
        if end == "cancelled":
            task.cancel()
        await asyncio.wait([task])
        if end == "closed":
            body.close()
        else:
            assert (b"".join([part async for part in body]) == b"") == (end == "cancelled")
        await asyncio.wait([*kit.runtime.tasks, asyncio.create_task(asyncio.sleep(0))])
        await kit.aclose()
        await asyncio.sleep(0)
    assert told == []


async def test_closing_behind_the_end_stops_nothing() -> None:
    """Who closes a whole answer that waits to be read, as some hosts do with every response, takes nothing from it."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as emulator:
        kit = make_kit(emulator)
        manager = kit.async_client.stream("Say hi")
        body = await BodyRelay(manager, tasks=kit.runtime.tasks, heartbeat=15).open()
        await asyncio.wait([*kit.runtime.tasks, asyncio.create_task(asyncio.sleep(0))])
        body.close()
        assert not manager.call.signal.aborted
        assert b"[DONE]" in b"".join([part async for part in body])
        body.close()
        assert not manager.call.signal.aborted
        await kit.aclose()


async def test_what_waits_is_bounded() -> None:
    """However fast the provider is, no more is held than a little."""
    word = "x" * 1000
    with Emulator(behaviour=Behaviour(text=" ".join([word] * 2000), delay=0)) as emulator:
        kit = make_kit(emulator)
        body = await body_of(kit).open()
        sizes = []
        async for part in body:
            sizes.append(len(part))
        assert sum(sizes) > 2_000_000
        assert max(sizes) < 4 * QUEUE_BYTES
        await kit.aclose()


async def test_what_a_middleware_raises_is_the_hosts(tmp_path: Path) -> None:
    """An exception that is not llmkit's goes to the host's own handlers."""

    class Broken:
        async def handle_async(self, call: Any, call_next: Any) -> Any:
            raise ZeroDivisionError

    with Emulator() as emulator:
        kit = make_kit(emulator, middleware=[Broken()])
        with pytest.raises(ZeroDivisionError):
            await body_of(kit).open()
        await kit.aclose()


async def test_closing_is_idempotent(tmp_path: Path) -> None:
    """Before anybody reads, in the midst and after the end, from several threads at once: the model is left once, with one row."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0, hold_at=2)) as emulator:
        emulator.script(Behaviour(tokens=3, delay=0))
        kit = make_kit(emulator, ledger={"database": database(tmp_path)})
        whole = await body_of(kit).open()
        assert b"[DONE]" in b"".join([part async for part in whole])
        await close_from_everywhere(whole)
        unread = await body_of(kit).open()
        await close_from_everywhere(unread)
        await asyncio.to_thread(emulator.wait_until_gone, 1)
        read = await body_of(kit).open()
        assert b'"text"' in await anext(read)
        await close_from_everywhere(read)
        await asyncio.to_thread(emulator.wait_until_gone, 2)
        await kit.aclose()
        assert kit.limit.running == 0
        assert len(emulator.requests) == 3
    assert [row["status"] for row in rows(tmp_path)] == ["finished", "cancelled", "cancelled"]


async def test_a_closed_body_is_empty() -> None:
    """What waited to be read is gone with it."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0, hold_at=2)) as emulator:
        kit = make_kit(emulator)
        body = await body_of(kit).open()
        body.close()
        assert [part async for part in body] == []
        await kit.aclose()


async def close_from_everywhere(body: BodyRelay) -> None:
    """Close a body in four threads, and twice in its own; who iterates then comes to an end, and to no exception."""
    await asyncio.gather(*(asyncio.to_thread(body.close) for _ in range(4)))
    body.close()
    await body.aclose()
    assert b"[DONE]" not in b"".join([part async for part in body])


async def test_a_body_that_is_not_open_says_so() -> None:
    """It does not wait for ever."""
    with Emulator(behaviour=Behaviour(tokens=2, delay=0)) as emulator:
        kit = make_kit(emulator)
        body = BodyRelay(kit.async_client.stream("Say hi"), heartbeat=5, tasks=kit.runtime.tasks)
        with pytest.raises(RuntimeError, match=r"call open\(\)"):
            await anext(body)
        body.close()
        await kit.aclose()
        assert emulator.requests == []
