"""Functions of the app's that are run side by side: their ends, and what is left of those that do not end."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from llmkit import AsyncStream, Kit, StreamClosed, ToolCall, ToolResult
from llmkit.concurrency.abort import AbortSignal
from llmkit.concurrency.host_threads import Host
from llmkit.concurrency.job_tasks import _STARTED, AsyncJobs
from llmkit.concurrency.job_threads import Jobs
from llmkit.concurrency.jobs import Ended, Job, NoPlace, TookTooLong
from llmkit.testing import Behaviour, Emulator
from support.kits import make_kit

SAID = contextvars.ContextVar("SAID", default="nothing")


def job(
    work: Callable[[], Any],
    *,
    is_async: bool = False,
    timeout: float | None = None,
    finish: Callable[[Any], Any] = str,
) -> Job:
    """Make a job whose result is a text."""
    return Job(work=work, finish=finish, is_async=is_async, timeout=timeout)


def ends_of(jobs: Jobs) -> list[Ended]:
    """Wait for all."""
    found = []
    while (ended := jobs.next()) is not None:
        found.append(ended)
    jobs.close()
    return sorted(found, key=lambda each: each.at)


async def aends_of(jobs: AsyncJobs) -> list[Ended]:
    """Wait for all."""
    found = []
    while (ended := await jobs.next()) is not None:
        found.append(ended)
    await jobs.aclose()
    return sorted(found, key=lambda each: each.at)


def both(
    jobs: list[Job], host: Host | None = None, *, limit: int = 4, at_once: bool = False
) -> list[list[Ended]]:
    """Run jobs in both ways."""
    home = host or Host()
    signal = AbortSignal()

    async def run() -> list[Ended]:
        return await aends_of(
            AsyncJobs(jobs, limit=limit, host=home, at_once=at_once, signal=signal)
        )

    return [
        ends_of(Jobs(jobs, limit=limit, host=home, at_once=at_once, signal=signal)),
        asyncio.run(run()),
    ]


def raises(error: BaseException) -> Callable[[], None]:
    """Make a function that raises this."""

    def work() -> None:
        raise error

    return work


def test_each_ends_in_its_own_way() -> None:
    """With a value, with an error of any kind, or with what makes its result."""
    error, leaving, stop = ValueError("x"), SystemExit(3), StopIteration()
    jobs = [
        job(lambda: 1),
        job(raises(error)),
        job(raises(leaving)),
        job(raises(stop)),
        job(lambda: object(), finish=raises_with),
    ]
    for ends in both(jobs):
        assert [each.at for each in ends] == [0, 1, 2, 3, 4]
        assert (ends[0].value, ends[0].error) == ("1", None)
        assert ends[1].error is error
        for each, wanted in zip(ends[2:4], (leaving, stop), strict=True):
            assert wanted in (each.error, getattr(each.error, "__cause__", None))
        assert isinstance(ends[4].error, TypeError)
        assert all(each.value is None for each in ends[1:])


def raises_with(value: object) -> None:
    """Refuse it."""
    raise TypeError("no")


def test_the_context_of_the_caller_goes_along() -> None:
    """As it does in the thread of a request."""
    SAID.set("something")
    try:
        for ends in both([job(SAID.get), job(SAID.get)]):
            assert [each.value for each in ends] == ["something"] * 2
    finally:
        SAID.set("nothing")


def test_within_what_the_host_needs() -> None:
    """Also when it fails; and threads are not the caller's."""
    log: list[str] = []

    @contextmanager
    def within() -> Iterator[None]:
        log.append("in")
        try:
            yield
        finally:
            log.append("out")

    here = threading.get_ident()
    for ends in both([job(threading.get_ident), job(raises(KeyError()))], Host(within=within)):
        assert ends[0].value != str(here)
        assert isinstance(ends[1].error, KeyError)
    assert sorted(log) == ["in"] * 4 + ["out"] * 4


