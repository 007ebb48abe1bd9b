"""The writer: groups, waiters, failures, its thread. The store is a list in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from llmkit.errors import LedgerUnavailable
from llmkit.ledger.entry import Entry
from llmkit.ledger.row import Closing, Opening, Refusals, RowRejected
from llmkit.ledger.run import GATHER
from llmkit.ledger.writer import LedgerWriter
from support.ledger import closing, opening
from support.memory_store import Down, MemoryStore, writing


async def hold_up(store: MemoryStore, writer: LedgerWriter) -> asyncio.Task[None]:
    """Let the writer's thread be busy with a first row until the gate opens."""
    store.gate.clear()
    task = asyncio.create_task(writer.abegin(opening("first")))
    await asyncio.to_thread(store.entered.acquire)
    return task


async def hand_in(writer: LedgerWriter, *call_ids: str) -> list[asyncio.Task[None]]:
    """Begin calls that now wait in line."""
    tasks = [asyncio.create_task(writer.abegin(opening(call_id))) for call_id in call_ids]
    await asyncio.sleep(0)
    return tasks


def ledger_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "llmkit-ledger"]


def test_begin_and_finish_return_when_written() -> None:
    """A row is in the store when begin returns, and closed when finish returns."""
    store = MemoryStore()
    with writing(store) as writer:
        writer.begin(opening())
        assert store.groups == [([opening()], [])]
        writer.finish(closing())
        assert store.groups[1:] == [([], [closing()])]


def test_record_writes_both_halves_at_once() -> None:
    """A call without an attempt is one row in one transaction."""
    store = MemoryStore()
    with writing(store) as writer:
        writer.record(opening(), closing(status="refused"))
    assert store.groups == [([opening()], [closing(status="refused")])]


@pytest.mark.anyio
async def test_rows_gather_while_the_store_is_busy() -> None:
    """What comes during a transaction goes into the next one together, up to max_group."""
    store = MemoryStore()
    with writing(store, max_group=20) as writer:
        first = await hold_up(store, writer)
        rest = await hand_in(writer, *(f"call-{i}" for i in range(30)))
        store.gate.set()
        await asyncio.gather(first, *rest)
    assert store.sizes == [1, 20, 10]


@pytest.mark.anyio
async def test_rows_are_waited_for_while_they_come_in_numbers() -> None:
    """After a group of several a little is waited for more; after a row alone the next goes at once."""
    store = MemoryStore()
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        for call_id in late.pop(0):
            writer.hand_in([Entry(opening(call_id), None)])

    late = [["late-1", "late-2"], []]
    with writing(store, sleep=sleep) as writer:
        first = await hold_up(store, writer)
        rest = await hand_in(writer, "second", "third")
        store.gate.set()
        await asyncio.gather(first, *rest)  # 1, and 2 that have gathered
        await writer.abegin(opening("fourth"))  # with the 2 that come while it waits
        await writer.abegin(opening("fifth"))  # waits as well, for nobody
        await writer.abegin(opening("sixth"))
    assert store.sizes == [1, 2, 3, 1, 1]
    assert waits == [GATHER, GATHER]


@pytest.mark.anyio
async def test_async_twins_do_the_same() -> None:
    """Abegin, afinish and arecord write what begin, finish and record write."""
    store = MemoryStore()
    with writing(store) as writer:
        await writer.abegin(opening())
        await writer.afinish(closing())
        await writer.arecord(opening("call-2"), closing("call-2"))
    assert store.groups == [
        ([opening()], []),
        ([], [closing()]),
        ([opening("call-2")], [closing("call-2")]),
    ]


def test_a_group_wakes_its_loop_once() -> None:
    """However many tasks of a loop wait for a group, their loop is called once."""

    class CountingLoop(asyncio.SelectorEventLoop):
        calls = 0

        def call_soon_threadsafe(self, *args, **options):  # type: ignore[no-untyped-def]
            if args[0].__module__ == "llmkit.ledger.entry":
                CountingLoop.calls += 1
            return super().call_soon_threadsafe(*args, **options)

    async def main() -> None:
        first = await hold_up(store, writer)
        rest = await hand_in(writer, *(f"call-{i}" for i in range(50)))
        store.gate.set()
        await asyncio.gather(first, *rest)

    store = MemoryStore()
    with writing(store) as writer, asyncio.Runner(loop_factory=CountingLoop) as runner:
        runner.run(main())
    assert store.sizes == [1, 50]
    assert CountingLoop.calls == 2