def test_at_once_is_in_the_thread_of_the_caller() -> None:
    """Or where the host's async code does what waits, one after the other."""
    here = threading.get_ident()

    async def from_async(work: Callable[[], Any]) -> Any:
        return work()

    host = Host(from_async=from_async)
    error = ValueError()
    for ends in both([job(threading.get_ident), job(raises(error))], host, at_once=True):
        assert [each.value for each in ends] == [str(here), None]
        assert ends[1].error is error


def test_one_that_takes_too_long_is_left() -> None:
    """Its thread goes on to its own end; what it says then is nobody's."""
    go = threading.Event()
    jobs = [job(go.wait, timeout=0.01), job(lambda: 2)]
    for ends in both(jobs, limit=2):
        assert isinstance(ends[0].error, TookTooLong)
        assert ends[1].value == "2"
    go.set()


def test_those_that_hang_are_never_more_than_there_are_places() -> None:
    """What waits behind them is not begun, and does not wait for ever; nothing of that is left for the next jobs."""
    go, begun = threading.Event(), threading.Semaphore(0)

    def hangs() -> None:
        begun.release()
        go.wait()

    for ends in both([job(hangs, timeout=0.01)] * 30, limit=2):
        kinds = [type(each.error) for each in ends]
        assert kinds == [TookTooLong] * 2 + [NoPlace] * 28
    # Two in each way.
    assert [begun.acquire(timeout=30) for _ in range(4)] == [True] * 4
    assert not begun.acquire(blocking=False)
    go.set()


def test_a_place_that_comes_free_in_time_is_taken() -> None:
    """By the next one, which has its own time from then on."""
    go = threading.Event()

    def frees() -> None:
        go.wait()

    def first() -> str:
        return "late"

    jobs = Jobs(
        [job(frees, timeout=0.01), job(first, timeout=3600)],
        limit=1,
        host=Host(),
        at_once=False,
        signal=AbortSignal(),
    )
    late = jobs.next()
    assert late is not None
    assert isinstance(late.error, TookTooLong)
    go.set()
    after = jobs.next()
    assert after is not None
    assert after.value == "late"
    assert jobs.next() is None

    async def swallows() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(0)

    async def run() -> None:
        go.clear()
        for hanging, is_async in ((frees, False), (swallows, True)):
            jobs = AsyncJobs(
                [job(hanging, is_async=is_async, timeout=0.01), job(first, timeout=3600)],
                limit=1,
                host=Host(),
                at_once=False,
                signal=AbortSignal(),
            )
            late = await jobs.next()
            assert late is not None
            assert isinstance(late.error, TookTooLong)
            go.set()
            after = await jobs.next()
            assert after is not None
            assert after.value == "late"
            assert await jobs.next() is None
            await jobs.aclose()

    asyncio.run(run())


@pytest.mark.anyio
async def test_one_that_will_not_be_cancelled_is_not_waited_for() -> None:
    """Its time is over, and the others go on; it may take as long as it likes to end."""
    go = asyncio.Event()

    async def swallows() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await go.wait()
        await go.wait()

    jobs = AsyncJobs(
        [job(swallows, is_async=True, timeout=0.01)],
        limit=1,
        host=Host(),
        at_once=False,
        signal=AbortSignal(),
    )
    late = await jobs.next()
    assert late is not None
    assert isinstance(late.error, TookTooLong)
    (task,) = _STARTED
    while not task.cancelling():
        await asyncio.sleep(0)
    await jobs.aclose()
    assert not task.done()
    go.set()
    await task


@pytest.mark.parametrize("timeout", [1e10, 1e300])
def test_a_time_that_no_thread_can_wait(timeout: float) -> None:
    """Is as long as it can."""
    for ends in both([job(lambda: 1, timeout=timeout)]):
        assert ends[0].value == "1"