def refuse_bad(call_ids: Sequence[str]) -> None:
    if any(call_id.startswith("bad") for call_id in call_ids):
        raise RowRejected("the row does not fit")


@pytest.mark.anyio
async def test_a_bad_row_fails_alone() -> None:
    """The other rows of a bad row's group are written; only its own waiter hears of it."""
    store = MemoryStore(refuse_bad)
    with writing(store) as writer:
        first = await hold_up(store, writer)
        tasks = await hand_in(writer, "good-1", "bad", "good-2")
        store.gate.set()
        results = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert [type(result) for result in results] == [
        type(None),
        type(None),
        RowRejected,
        type(None),
    ]
    assert [row.call_id for openings, _ in store.groups for row in openings] == [
        "first",
        "good-1",
        "good-2",
    ]


class Picky(MemoryStore):
    """Takes no closing with figures in it."""

    def write(self, openings: Sequence[Opening], closings: Sequence[Closing]) -> Refusals:
        if any(row.usage.input_tokens is not None for row in closings):
            raise RowRejected("the row does not fit")
        return super().write(openings, closings)


@pytest.mark.parametrize("at_once", [False, True])
def test_a_closing_that_is_refused_is_written_without_its_figures(at_once: bool) -> None:
    """No row stays open for a count that its database does not take; its waiter need not know."""
    store = Picky()
    with writing(store) as writer:
        if at_once:
            writer.record(opening("odd"), closing("odd", status="cancelled"))
        else:
            writer.begin(opening("odd"))
            writer.finish(closing("odd", status="cancelled"))
    (row,) = store.closings
    assert (row.call_id, row.status, row.finished_at) == (
        "odd",
        "cancelled",
        closing().finished_at,
    )
    assert (row.cost, row.usage.input_tokens) == (None, None)


@pytest.mark.anyio
async def test_a_store_that_goes_down_during_single_writes_is_not_asked_for_each_row() -> None:
    """Once the store itself has failed, the rest of the group fails with it, each with its own error."""
    asked: list[Sequence[str]] = []

    def fail(call_ids: Sequence[str]) -> None:
        asked.append(call_ids)
        refuse_bad(call_ids)
        if call_ids == ["down"]:
            raise LedgerUnavailable("the database is gone", hint="Start it.")

    store = MemoryStore(fail)
    with writing(store) as writer:
        first = await hold_up(store, writer)
        tasks = await hand_in(writer, "good", "bad", "down", "late-1", "late-2")
        store.gate.set()
        results = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert asked[2:] == [["good"], ["bad"], ["down"]]
    errors = [result for result in results if result is not None]
    assert [str(error) for error in errors] == [
        "the row does not fit",
        *["the database is gone. Start it."] * 3,
    ]
    assert len({id(error) for error in errors}) == 4


def test_a_fault_in_the_store_does_not_end_the_writer(caplog: pytest.LogCaptureFixture) -> None:
    """An unforeseen exception reaches the waiter as LedgerUnavailable; the next row is written."""

    def fail(call_ids: Sequence[str]) -> None:
        if call_ids == ["odd"]:
            raise RuntimeError("a secret detail")

    store = MemoryStore(fail)
    with writing(store) as writer:
        with pytest.raises(LedgerUnavailable, match=r"failed \(RuntimeError\)$"):
            writer.begin(opening("odd"))
        writer.begin(opening("even"))
    assert store.sizes == [1]
    assert "the ledger failed" in caplog.text


@pytest.mark.anyio
async def test_a_cancelled_begin_harms_no_one_and_leaves_no_open_row() -> None:
    """The cancelled waiter's row is written with its group, then closed, for the call is not made."""
    store = MemoryStore()
    with writing(store) as writer:
        first = await hold_up(store, writer)
        one, two = await hand_in(writer, "one", "two")
        one.cancel()
        await asyncio.wait([one])
        assert one.cancelled()
        store.gate.set()
        await asyncio.gather(first, two)
    assert [row.call_id for row in store.groups[1][0]] == ["one", "two"]
    (last,) = store.closings
    assert (last.call_id, last.attempt, last.status, last.cost) == ("one", 1, "cancelled", 0)