def test_an_exit_is_the_functions_own() -> None:
    """It ends no event loop, and so no server."""

    async def leaves() -> None:
        raise SystemExit(2)

    def stops() -> None:
        raise StopIteration

    async def run() -> list[Ended]:
        jobs = [job(leaves, is_async=True), job(lambda: leaves()), job(stops)]
        return await aends_of(
            AsyncJobs(jobs, limit=4, host=Host(), at_once=False, signal=AbortSignal())
        )

    for ended, name in zip(
        asyncio.run(run()), ("SystemExit", "SystemExit", "StopIteration"), strict=True
    ):
        assert isinstance(ended.error, RuntimeError)
        assert name in str(ended.error)


def test_what_is_awaited_after_all() -> None:
    """A function that returns something to be awaited is async, whatever it looks like; in a thread nobody awaits it."""

    async def later() -> int:
        return 5

    threads, tasks = both([job(lambda: later())])
    assert isinstance(threads[0].error, TypeError)
    assert "use the AsyncClient" in str(threads[0].error)
    assert tasks[0].value == "5"


def test_an_abort_wakes_who_waits() -> None:
    """From another thread, and before anything has begun."""
    go = threading.Event()
    signal = AbortSignal()
    jobs = Jobs([job(go.wait)], limit=1, host=Host(), at_once=False, signal=signal)
    threading.Timer(0.01, signal.abort).start()
    with pytest.raises(StreamClosed):
        jobs.next()
    with pytest.raises(StreamClosed):
        Jobs([job(go.wait)], limit=1, host=Host(), at_once=False, signal=signal).next()

    async def run() -> None:
        signal = AbortSignal()
        jobs = AsyncJobs([job(go.wait)], limit=1, host=Host(), at_once=False, signal=signal)
        threading.Timer(0.01, signal.abort).start()
        with pytest.raises(StreamClosed):
            await jobs.next()
        await jobs.aclose()

    asyncio.run(run())
    go.set()


@pytest.mark.anyio
async def test_tasks_are_cancelled_and_waited_for() -> None:
    """One that is timed out, one that runs and one that has not begun."""
    log: list[str] = []

    async def waits(name: str) -> None:
        log.append(name)
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            log.append(f"{name} ended")

    jobs = AsyncJobs(
        [
            job(lambda: waits("a"), is_async=True, timeout=0.01),
            job(lambda: waits("b"), is_async=True, timeout=3600),
            job(lambda: waits("c"), is_async=True),
        ],
        limit=1,
        host=Host(),
        at_once=False,
        signal=AbortSignal(),
    )
    first = await jobs.next()
    assert first is not None
    assert isinstance(first.error, TookTooLong)
    waiting = asyncio.ensure_future(jobs.next())
    while "b" not in log:
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await jobs.aclose()
    assert log == ["a", "a ended", "b", "b ended"]
    assert not _STARTED


@pytest.mark.anyio
async def test_a_task_that_cancels_itself_has_failed() -> None:
    """The caller is not cancelled by it."""

    async def gives_up() -> None:
        raise asyncio.CancelledError

    (ended,) = await aends_of(
        AsyncJobs(
            [job(gives_up, is_async=True)],
            limit=1,
            host=Host(),
            at_once=False,
            signal=AbortSignal(),
        )
    )
    assert isinstance(ended.error, asyncio.CancelledError)


@pytest.mark.anyio
async def test_a_loop_of_tools_that_is_cancelled_leaves_none_behind() -> None:
    """Its tool is cancelled, and has ended when the caller goes on."""
    began, ended = asyncio.Event(), asyncio.Event()

    async def waits() -> None:
        began.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    with Emulator(behaviour=Behaviour(calls=({"name": "waits"},), delay=0)) as emulator:
        kit: Kit = make_kit(emulator)
        running = asyncio.ensure_future(kit.async_client.run("Hi", tools=[waits]))
        await began.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert ended.is_set()
        assert not _STARTED
        await kit.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["cancelled", "aborted"])