@pytest.mark.anyio
async def test_a_cancelled_finish_is_written() -> None:
    """A closing whose waiter is cancelled closes its row."""
    store = MemoryStore()
    with writing(store) as writer:
        first = await hold_up(store, writer)
        task = asyncio.create_task(writer.afinish(closing()))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        store.gate.set()
        await first
    assert store.closings == [closing()]


@pytest.mark.anyio
async def test_a_wait_has_an_end() -> None:
    """A begin that takes too long is refused; when the store comes back its row is closed as refused."""
    store = MemoryStore()
    with writing(store, begin_timeout=0.02) as writer:
        store.gate.clear()
        with pytest.raises(LedgerUnavailable, match=r"did not answer within 0\.02 s"):
            await writer.abegin(opening("async"))
        with pytest.raises(LedgerUnavailable, match=r"did not answer within 0\.02 s"):
            await asyncio.to_thread(writer.begin, opening("sync"))
    assert [(row.call_id, row.status, row.error_type) for row in store.closings] == [
        ("async", "refused", "ledger_unavailable"),
        ("sync", "refused", "ledger_unavailable"),
    ]


@pytest.mark.anyio
async def test_a_late_finish_is_written_all_the_same() -> None:
    """A finish that takes too long raises, and its closing stays in line."""
    store = MemoryStore()
    with writing(store, finish_timeout=0.02) as writer:
        store.gate.clear()
        with pytest.raises(LedgerUnavailable):
            await writer.afinish(closing())
    assert store.closings == [closing()]


@pytest.mark.parametrize("comes", ["another row", "nothing"])
def test_a_closing_that_failed_is_kept(caplog: pytest.LogCaptureFixture, comes: str) -> None:
    """It is written with the next row that the store takes, or by itself; its opening is not made up."""
    fail = Down()
    store = MemoryStore(fail)
    retry_every = 0.01 if comes == "nothing" else 60
    with writing(store, retry_every=retry_every) as writer:
        writer.begin(opening("one"))
        fail.down.set()
        with pytest.raises(LedgerUnavailable, match="the server is gone"):
            writer.finish(closing("one"))
        with pytest.raises(LedgerUnavailable, match="the server is gone"):
            writer.begin(opening("two"))
        assert store.closings == []
        while fail.tried.acquire(blocking=False):
            pass
        fail.down.clear()
        if comes == "another row":
            writer.begin(opening("three"))
        assert fail.tried.acquire(timeout=30)
    begun = [row.call_id for openings, _ in store.groups for row in openings]
    assert begun == ["one"] + (["three"] if comes == "another row" else [])
    assert store.closings == [closing("one")]
    assert "1 of 1 waiting rows were written" in caplog.text


def test_a_row_that_waits_for_its_callers_transaction() -> None:
    """Neither it nor its closing is waited for, nor tried, before that has ended; others are written meanwhile."""
    store = MemoryStore()
    ended = threading.Event()
    with writing(store) as writer:
        writer.begin_later(opening("mine"), until=ended.is_set)
        writer.finish(closing("mine"))
        writer.begin_later(opening("refused"), closing("refused"), until=ended.is_set)
        writer.begin(opening("another"))
        assert store.groups == [([opening("another")], [])]
        ended.set()
        store.wait_for_closings(2)
    assert store.groups[1:] == [
        ([opening("mine"), opening("refused")], [closing("mine"), closing("refused")])
    ]


def test_a_row_that_still_waits_at_the_end_is_written() -> None:
    """When the ledger closes there is nothing more to wait for."""
    store = MemoryStore()
    with writing(store) as writer:
        writer.begin_later(opening(), closing(), until=lambda: False)
    assert store.groups == [([opening()], [closing()])]


def test_what_is_kept_has_an_end(caplog: pytest.LogCaptureFixture) -> None:
    """Beyond the limit closings are let go; at the end the log says how many rows stay open."""
    fail = Down()
    store = MemoryStore(fail)
    with writing(store, limit=2) as writer:
        fail.down.set()
        for call_id in ("one", "two", "three"):
            with pytest.raises(LedgerUnavailable, match="the server is gone"):
                writer.finish(closing(call_id))
    assert store.closings == []
    assert "2 rows could not be written" in caplog.text


@pytest.mark.anyio
async def test_the_line_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """Beyond the limit a row is refused at once, also one that nobody waits for."""
    store = MemoryStore()
    with writing(store, limit=2) as writer:
        first = await hold_up(store, writer)
        waiting = await hand_in(writer, "one", "two")
        with pytest.raises(LedgerUnavailable, match="2 rows are already waiting for the ledger"):
            await writer.abegin(opening("three"))
        writer.finish_soon(closing("three"))
        assert "2 rows are already waiting" in caplog.text
        store.gate.set()
        await asyncio.gather(first, *waiting)
    assert store.sizes == [1, 2]


def test_finish_soon_does_not_wait() -> None:
    """A closing can be handed in without waiting, and is written before the writer closes."""
    store = MemoryStore()
    with writing(store) as writer:
        store.gate.clear()
        writer.finish_soon(closing())
    assert store.closings == [closing()]


def test_close_drains_and_leaves_no_thread() -> None:
    """Close writes what waits, closes the store and ends the thread; twice is once."""
    store = MemoryStore()
    writer = LedgerWriter(store)
    writer.close()
    assert store.closed == 0
    for number in range(10):
        writer.finish_soon(closing(f"call-{number}"))
    writer.close()
    writer.close()
    assert len(store.closings) == 10
    assert store.closed == 1
    assert ledger_threads() == []


def test_a_closed_writer_starts_again() -> None:
    """Use after close makes a new thread, which close ends again."""
    store = MemoryStore()
    with writing(store) as writer:
        writer.begin(opening())
        writer.close()
        writer.finish(closing())
    assert store.sizes == [1, 1]
    assert store.closed == 2
    assert ledger_threads() == []


def test_a_new_thread_waits_for_the_old_one() -> None:
    """After a close that ran out of time the store still has one user at a time."""
    store = MemoryStore()
    with writing(store) as writer:
        store.gate.clear()
        writer.finish_soon(closing("old"))
        assert store.entered.acquire(timeout=30)
        writer.close(timeout=0)
        writer.finish_soon(closing("new"))
        assert len(ledger_threads()) == 2
        assert not store.entered.acquire(blocking=False)
    assert [row.call_id for row in store.closings] == ["old", "new"]
    assert ledger_threads() == []


def test_the_writer_may_be_closed_by_its_own_thread() -> None:
    """A finaliser that happens to run in the writer's thread can close it."""
    store = MemoryStore(lambda call_ids: writer.close())
    with writing(store) as writer:
        writer.begin(opening())
        (*_, thread) = [*ledger_threads(), None]
        if thread is not None:
            thread.join(10)
    assert store.closed == 1


def test_a_loop_that_is_gone_is_let_go() -> None:
    """A waiter whose event loop was closed in the meantime does not stop the writer."""

    async def leave() -> None:
        waiting.append(asyncio.get_running_loop().create_task(writer.abegin(opening("left"))))
        await asyncio.to_thread(store.entered.acquire)

    store = MemoryStore()
    waiting: list[asyncio.Task[None]] = []
    with writing(store) as writer:
        store.gate.clear()
        asyncio.run(leave())
        store.gate.set()
        writer.begin(opening("stayed"))
    assert waiting[0].cancelled()
    assert [row.call_id for openings, _ in store.groups for row in openings] == ["left", "stayed"]


def test_many_threads_share_one_writer() -> None:
    """Threads that race each get their own row written once."""
    store = MemoryStore()
    barrier = threading.Barrier(16)

    def work(number: int) -> None:
        barrier.wait()
        for attempt in range(1, 6):
            writer.begin(opening(f"call-{number}", attempt=attempt))
            writer.finish(closing(f"call-{number}", attempt=attempt))

    with writing(store) as writer:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ledger_threads()) == 1
    opened = [(row.call_id, row.attempt) for rows, _ in store.groups for row in rows]
    assert sorted(opened) == sorted((row.call_id, row.attempt) for row in store.closings)
    assert len(opened) == len(set(opened)) == 80


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_was_ended_is_followed_by_another() -> None:
    """What it was writing is written; whoever waited for it is told that it is late."""
    raised: list[int] = []

    def end(call_ids: Sequence[str]) -> None:
        if "bad" in call_ids and not raised:
            raised.append(1)
            raise SystemExit

    store = MemoryStore(end)
    with writing(store, begin_timeout=0.05) as writer:
        with pytest.raises(LedgerUnavailable, match="did not answer within"):
            writer.begin(opening("bad"))
        writer.begin(opening("good"))
    assert sorted(row.call_id for rows, _ in store.groups for row in rows) == ["bad", "good"]