async def test_a_stream_that_ends_while_a_tool_runs_ends_the_tool(how: str) -> None:
    """However it ends."""
    began, ended = asyncio.Event(), asyncio.Event()

    async def waits() -> None:
        began.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async def read_all(stream: AsyncStream) -> None:
        async for _ in stream:
            pass

    with Emulator(behaviour=Behaviour(calls=({"name": "waits"},), delay=0)) as emulator:
        kit: Kit = make_kit(emulator)
        manager = kit.async_client.run_stream("Hi", tools=[waits])
        stream = await manager.open()
        reading = asyncio.ensure_future(read_all(stream))
        await began.wait()
        if how == "aborted":
            manager.abort()
            with pytest.raises(StreamClosed):
                await reading
        else:
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        assert ended.is_set()
        await stream.aclose()
        assert not _STARTED
        await kit.aclose()


@pytest.mark.anyio
async def test_a_stream_that_is_dropped_between_two_results_ends_the_other_tool() -> None:
    """As one that is dropped in the midst of an answer."""
    ended = asyncio.Event()

    async def waits() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async def quick() -> None: ...

    calls = ({"name": "waits"}, {"name": "quick"})
    with Emulator(behaviour=Behaviour(calls=calls, delay=0)) as emulator:
        kit: Kit = make_kit(emulator)
        stream: Any = await kit.async_client.run_stream("Hi", tools=[waits, quick]).open()
        async for event in stream:
            if isinstance(event, ToolResult):
                break
        with pytest.warns(ResourceWarning, match="was dropped without being closed"):
            del stream
            gc.collect()
        await ended.wait()
        await kit.aclose()


def test_the_sync_client_refuses_what_is_async() -> None:
    """When it is asked to run it; nobody there awaits."""

    async def tool() -> None: ...

    async def approve(*_: object) -> bool:
        return True

    class Called:
        async def __call__(self) -> None: ...

    def plain() -> None: ...

    with Emulator() as emulator:
        kit = make_kit(emulator)
        for options, name in (
            ({"tools": [tool]}, "the tool tool"),
            ({"tools": [plain], "approve": approve}, "approve"),
        ):
            with pytest.raises(ValueError, match=f"{name} is async, and this is the sync client"):
                kit.client.run("Hi", **options)  # type: ignore[arg-type]
        assert emulator.requests == []
        kit.close()


@pytest.mark.parametrize("end", [Jobs.close, Jobs.abandon])
def test_no_more_are_begun_after_the_end(end: Callable[[Jobs], None]) -> None:
    """What runs goes on in a thread that keeps no process alive."""
    go, begun = threading.Event(), []

    def waits() -> None:
        begun.append(threading.current_thread().daemon)
        go.wait()

    jobs = Jobs(
        [job(waits, timeout=0.01), job(waits)],
        limit=1,
        host=Host(),
        at_once=False,
        signal=AbortSignal(),
    )
    assert jobs.next() is not None
    end(jobs)
    go.set()
    assert jobs.next() is None
    assert begun == [True]


@pytest.mark.anyio
async def test_left_while_the_app_is_asked_to_approve() -> None:
    """Nobody waits for its answer any more; it is asked for one call at a time."""
    asked: list[str] = []

    def add(a: int) -> int:
        return a

    async def approve(call: ToolCall, _: object) -> bool:
        asked.append(call.name)
        try:
            await asyncio.sleep(3600)
        finally:
            asked.append("left")
        return True

    with Emulator(behaviour=Behaviour(text="so", delay=0)) as emulator:
        emulator.script(Behaviour(calls=[{"name": "add", "arguments": {"a": 1}}] * 2, delay=0))
        kit = make_kit(emulator)
        manager = kit.async_client.run_stream("Hi", tools=[add], approve=approve)
        async with manager as stream:
            reading = asyncio.ensure_future(_read_all(stream))
            while not asked:
                await asyncio.sleep(0)
            manager.abort()
            with pytest.raises(StreamClosed):
                await reading
        await kit.aclose()
    assert len(asked) == 2
    assert asked[1] == "left"


async def _read_all(stream: AsyncStream) -> None:
    async for _ in stream:
        pass
